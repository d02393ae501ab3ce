"""What owners, editors and viewers of a tenant may do, and what they may not; and attempts to get further."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from airfield.api import meta
from airfield.kube import kinds
from airfield.kube.kinds import Ref
from clusters import kubectl
from demo.platform import SYSTEM
from operated_cluster import IMAGE, Team, eventually
from reviews import Row, allowed

pytestmark = pytest.mark.apiserver

OWNER, EDITOR, VIEWER, STRANGER = "olga", "edo", "vera", "sam"
VIEWING = (
    *(("get", f"{what}", "") for what in ("airflowenvironments.airfield.dev", "pods", "pods/log", "deployments.apps")),
    *(
        ("list", what, "")
        for what in ("airflowenvironments.airfield.dev", "events", "events.events.k8s.io", "jobs.batch")
    ),
    *(("watch", what, "") for what in ("pods", "configmaps", "services", "persistentvolumeclaims", "resourcequotas")),
    ("list", "networkpolicies.networking.k8s.io", ""),
    ("list", "poddisruptionbudgets.policy", ""),
    ("list", "rolebindings", ""),
)
EDITING = (
    *((verb, "airflowenvironments.airfield.dev", "") for verb in ("create", "update", "patch", "delete")),
    *((verb, "secrets", "") for verb in ("create", "update", "patch", "delete")),
    ("create", "pods/portforward", ""),
    ("get", "secrets/variables", ""),
)
OWNING = (("get", "secrets/demo-admin", ""),)
NOBODYS = (
    *(("get", f"secrets/demo-{key}", "") for key in ("fernet", "api", "jwt", "database")),
    ("get", "secrets", ""),
    ("list", "secrets", ""),
    ("watch", "secrets", ""),
    ("deletecollection", "secrets", ""),
    ("deletecollection", "airflowenvironments.airfield.dev", ""),
    ("update", "airflowenvironments.airfield.dev/status", ""),
    ("update", "airflowenvironments.airfield.dev/finalizers", ""),
    *(("create", what, "") for what in ("pods", "pods/exec", "pods/attach", "configmaps", "persistentvolumeclaims")),
    *(("create", what, "") for what in ("deployments.apps", "daemonsets.apps", "jobs.batch", "serviceaccounts")),
    ("create", "serviceaccounts/token", ""),
    ("update", "pods/ephemeralcontainers", ""),
    *(
        (verb, what, "")
        for verb in ("create", "patch", "delete", "bind", "escalate")
        for what in ("roles", "rolebindings")
    ),
    *((verb, what, "") for verb in ("create", "patch", "delete") for what in ("resourcequotas", "limitranges")),
    *((verb, "networkpolicies.networking.k8s.io", "") for verb in ("create", "patch", "delete")),
    *((verb, "namespaces", "-") for verb in ("list", "create", "patch", "delete")),
    *((verb, "airflowtenants.airfield.dev", "-") for verb in ("list", "create", "patch", "delete")),
    *((verb, "airflowenvironmentclasses.airfield.dev", "-") for verb in ("create", "patch", "delete")),
    *(("impersonate", what, "-") for what in ("users", "groups")),
    ("impersonate", "serviceaccounts", ""),
    ("list", "nodes", "-"),
    ("get", "leases.coordination.k8s.io/airfield", SYSTEM),
    ("list", "secrets", SYSTEM),
    ("get", "secrets/postgres", SYSTEM),
    *((verb, "configmaps", SYSTEM) for verb in ("get", "list", "watch", "create", "update", "patch", "delete")),
    ("create", "airflowenvironments.airfield.dev", SYSTEM),
    ("list", "airflowenvironments.airfield.dev", "neighbour"),
    ("create", "airflowenvironments.airfield.dev", "neighbour"),
    ("get", "pods/log", "neighbour"),
    ("create", "secrets", "neighbour"),
    ("list", "airflowenvironments.airfield.dev", "-"),
)
"""What no role of a tenant may do. The namespace is the tenant's unless another one is named; "-" stands for none."""


def placed(rows: tuple[Row, ...], namespace: str) -> list[Row]:
    return [(verb, what, {"": namespace, "-": ""}.get(place, place)) for verb, what, place in rows]


@pytest.fixture
async def staffed(team: Team) -> Team:
    """A team with people and an environment."""
    people = {
        "owners": [{"kind": "User", "name": OWNER}],
        "editors": [
            {"kind": "Group", "name": "editors"},
            {"kind": "ServiceAccount", "name": "ci", "namespace": "builds"},
        ],
        "viewers": [{"kind": "User", "name": VIEWER}],
    }
    await team.put_tenant(**people)
    await team.put_secret("variables", {"a": "x"})
    await team.put_environment(env=[{"name": "A", "secretKeyRef": {"name": "variables", "key": "a"}}])
    await team.until_ready()

    async def bound() -> bool:
        names = {each["metadata"]["name"] for each in await team.kube.list(kinds.ROLE_BINDING, team.namespace)}
        return names >= {f"airfield-{each}" for each in ("owner", "editor", "viewer", "secrets", "logins")}

    await eventually(bound)
    return team


async def test_who_may_do_what(staffed: Team) -> None:
    namespace, cluster = staffed.namespace, staffed.site.cluster
    everything = placed((*VIEWING, *EDITING, *OWNING, *NOBODYS), namespace)
    expected = {
        (OWNER, ()): placed((*VIEWING, *EDITING, *OWNING), namespace),
        (EDITOR, ("editors",)): placed((*VIEWING, *EDITING), namespace),
        ("system:serviceaccount:builds:ci", ()): placed((*VIEWING, *EDITING), namespace),
        (VIEWER, ()): placed(VIEWING, namespace),
        (STRANGER, ()): [],
    }
    for (user, groups), rows in expected.items():

        async def may(user: str = user, groups: tuple[str, ...] = groups, rows: list[Row] = rows) -> bool:
            found = await asyncio.to_thread(allowed, cluster, everything, user, groups)
            assert found == rows, user
            return True

        await eventually(may)  # roles are put together by a controller
    classes = [("list", "airflowenvironmentclasses.airfield.dev", "")]
    assert allowed(cluster, classes, STRANGER) == classes


def run_as(team: Team, user: str, *arguments: str, text: str = "") -> str:
    """kubectl as somebody; an AssertionError has what it said when it failed."""
    return kubectl(team.site.cluster, f"--as={user}", "--as-group=system:authenticated", *arguments, text=text)


def environment(team: Team, name: str = "demo", namespace: str = "", **spec: Any) -> str:
    """The text of an environment that somebody applies."""
    metadata = {"name": name, "namespace": namespace or team.namespace}
    body = {"apiVersion": meta.API_VERSION, "kind": "AirflowEnvironment", "metadata": metadata}
    return json.dumps({**body, "spec": team.environment_spec(**spec)})


UNBOUND = '{"metadata":{"finalizers":null}}'
APPLY = ("apply", "--server-side", "-f-")
FORCE = ("apply", "--server-side", "--force-conflicts", "-f-")


def secret(
    team: Team, name: str, data: Mapping[str, str] | None = None, kind: str = "Opaque", **metadata: Mapping[str, str]
) -> str:
    """The text of a Secret that somebody applies."""
    named = {"name": name, "namespace": team.namespace, **metadata}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": named, "data": dict(data or {})})


def owned(team: Team, name: str, uid: str, *, block: bool) -> str:
    """An environment that says it belongs to another tenant, in every way there is."""
    found = json.loads(environment(team, name))
    found["metadata"] |= {label: {meta.LABEL_TENANT: "neighbour"} for label in ("labels", "annotations")}
    owner = {"apiVersion": meta.API_VERSION, "kind": "AirflowTenant", "name": "neighbour", "uid": uid}
    found["metadata"]["ownerReferences"] = [{**owner, "blockOwnerDeletion": block}]
    return json.dumps(found)


async def test_an_owner_needs_nobody(staffed: Team) -> None:
    """From a Secret to the end of an environment, with kubectl as it comes."""
    space = f"--namespace={staffed.namespace}"
    run_as(staffed, OWNER, "create", "secret", "generic", "more", "--from-literal=b=y", space)
    wanted = environment(staffed, "own", env=[{"name": "B", "secretKeyRef": {"name": "more", "key": "b"}}])
    run_as(staffed, OWNER, *APPLY, text=wanted)
    await staffed.until_ready("own")

    async def read() -> bool:
        said = await asyncio.to_thread(run_as, staffed, OWNER, "get", "secret", "more", "own-admin", "-oname", space)
        return said.split() == ["secret/more", "secret/own-admin"]

    await eventually(read)
    assert "own" in run_as(staffed, OWNER, "get", "afenv,pods,events", space)
    assert staffed.name in run_as(staffed, OWNER, "get", "afclass", staffed.name)
    run_as(staffed, OWNER, "annotate", "afenv", "own", "airfield.dev/paused=true", space)
    run_as(staffed, OWNER, "delete", "afenv", "own", space)
    run_as(staffed, OWNER, "delete", "secret", "more", space)


async def test_ways_out_that_are_none(staffed: Team, neighbour: str, neighbour_versions: dict[Ref, str]) -> None:
    """Each attempt is made for real, and changes nothing of the neighbour's."""
    space = f"--namespace={staffed.namespace}"
    generated, derived = {meta.ANNOTATION_GENERATED: "x"}, {"airfield.dev/derived": "true"}
    of_account, token = {"kubernetes.io/service-account.name": "demo-scheduler"}, "kubernetes.io/service-account-token"
    git = {"url": "https://git.example.com/dags.git", "ref": "main", "credentialsSecret": {"name": "git"}}
    abroad = {"bundles": [{"name": "a", "git": {**git, "credentialsSecret": {"name": "git", "namespace": neighbour}}}]}
    path = {"bundles": [{"name": "a", "git": {**git, "credentialsSecret": {"name": f"../{neighbour}/git"}}}]}
    volume = {"scheduler": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}
    account = {"scheduler": {"serviceAccountName": "airfield"}}
    label, operators = "airfield.dev/tenant", "are the operator's"
    attempts: tuple[tuple[str, tuple[str, ...], str], ...] = (
        # Another tenant's namespace.
        ("forbidden", APPLY, environment(staffed, "demo", neighbour)),
        ("forbidden", ("delete", "afenv", "demo", f"--namespace={neighbour}"), ""),
        ("forbidden", ("get", "secret", "demo-admin", f"--namespace={neighbour}"), ""),
        # What is not in the schema is not there.
        ("unknown field", ("create", "--validate=strict", "-f-"), environment(staffed, "x", components=volume)),
        ("unknown field", ("create", "--validate=strict", "-f-"), environment(staffed, "x", components=account)),
        ("unknown field", ("create", "--validate=strict", "-f-"), environment(staffed, "x", dags=abroad)),
        ("credentialsSecret.name", ("create", "-f-"), environment(staffed, "x", dags=path)),
        ("are the operator's own", ("create", "-f-"), environment(staffed, "x", labels={label: neighbour})),
        # The operator's own Secrets.
        ("forbidden", ("get", "secret", "demo-fernet", space), ""),
        (operators, ("delete", "secret", "demo-fernet", space), ""),
        (operators, FORCE, secret(staffed, "demo-jwt", {"private.pem": "eA=="})),
        (operators, FORCE, secret(staffed, "demo-jwt", annotations={meta.ANNOTATION_GENERATED: ""})),
        (operators, ("create", "-f-"), secret(staffed, "late-fernet", annotations=generated)),
        (operators, FORCE, secret(staffed, "variables", labels=derived)),
        # A token of a ServiceAccount that may make pods.
        (operators, ("create", "-f-"), secret(staffed, "token", kind=token, annotations=of_account)),
        # To keep another tenant from being deleted.
        ("cannot set blockOwnerDeletion", ("create", "-f-"), owned(staffed, "x", "1", block=True)),
        # To leave behind what nobody looks after.
        ("is the operator's", ("patch", "afenv", "demo", space, "--type=merge", "-p", UNBOUND), ""),
        # Rights and rules.
        ("forbidden", ("label", "namespace", staffed.namespace, f"{label}={neighbour}", "--overwrite"), ""),
        (
            "forbidden",
            ("patch", "aftenant", staffed.name, "--type=merge", "-p", '{"spec":{"allowedClasses":["x"]}}'),
            "",
        ),
        ("forbidden", ("create", "rolebinding", "x", "--clusterrole=cluster-admin", f"--user={OWNER}", space), ""),
        ("forbidden", ("delete", "rolebinding", "airfield-viewer", space), ""),
        ("forbidden", ("delete", "networkpolicy", "--all", space), ""),
        ("forbidden", ("create", "token", "demo-scheduler", space), ""),
    )
    for expected, arguments, text in attempts:
        with pytest.raises(AssertionError) as refused:
            run_as(staffed, OWNER, *arguments, text=text)
        assert expected in str(refused.value), (arguments, text)
    assert await Team(staffed.site, staffed.kube, neighbour, neighbour).versions() == neighbour_versions


async def test_pods_of_a_tenant_go_before_none_of_the_cluster(staffed: Team) -> None:
    """Whoever makes them; a DAG has its pods made by the scheduler, as it likes."""
    image = {"name": "base", "image": IMAGE, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container = {**image, "securityContext": {**secure, "seccompProfile": {"type": "RuntimeDefault"}}}

    def made(priority: Mapping[str, str], namespace: str) -> str:
        metadata, spec = {"name": "task", "namespace": namespace}, {"containers": [container], **priority}
        pod = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return kubectl(staffed.site.cluster, "create", "--dry-run=server", "-f-", "-oname", text=pod)

    above = {"priorityClassName": "system-node-critical"}
    assert made({}, staffed.namespace) == "pod/task\n"
    assert made(above, SYSTEM) == "pod/task\n"
    with pytest.raises(AssertionError, match="PriorityClasses called system-"):
        made(above, staffed.namespace)


async def test_tricks_that_pass_admission_and_come_to_nothing(staffed: Team) -> None:
    """A class that is not allowed; another environment's key; labels and owners of one's own making."""
    costly = await staffed.put_resource("AirflowEnvironmentClass", f"{staffed.name}-costly", staffed.class_of())
    run_as(staffed, OWNER, *APPLY, text=environment(staffed, "a", className=costly["metadata"]["name"]))
    await staffed.until_stuck("ClassNotAllowed", "ask the platform team", name="a")
    key = [{"name": "K", "secretKeyRef": {"name": "demo-fernet", "key": "fernet-key"}}]
    run_as(staffed, OWNER, *APPLY, text=environment(staffed, "b", env=key))
    await staffed.until_stuck("SecretInvalid", "demo-fernet", "the operator makes", name="b")
    # The fields that are unknown are dropped where nobody insists on them.
    volume = {"scheduler": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}], "serviceAccountName": "airfield"}}
    run_as(staffed, OWNER, "create", "--validate=ignore", "-f-", text=environment(staffed, "c", components=volume))
    live = await staffed.kube.get(Ref(meta.API_VERSION, "AirflowTenant", "", "neighbour"))
    assert live is not None
    run_as(staffed, OWNER, "create", "-f-", text=owned(staffed, "d", live["metadata"]["uid"], block=False))
    await staffed.until_ready("c", "d")
    for name in ("c", "d"):
        for obj in (await staffed.objects(name)).values():
            assert "hostPath" not in json.dumps(obj)
            if obj["kind"] != "Pod":
                assert obj["metadata"]["labels"][meta.LABEL_TENANT] == staffed.name
    deployment = await staffed.existing(kinds.DEPLOYMENT, "c-scheduler")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] != "airfield"


async def test_bindings_are_kept_and_go_with_who_they_are_for(staffed: Team) -> None:
    kube, viewer = staffed.kube, staffed.ref(kinds.ROLE_BINDING, "airfield-viewer")

    async def subjects() -> list[str]:
        live = await kube.get(viewer)
        return [subject["name"] for subject in live["subjects"]] if live else []

    async def are(*names: str) -> bool:
        assert await subjects() == list(names)
        return True

    await kube.patch(
        viewer, {"subjects": [{"kind": "User", "name": STRANGER, "apiGroup": "rbac.authorization.k8s.io"}]}
    )
    await eventually(lambda: are(VIEWER))
    await kube.delete(viewer)
    await eventually(lambda: are(VIEWER))
    await staffed.put_tenant(viewers=[{"kind": "User", "name": STRANGER}])
    await eventually(lambda: are(STRANGER))
    await staffed.put_tenant(viewers=[])
    await eventually(are)
    foreign = {"roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}}
    await staffed.put("rbac.authorization.k8s.io/v1", "RoleBinding", "airfield-viewer", foreign)
    await staffed.put_tenant(viewers=[{"kind": "User", "name": VIEWER}])

    async def refused() -> bool:
        live = await kube.get(Ref(meta.API_VERSION, "AirflowTenant", "", staffed.name))
        assert live is not None
        ready = next(c for c in live["status"]["conditions"] if c["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "ApplyRefused"), ready
        assert "airfield-viewer exists and does not belong to tenant" in ready["message"]
        return True

    await eventually(refused)
    await kube.delete(viewer)
    await eventually(lambda: are(VIEWER))


async def test_orphaned_keys_are_nobodys_to_read(staffed: Team) -> None:
    """Not by an environment that names them, either."""
    await staffed.put_environment("gone", deletionPolicy="Orphan")
    await staffed.until_ready("gone")
    await staffed.kube.delete(staffed.environment("gone"))

    async def orphaned() -> bool:
        return await staffed.kube.get(staffed.environment("gone")) is None

    await eventually(orphaned)
    key = [{"name": "K", "secretKeyRef": {"name": "gone-admin", "key": "password"}}]
    await staffed.put_secret("mine", {"a": "x"})
    mine = {"name": "M", "secretKeyRef": {"name": "mine", "key": "a"}}
    await staffed.put_environment("thief", env=[*key, mine])
    await staffed.until_stuck("SecretInvalid", "gone-admin", "makes for environment 'gone'", name="thief")

    async def listed() -> bool:
        role = await staffed.existing(kinds.ROLE, "airfield-secrets")
        names = role["rules"][0]["resourceNames"]
        assert "gone-admin" not in names
        return "mine" in names

    await eventually(listed)


async def test_one_foreign_object_keeps_nothing_else_from_its_place(staffed: Team) -> None:
    """Nor is what others label as the tenant's removed."""
    reading = {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]}
    label = {meta.LABEL_TENANT: staffed.name}
    await staffed.put("rbac.authorization.k8s.io/v1", "Role", "platforms-own", reading, labels=label)
    await staffed.put_tenant(owners=[])  # the Role for them goes, and somebody else takes its name

    async def free() -> bool:
        return await staffed.get(kinds.ROLE, "airfield-logins") is None

    await eventually(free)
    await staffed.put("rbac.authorization.k8s.io/v1", "Role", "airfield-logins", reading, labels={"theirs": "x"})
    people = {"owners": [{"kind": "User", "name": OWNER}], "viewers": [{"kind": "User", "name": STRANGER}]}
    await staffed.put_tenant(**people, quota={"cpu": "9"})

    async def follows() -> bool:
        live = await staffed.existing(kinds.ROLE_BINDING, "airfield-viewer")
        assert [subject["name"] for subject in live["subjects"]] == [STRANGER]
        return await staffed.get(kinds.RESOURCE_QUOTA, "airfield") is not None

    await eventually(follows)
    assert await staffed.get(kinds.ROLE, "platforms-own") is not None
    assert await staffed.get(kinds.ROLE_BINDING, "airfield-logins") is None, "it would bind somebody else's Role"
    assert (await staffed.existing(kinds.ROLE, "airfield-logins"))["metadata"]["labels"] == {"theirs": "x"}
