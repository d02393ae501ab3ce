"""The operator's rights: every one is needed, and nothing else works.

The API server writes an audit log. An operator that logs in as the chart's ServiceAccount leads environments through
their lives; what it asked for is compared with the chart's rules.
"""

import json
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from airfield.api import meta
from airfield.costs import store
from airfield.kube import credentials, kinds
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Kind, Ref
from clusters import kubectl
from demo.platform import SYSTEM
from localcluster import tool
from localcluster.instance import Instance
from operated_cluster import Json, Site, Team, define, eventually, operated
from operator_account import ACCOUNT, render
from postgres_server import PostgresServer
from reviews import allowed

pytestmark = pytest.mark.apiserver

OTHER = "other"
LATER = {"version": "3.3.9", "image": "airfield/airflow:3.3.9"}
"""A version of which there is no template yet."""
HOSTS: Json = {"hostTemplate": "{name}.{namespace}.example.com"}
SECURED: Json = {**HOSTS, "ingress": {"tls": {"issuerRef": {"name": "ca"}}}}
ROUTED: Json = {**HOSTS, "gateway": {"name": "public", "namespace": "gateways", "sectionName": "https"}}
GIT = {"bundles": [{"name": "dags", "git": {"url": "https://git.example.com/dags.git", "ref": "main"}}]}


class Right(NamedTuple):
    """One verb on one kind of object. `scope` is "cluster", "environments" (any namespace with some) or "own"."""

    scope: str
    group: str
    resource: str
    verb: str


@pytest.fixture(scope="module", params=[False, True], ids=["everywhere", "chosen"])
def watched(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, tuple[str, ...]]]:
    """A cluster with an audit log, and the namespaces that the operator is restricted to; none: it sees to all."""
    namespaces: tuple[str, ...] = (f"chosen-{uuid.uuid4().hex[:6]}",) if request.param else ()
    folder = tmp_path_factory.mktemp("rbac")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw")
    name = f"rbac-{worker}"
    with operated(name, postgres_server, folder, audited=True, kubelets=True, namespaces=namespaces) as site:
        kubectl(site.cluster, "create", "namespace", OTHER)
        define(site.cluster)
        yield site, namespaces


@pytest.fixture
async def team(watched: tuple[Site, tuple[str, ...]]) -> AsyncIterator[Team]:
    site, namespaces = watched
    name = namespaces[0] if namespaces else f"t-{uuid.uuid4().hex[:6]}"
    async with site.connect() as kube:
        team = Team(site, kube, name, name)
        await team.settle()
        yield team


async def test_every_rule_is_needed_and_suffices(team: Team, watched: tuple[Site, tuple[str, ...]]) -> None:
    site, namespaces = watched
    await _lives(team)
    settings = (f"watchNamespaces={{{','.join(namespaces)}}}",) if namespaces else ()
    given = _given(render("volumeStatistics.enabled=true", *settings))
    used, refused = _asked(site, restricted=bool(namespaces))
    granted = _granted(team)
    assert refused == set()
    assert sorted(given - used - granted) == [], "nobody needs these rules"
    assert sorted(used - given) == [], "it has rights that are not the chart's"


async def _lives(team: Team) -> None:
    """Everything that the operator does with environments, one way or another."""
    catalog = {"versions": [{"version": "3.3.2", "image": "airfield/airflow:3.3.2"}, LATER]}
    await team.put_class(catalog=catalog)
    address = team.site.external_database("external_" + uuid.uuid4().hex[:6], "of-the-test")
    login = {"username": address.user, "password": address.password, "sslmode": "disable"}
    await team.put_secret(
        "given", {"host": address.host, "port": str(address.port), "database": address.database, **login}
    )
    everything: Json = {"executor": "KubernetesExecutor", "components": {"apiServer": {"replicas": 2}}}
    await team.put_environment(deletionPolicy="Delete", **everything)
    await team.put_environment(
        "external", database={"external": {"secret": {"name": "given"}}}, deletionPolicy="Delete"
    )
    await team.put_environment("embedded", database={"embedded": {}}, deletionPolicy="Delete")
    await team.put_environment("bundles", dags=GIT, deletionPolicy="Delete")
    await team.put_tenant(quota={"cpu": "20"}, viewers=[{"kind": "User", "name": "vera"}])
    await team.until_ready("demo", "external")

    async def limited() -> bool:
        return all([await team.get(kind, "airfield") for kind in (kinds.RESOURCE_QUOTA, kinds.LIMIT_RANGE)])

    await eventually(limited)
    for kind in (kinds.RESOURCE_QUOTA, kinds.LIMIT_RANGE):
        await _finds_again(team, kind)
    await team.put_tenant(quota={"environments": 20})
    for kind in (kinds.RESOURCE_QUOTA, kinds.LIMIT_RANGE):
        await eventually(lambda kind=kind: _gone(team, kind, "airfield"))  # type: ignore[misc]

    async def looked_for_a_reason() -> bool:
        return Right("environments", "", "pods/log", "get") in _asked(team.site)[0]

    await eventually(looked_for_a_reason)

    async def started() -> bool:
        return (await team.get(kinds.STATEFUL_SET, "embedded-db")) is not None

    await eventually(started)
    for kind in (kinds.STATEFUL_SET, kinds.DEPLOYMENT, kinds.PERSISTENT_VOLUME_CLAIM, kinds.SERVICE):
        await _finds_again(team, kind)
    labels = {"airfield.dev/environment": "demo", "app.kubernetes.io/component": "worker"}
    await team.put_pod("task", {}, labels=labels)
    # Other objects than before: what is not wanted any more is removed.
    for exposure, kind in ((SECURED, kinds.CERTIFICATE), (ROUTED, kinds.HTTP_ROUTE)):
        await team.put_class(exposure=exposure)
        name = "demo-tls" if kind == kinds.CERTIFICATE else "demo-api-server"
        await eventually(lambda kind=kind, name=name: team.get(kind, name), 60)  # type: ignore[misc]
        await team.until_ready("demo", "external")
    await _finds_again(team, kinds.HTTP_ROUTE)
    await eventually(lambda: _gone(team, kinds.CERTIFICATE, "demo-tls"))
    await eventually(lambda: _gone(team, kinds.INGRESS, "demo-api-server"))
    await team.kube.delete(team.ref(kinds.DEPLOYMENT, "demo-scheduler"))
    await team.put_environment(deletionPolicy="Delete", executor="LocalExecutor")
    await eventually(lambda: _gone(team, kinds.ROLE, "demo-scheduler"))
    await team.until_ready("demo")

    async def tried_to_fill() -> bool:
        """The Job has ended, and its objects are removed; since no container ran, the template is still empty."""
        found = await team.kube.get(Ref("airfield.dev/v1alpha1", "AirflowEnvironmentClass", "", team.name))
        status = (found or {}).get("status", {})
        assert "TemplateFailed" in [each["reason"] for each in status["conditions"]], status
        return True

    await eventually(tried_to_fill)
    await eventually(lambda: _in_the_ledger(team))
    with team.site.no_operator():  # the next one reads the ledger
        pass
    await _name_is_taken(team, "external")
    for name in ("demo", "external", "embedded"):
        await team.kube.delete(team.environment(name))
    await _leaves(team)
    for name in ("demo", "external", "embedded", "bundles"):
        await eventually(lambda name=name: _gone(team, kinds.AIRFLOW_ENVIRONMENT, name), 60)  # type: ignore[misc]


async def _finds_again(team: Team, kind: Kind) -> None:
    """Somebody takes the labels off an object: it seems to be missing, is found in the way, and is ours.

    Until the right to look has been used: what is applied just then for another reason has them back without a look.
    """
    found = await team.kube.list(kind, team.namespace, meta.LABEL_TENANT)
    ref, before = Ref.of(found[0]), found[0]["metadata"]["labels"]
    looked_at = Right("environments", kind.api_version.rpartition("/")[0], kind.plural, "get")

    async def labelled() -> bool:
        live = await team.kube.get(ref)
        return live is not None and before.items() <= live["metadata"].get("labels", {}).items()

    async def found_again() -> bool:
        await team.kube.patch(ref, {"metadata": {"labels": dict.fromkeys(before)}})
        await eventually(labelled, 60)
        return looked_at in _asked(team.site)[0]

    await eventually(found_again, 60)


async def _name_is_taken(team: Team, environment: str) -> None:
    """Made again, an environment finds a Job of somebody else's where its own was."""
    jobs = await team.kube.list(kinds.JOB, team.namespace, f"{meta.LABEL_ENVIRONMENT}={environment}")
    job, manifest = Ref.of(jobs[0]), await team.kube.get(team.environment(environment))
    assert manifest is not None
    for ref in (team.environment(environment), job):
        await team.kube.delete(ref)
        await eventually(lambda ref=ref: _missing(team, ref), 60)  # type: ignore[misc]
    pod = {"restartPolicy": "Never", "containers": [{"name": "own", "image": "own"}]}
    theirs = {"metadata": {"namespace": job.namespace, "name": job.name}, "spec": {"template": {"spec": pod}}}
    assert await team.kube.create({"apiVersion": job.api_version, "kind": job.kind, **theirs})
    await team.put_environment(environment, **manifest["spec"])
    await team.until_stuck("ApplyRefused", job.name, "does not belong to this environment", name=environment)
    await team.kube.delete(job)


async def _leaves(team: Team) -> None:
    """The tenant goes with all that it has: an environment, and a namespace that was made for it."""
    made = Ref("v1", "Namespace", "", f"{team.name}-made")
    await team.put_tenant(deletionPolicy="Delete", namespaces=[{"name": team.namespace}, {"name": made.name}])

    async def told() -> bool:
        live = await team.kube.get(tenant)
        assert live is not None
        return bool(live["status"]["observedGeneration"] == live["metadata"]["generation"])

    tenant = Ref("airfield.dev/v1alpha1", "AirflowTenant", "", team.name)
    await eventually(told)
    await team.kube.delete(tenant)
    for ref in (tenant, made):
        await eventually(lambda ref=ref: _missing(team, ref), 90)  # type: ignore[misc]


async def _in_the_ledger(team: Team) -> bool:
    return bool(await store.names(team.kube, SYSTEM, team.name))


async def _missing(team: Team, ref: Ref) -> bool:
    return await team.kube.get(ref) is None


async def _gone(team: Team, kind: Kind, name: str) -> bool:
    return await team.get(kind, name) is None


def _rights(rules: Iterable[Json], scope: str) -> set[Right]:
    return {
        Right(scope, group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


CLUSTER_WIDE = ("airflowtenants", "airflowenvironmentclasses", "namespaces", "nodes")
ALWAYS_OWN = ("leases", "serviceaccounts/token")


def _given(manifests: list[Json]) -> set[Right]:
    """What the chart's rules say."""
    found: set[Right] = set()
    for manifest in manifests:
        if manifest["metadata"]["name"] not in {"airfield", "airfield-environments"}:
            continue  # roles that are for people
        if manifest["kind"] == "ClusterRole":
            for right in _rights(manifest["rules"], "cluster"):
                namespaced = right.resource.partition("/")[0] not in CLUSTER_WIDE
                found.add(right._replace(scope="environments") if namespaced else right)
        elif manifest["kind"] == "Role":
            own = manifest["metadata"]["namespace"] == SYSTEM
            found |= _rights(manifest["rules"], "own" if own else "environments")
    return found


def _asked(site: Site, *, restricted: bool = False) -> tuple[set[Right], set[str]]:
    """What the operator did, and what it was refused."""
    instance = Instance.load(site.cluster.name)
    assert instance is not None
    used, refused = set(), set()
    # The last line may still be being written.
    for line in instance.audit_log.read_text(encoding="utf-8").split("\n")[:-1]:
        entry = json.loads(line)
        target = entry.get("objectRef")
        if entry["user"]["username"] != ACCOUNT or target is None:
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        own = target.get("namespace") == SYSTEM and (restricted or resource in ALWAYS_OWN)
        scope = "cluster" if target["resource"] in CLUSTER_WIDE else "own" if own else "environments"
        right = Right(scope, target.get("apiGroup", ""), resource, entry["verb"])
        code = entry["responseStatus"]["code"]
        if code == 403:
            refused.add(f"{right} {target}")
        used.add(right)
        if entry["verb"] == "patch" and code == 201:  # an apply that makes an object
            used.add(right._replace(verb="create"))
    return used, refused


def _granted(team: Team) -> set[Right]:
    """What the Roles of the chart of environments grant: only who has a right may grant it."""
    folder = Path(__file__).parents[2] / "charts" / "airflow"
    command = [str(tool("helm")), "template", "demo", str(folder), "-n", team.namespace]
    done = subprocess.run([*command, "--set=executor=KubernetesExecutor"], capture_output=True, text=True, check=True)
    roles = [each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] == "Role"]
    # To set a reference that blocks the owner's deletion, one must be allowed to set its finalizers.
    finalizers = {Right("environments", "airfield.dev", "airflowenvironments/finalizers", "update")}
    # To bind a role whose rights one does not have, one must be allowed to: what is asked then is in no log.
    finalizers |= {Right("environments", "rbac.authorization.k8s.io", "clusterroles", "bind")}
    return {right for role in roles for right in _rights(role["rules"], "environments")} | finalizers


ALWAYS_DENIED = (
    ("get", "nodes", ""),
    ("watch", "nodes", ""),
    ("get", "nodes/stats", ""),
    ("create", "serviceaccounts/default/token", SYSTEM),
    ("create", "serviceaccounts/airfield/token", SYSTEM),
    ("get", "namespaces/default", ""),
    ("update", "namespaces/default", ""),
    ("create", "clusterroles", ""),
    ("patch", "clusterroles/airfield", ""),
    ("escalate", "clusterroles", ""),
    ("bind", "clusterroles", ""),
    ("escalate", "roles", OTHER),
    ("bind", "roles", OTHER),
    ("create", "clusterrolebindings", ""),
    ("impersonate", "users", ""),
    ("impersonate", "groups", ""),
    ("impersonate", "serviceaccounts", OTHER),
    ("create", "serviceaccounts/token", OTHER),
    ("create", "pods/exec", OTHER),
    ("get", "pods/exec", OTHER),
    ("create", "pods/attach", OTHER),
    ("create", "pods/portforward", OTHER),
    ("create", "pods/ephemeralcontainers", OTHER),
    ("get", "nodes/proxy", ""),
    ("create", "persistentvolumes", ""),
    ("list", "customresourcedefinitions.apiextensions.k8s.io", ""),
    ("create", "mutatingwebhookconfigurations.admissionregistration.k8s.io", ""),
    ("create", "daemonsets.apps", OTHER),
    ("create", "airflowenvironments.airfield.dev", OTHER),
    ("create", "airflowtenants.airfield.dev", ""),
    ("delete", "airflowtenants.airfield.dev", ""),
    ("patch", "airflowenvironmentclasses.airfield.dev", ""),
    ("get", "leases.coordination.k8s.io/other", SYSTEM),
    ("patch", "leases.coordination.k8s.io/airfield", OTHER),
    ("delete", "leases.coordination.k8s.io/airfield", SYSTEM),
    ("deletecollection", "secrets", OTHER),
    ("update", "secrets", OTHER),
)
DENIED_OUTSIDE_OF_CHOSEN = (
    # Where it has these rights, an admission policy says on which namespaces: test_tenants.py.
    ("list", "namespaces", ""),
    ("create", "namespaces", ""),
    ("patch", "namespaces/default", ""),
    ("delete", "namespaces/default", ""),
    ("delete", "airflowenvironments.airfield.dev", OTHER),
    ("get", "secrets", OTHER),
    ("list", "secrets", OTHER),
    ("list", "secrets", ""),
    ("watch", "secrets", ""),
    ("list", "secrets", "kube-system"),
    ("list", "secrets", SYSTEM),
    ("create", "pods", SYSTEM),
    ("create", "rolebindings", SYSTEM),
    ("create", "pods", OTHER),
    ("create", "deployments.apps", OTHER),
    ("create", "rolebindings", OTHER),
    ("list", "pods", ""),
    ("list", "airflowenvironments.airfield.dev", OTHER),
    ("list", "airflowenvironments.airfield.dev", ""),
    ("patch", "airflowenvironments.airfield.dev", OTHER),
)


def test_denied(watched: tuple[Site, tuple[str, ...]]) -> None:
    site, namespaces = watched
    # The question is put rightly: this much is allowed.
    mine = namespaces[0] if namespaces else OTHER
    possible = (
        ("list", "secrets", mine),
        ("create", "rolebindings", mine),
        ("get", "leases.coordination.k8s.io/airfield", SYSTEM),
        ("get", "namespaces/kube-system", ""),
        ("list", "airflowtenants.airfield.dev", ""),
    )
    table = [*possible, *ALWAYS_DENIED, *(DENIED_OUTSIDE_OF_CHOSEN if namespaces else ())]
    assert allowed(site.cluster, table, ACCOUNT) == list(possible)


async def test_no_way_up(team: Team) -> None:
    """Who may make Roles and RoleBindings must not get more rights by them."""
    kubeconfig = str(team.site.operator.kubeconfig)
    more = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}
    subjects = [{"kind": "ServiceAccount", "name": "airfield", "namespace": SYSTEM}]
    metadata = {"name": "more", "namespace": team.namespace}
    role = {"apiVersion": kinds.ROLE.api_version, "kind": "Role", "metadata": metadata, "rules": [more]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {**role, "kind": "RoleBinding", "roleRef": reference, "subjects": subjects}
    del binding["rules"]
    async with KubeClient(credentials.from_kubeconfig(path=kubeconfig)) as operator:
        for manifest in (role, binding):
            with pytest.raises(ApiError, match="attempting to grant RBAC permissions not currently held") as caught:
                await operator.apply(manifest)
            assert caught.value.forbidden
