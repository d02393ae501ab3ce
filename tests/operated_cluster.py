"""A cluster with the operator in it, for the tests of its behaviour: everything is real but containers and Airflow.

Each pytest-xdist worker has a control plane with simulated nodes, a PostgreSQL server and an operator of its own; each
test has its own tenant, class and namespace, and a neighbour that must not notice anything.
"""

import asyncio
import os
import shutil
import uuid
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql

from airfield.api.conditions import conditions_of
from airfield.api.meta import ANNOTATION_PAUSED
from airfield.environment.values import schema_revision
from airfield.kube import credentials, kinds
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref
from airfield.postgres.connection import Address
from airfield.postgres.server import Server
from airfield.reflectors import CHILD_KINDS, OPTIONAL
from airflow_stub import AirflowStub, airflow_stub
from clusters import PREFIX, kubectl, run_id
from demo.platform import RESTRICTED, Platform
from invariants import check_invariants
from localcluster import Cluster, Options, tool
from operator_account import log_in
from operator_process import Operator
from postgres_server import FAKE_AIRFLOW, PostgresServer, login

Json = dict[str, Any]
T = TypeVar("T")

REPOSITORY = Path(__file__).parents[1]
VERSION, IMAGE = "3.3.2", "airfield/airflow:3.3.2"
SYSTEM = "airfield-system"
NEIGHBOUR = "neighbour"
FEW: Json = {"triggerer": {"replicas": 0}}
"""A component that few need: each has a Deployment's, a ReplicaSet's and a pod's requests."""
MORE_OF_AIRFLOW = """
INSERT INTO ab_role VALUES (nextval('ab_role_id_seq'), 'Admin');
CREATE TABLE dag_bundle (name varchar(250) PRIMARY KEY, active boolean, last_refreshed timestamptz);
"""
PAUSED = {ANNOTATION_PAUSED: "true"}
"""Annotations of an environment that nobody sees to."""
PULL_SECRET = "registry"
"""That of the operator."""
DEFINITIONS = ("gateway-api.yaml", "cert-manager.yaml")
DEFINED = ("crd/httproutes.gateway.networking.k8s.io", "crd/certificates.cert-manager.io")
SCHEMA = FAKE_AIRFLOW + MORE_OF_AIRFLOW
REPAIR_SECONDS = 5.0
"""From the event until what somebody did to an object is put right."""
VIOLATIONS = """
{{- $violation := get .Values.labels "violation" | default "" }}
{{- if eq $violation "kind" }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: mightier}
rules: []
{{- else if eq $violation "namespace" }}
apiVersion: v1
kind: ConfigMap
metadata: {name: stray, namespace: kube-system}
{{- else if eq $violation "broken" }}
{{ fail "this chart is broken" }}
{{- end }}
"""
"""A template that makes the chart go wrong for environments whose tenant has the label `violation`."""


async def eventually(condition: Callable[[], Awaitable[T]], seconds: float = 40, *, pause: float = 0.05) -> T:
    """What `condition` returns as soon as it is true and raises no AssertionError; in the end, its last failure.

    `pause`: seconds until the second look; longer where looking is much work.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            result = await condition()
            assert result, f"{condition} is still {result!r} after {seconds} s"
        except AssertionError:
            if loop.time() > deadline:
                raise
        else:
            return result
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, max(pause, 0.4))  # whoever asks all the time keeps the API server from getting there


@dataclass
class Site:
    """What all tests of one worker share."""

    cluster: Cluster
    postgres: PostgresServer
    airflow: AirflowStub
    operator: Operator

    def connect(self) -> KubeClient:
        # Each connection costs a handshake, and each test makes its own.
        return KubeClient(credentials.from_kubeconfig(path=str(self.cluster.kubeconfig)), connections=6)

    def kubectl(self, *arguments: str) -> str:
        return kubectl(self.cluster, *arguments)

    @contextmanager
    def no_operator(self) -> Iterator[None]:
        """Within the block none runs."""
        self.operator.kill()
        try:
            yield
        finally:
            self.operator.start()

    def external_database(self, name: str, password: str) -> Address:
        """A database that is not of the operator's making, with Airflow's schema in it."""
        with login(self.postgres.superuser) as connection:
            identifier = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(password)))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
        found = self.postgres.superuser
        address = Address(found.host, found.port, name, password, name, "disable")
        with login(address) as connection:
            connection.execute(SCHEMA)
        return address

    def databases(self, containing: str) -> set[str]:
        """Databases and roles on the server whose name contains a text."""
        with login(self.postgres.superuser) as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE strpos(datname, %(text)s) > 0"
                " UNION ALL SELECT rolname FROM pg_roles WHERE strpos(rolname, %(text)s) > 0",
                {"text": containing},
            )
            return {str(name) for (name,) in rows}

    def in_database(self, secret: Mapping[str, str]) -> psycopg.Connection:
        """A connection to an environment's database with nothing but what its Secret says."""
        return login(
            Address(
                secret["host"],
                int(secret["port"]),
                secret["username"],
                secret["password"],
                secret["database"],
                "disable",
            )
        )


@pytest.fixture(scope="package")
def site(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw")
    with operated(worker, postgres_server, tmp_path_factory.mktemp("operator")) as site:
        yield site


@contextmanager
def operated(
    name: str,
    postgres: PostgresServer,
    folder: Path,
    *,
    audited: bool = False,
    kubelets: bool = False,
    namespaces: Sequence[str] = (),
) -> Iterator[Site]:
    """A cluster of its own with the operator in it, which sees to all namespaces or only to those, made beforehand.

    `kubelets`: it may ask them, and tries to; simulated nodes have none.
    """
    cluster = Cluster(f"{PREFIX}{name}-{run_id()}", Options("control-plane", kwok_nodes=2, audited=audited))
    with ExitStack() as stack:
        stack.callback(cluster.down)
        cluster.up()
        airflow = stack.enter_context(airflow_stub())
        chart = folder / "airflow"
        shutil.copytree(REPOSITORY / "charts" / "airflow", chart)
        (chart / "templates" / "violations.yaml").write_text(VIOLATIONS)
        settings = {
            "CHART": str(chart),
            "HELM": str(tool("helm")),
            "AIRFLOW_URL": airflow.url,
            "MIGRATION_RETRY_SECONDS": "3",
            "CHANGES_RECORDED": "true",
            "IMAGE_PULL_SECRETS": PULL_SECRET,
            "WATCH_NAMESPACES": ",".join(namespaces),
            "STATISTICS_ACCOUNT": "airfield-statistics" if kubelets else "",
        }
        install(cluster, postgres)
        for namespace in namespaces:
            kubectl(cluster, "create", "namespace", namespace)
        rights = ["volumeStatistics.enabled=true"] if kubelets else []
        rights += [f"watchNamespaces={{{','.join(namespaces)}}}"] if namespaces else []
        # With no other rights than its chart gives it: the whole suite proves that they suffice.
        operator = Operator(log_in(cluster, folder / "kubeconfig", *rights), folder / "operator.log", settings)
        operator.start()
        stack.callback(operator.kill)
        yield Site(cluster, postgres, airflow, operator)


def define(cluster: Cluster) -> None:
    """Have the API server know the kinds of the Gateway API and of cert-manager; whose controllers do not run."""
    for name in DEFINITIONS:
        kubectl(cluster, "apply", "--server-side", "-f", str(tool(name)))
    kubectl(cluster, "wait", "--for=condition=Established", "--timeout=60s", *DEFINED)


def undefine(cluster: Cluster) -> None:
    """Have it forget those that are in use, and whatever there is of them.

    Of one in no use (a TLSRoute's) Kubernetes 1.36 was seen to say for minutes that its storage is initialising.
    """
    kubectl(cluster, "delete", "--ignore-not-found", *DEFINED)


def install(cluster: Cluster, postgres: PostgresServer) -> None:
    kubectl(cluster, "apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    Platform(cluster).await_crds()
    kubectl(cluster, "create", "namespace", SYSTEM)
    admin = (f"--from-literal=username={postgres.admin.user}", f"--from-literal=password={postgres.admin.password}")
    kubectl(cluster, "create", "secret", "generic", "postgres", f"--namespace={SYSTEM}", *admin)
    asyncio.run(_make_template(postgres))


async def _make_template(postgres: PostgresServer) -> None:
    """The template of the one image in use, finished; it may be there already, for another cluster."""
    revision = schema_revision(VERSION, IMAGE)
    if await fill_template(postgres, revision):
        await Server(postgres.admin).finish_template(revision)


async def fill_template(postgres: PostgresServer, revision: str) -> bool:
    """What a migration Job would do if containers ran: Airflow's schema in a template. Whether it was unfinished."""
    address = await Server(postgres.admin).begin_template(revision, "template-of-the-tests")
    if address is None:
        return False
    with login(address) as connection:
        connection.execute(SCHEMA)
    return True


@dataclass
class Team:
    """A tenant with a class and a namespace of its own, and what a user does in it."""

    site: Site
    kube: KubeClient
    name: str
    namespace: str
    tenant_spec: Json = field(default_factory=dict)
    class_spec: Json = field(default_factory=dict)

    async def settle(self) -> None:
        """Make namespace, class and tenant."""
        await self.put_namespace()
        await self.put_class()
        await self.put_tenant()

    async def put_namespace(self) -> None:
        """A namespace that enforces the restricted Pod Security Standard."""
        await self.put("v1", "Namespace", self.namespace, {}, namespaced=False, labels=RESTRICTED)

    async def leave(self) -> None:
        """Have nobody see to its environments any more. They go with the cluster: to remove them is much work."""
        for environment in await self.kube.list(kinds.AIRFLOW_ENVIRONMENT, self.namespace, metadata_only=True):
            await self.kube.patch(Ref.of(environment), {"metadata": {"annotations": PAUSED}})

    async def put_class(self, **changes: Any) -> Json:
        self.class_spec |= changes
        return await self.put_resource("AirflowEnvironmentClass", self.name, {**self.class_of(), **self.class_spec})

    def class_of(self) -> Json:
        """What a class says at first."""
        spec = {"catalog": {"versions": [{"version": VERSION, "image": IMAGE}]}, "databaseServers": [self.server()]}
        return {**spec, "defaults": {"version": VERSION, "executor": "LocalExecutor", "components": FEW}}

    async def put_tenant(self, **changes: Any) -> Json:
        self.tenant_spec |= changes
        spec = {"namespaces": [{"name": self.namespace}], "allowedClasses": [self.name], "deletionPolicy": "Orphan"}
        return await self.put_resource("AirflowTenant", self.name, {**spec, **self.tenant_spec})

    def server(self, **changes: Any) -> Json:
        """The PostgreSQL server as a class names it."""
        admin = self.site.postgres.admin
        found = {"name": "main", "host": admin.host, "port": admin.port, "sslMode": "disable"}
        found |= {"maintenanceDatabase": admin.database, "adminSecret": {"namespace": SYSTEM, "name": "postgres"}}
        return {**found, **changes}

    async def put_environment(
        self, name: str = "demo", *, annotations: Mapping[str, str] | None = None, **spec: Any
    ) -> Json:
        """Create or change an environment; what is not named is as it was in the beginning."""
        return await self.put_resource(
            "AirflowEnvironment", name, self.environment_spec(**spec), annotations=annotations
        )

    def environment_spec(self, **spec: Any) -> Json:
        return {"className": self.name, "stage": "dev", "database": {"server": {}}, **spec}

    async def put_resource(
        self, kind: str, name: str, spec: Json, *, annotations: Mapping[str, str] | None = None
    ) -> Json:
        """Create a resource of ours, or replace its specification and annotations."""
        where = {"namespace": self.namespace} if kind == "AirflowEnvironment" else {}
        metadata = {"name": name, **where, "annotations": dict(annotations or {})}
        manifest = {"apiVersion": "airfield.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        created = await self.kube.create(manifest)
        if created is not None:
            return created
        patch = [
            {"op": "add", "path": "/spec", "value": spec},
            {"op": "add", "path": "/metadata/annotations", "value": metadata["annotations"]},
        ]
        replaced = await self.kube.patch(Ref.of(manifest), patch)
        assert replaced is not None
        return replaced

    async def put_pod(self, name: str, spec: Json, **metadata: Any) -> Json:
        """A pod that the restricted Pod Security Standard allows, of one container called `base`."""
        containers = [restricted_container("base", IMAGE)]
        return await self.put("v1", "Pod", name, {"spec": {"containers": containers, **spec}}, **metadata)

    async def put_secret(self, name: str, content: Mapping[str, str]) -> Json:
        return await self.put("v1", "Secret", name, {"stringData": dict(content)})

    async def put(
        self, api_version: str, kind: str, name: str, body: Json, *, namespaced: bool = True, **metadata: Any
    ) -> Json:
        """Server-side apply as somebody else than the operator."""
        where = {"namespace": self.namespace} if namespaced else {}
        manifest = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **where, **metadata}, **body}
        return await self.kube.apply(manifest, field_manager="person")

    async def refused(self, *words: str, name: str = "demo", **spec: Any) -> str:
        """The API server's words when it refuses an environment."""
        manifest = {
            "apiVersion": "airfield.dev/v1alpha1",
            "kind": "AirflowEnvironment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": self.environment_spec(**spec),
        }
        with pytest.raises(ApiError) as caught:
            await self.kube.create(manifest)
        assert caught.value.invalid, caught.value.message
        assert_says(caught.value.message, *words)
        return caught.value.message

    def environment(self, name: str = "demo") -> Ref:
        return Ref("airfield.dev/v1alpha1", "AirflowEnvironment", self.namespace, name)

    def ref(self, kind: kinds.Kind, name: str) -> Ref:
        return Ref(kind.api_version, kind.kind, self.namespace, name)

    async def get(self, kind: kinds.Kind, name: str) -> Json | None:
        return await self.kube.get(self.ref(kind, name))

    async def existing(self, kind: kinds.Kind, name: str) -> Json:
        found = await self.get(kind, name)
        assert found is not None, f"{kind.kind} {name} does not exist"
        return found

    async def secret(self, name: str) -> dict[str, str]:
        """The decoded content of a Secret."""
        return decoded(await self.existing(kinds.SECRET, name))

    async def condition(self, kind: str, name: str = "demo", *, latest: bool = True) -> Json:
        """A condition; unless told otherwise, of a status that speaks of the latest generation."""
        live = await self.kube.get(self.environment(name))
        assert live is not None, f"environment {name} does not exist"
        status = live.get("status", {})
        if latest:
            assert status.get("observedGeneration") == live["metadata"]["generation"], "not observed yet"
        check_invariants(status.get("conditions", []), live["metadata"]["generation"])
        found = next((c for c in status.get("conditions", []) if c["type"] == kind), None)
        assert found is not None, f"no condition {kind} in {status.get('conditions')}"
        condition: Json = found
        return condition

    async def says_of_itself(self, kind: str, status: str, reason: str, *words: str) -> Json:
        """The Ready condition of the team's class or tenant, which must be that, and of the latest generation."""
        live = await self.kube.get(Ref("airfield.dev/v1alpha1", kind, "", self.name))
        assert live is not None
        ready = conditions_of(live).get("Ready")
        assert ready is not None, "not observed yet"
        assert (ready["status"], ready["reason"]) == (status, reason), ready
        assert_says(ready["message"], *words)
        assert live["status"]["observedGeneration"] == live["metadata"]["generation"]
        return live

    async def until_ready(self, *names: str, seconds: float = 60) -> None:
        """Wait until environments (`demo` if none is named) are Ready."""

        async def ready() -> bool:
            for name in names or ("demo",):
                condition = await self.condition("Ready", name)
                assert condition["status"] == "True", condition
            return True

        await eventually(ready, seconds)

    async def until_stuck(self, reason: str, *words: str, name: str = "demo", seconds: float = 40) -> Json:
        """Wait until an environment is not Ready for that reason; its message has the words."""

        async def stuck() -> Json:
            condition = await self.condition("Ready", name)
            assert (condition["status"], condition["reason"]) == ("False", reason), condition
            assert_says(condition["message"], *words)
            return condition

        return await eventually(stuck, seconds)

    async def objects(self, name: str = "demo", *, metadata_only: bool = False) -> dict[Ref, Json]:
        """Everything that carries the environment's label; with "" for a name, all of such kinds in the namespace."""
        selector = f"airfield.dev/environment={name}" if name else ""
        lists = await asyncio.gather(*(self._list(kind, selector, metadata_only) for kind in CHILD_KINDS))
        return {Ref.of(obj): obj for objects in lists for obj in objects}

    async def _list(self, kind: kinds.Kind, selector: str, metadata_only: bool) -> list[Json]:
        try:
            return await self.kube.list(kind, self.namespace, selector, metadata_only=metadata_only)
        except ApiError as error:
            if error.not_found and kind in OPTIONAL:  # its definition is not installed
                return []
            raise

    async def versions(self, name: str = "demo") -> dict[Ref, str]:
        """The resourceVersions of an environment, of all its objects, and of its class and tenant."""
        own = [
            self.environment(name),
            Ref("airfield.dev/v1alpha1", "AirflowTenant", "", self.name),
            Ref("airfield.dev/v1alpha1", "AirflowEnvironmentClass", "", self.name),
        ]
        found = {**await self.objects(name, metadata_only=True), **{ref: await self.kube.get(ref) for ref in own}}
        return {ref: obj["metadata"]["resourceVersion"] for ref, obj in found.items() if obj is not None}

    async def settled_versions(self, name: str = "demo") -> dict[Ref, str]:
        """The same, once nothing has changed for a second: controllers of the cluster have had their say."""
        before: dict[Ref, str] = {}
        since = asyncio.get_running_loop().time()

        async def settled() -> bool:
            nonlocal before, since
            now = await self.versions(name)
            if now != before:
                before, since = now, asyncio.get_running_loop().time()
            return asyncio.get_running_loop().time() - since > 1.0

        await eventually(settled, pause=1.01)  # each look is sixteen lists and three reads
        return before


def restricted_container(name: str, image: str) -> Json:
    """A container that the restricted Pod Security Standard allows."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    return {"name": name, "image": image, "securityContext": {**context, "seccompProfile": {"type": "RuntimeDefault"}}}


def decoded(secret: Mapping[str, Any]) -> dict[str, str]:
    return {key: b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def assert_says(message: str, *words: str) -> None:
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in: {message}"


@pytest.fixture(scope="package")
def neighbour_versions(site: Site) -> dict[Ref, str]:
    """The resourceVersions of an environment of another tenant that is Ready, and of all that it consists of."""

    async def make() -> dict[Ref, str]:
        async with site.connect() as kube:
            neighbour = Team(site, kube, NEIGHBOUR, NEIGHBOUR)
            await neighbour.settle()
            await neighbour.put_environment()
            await neighbour.until_ready()
            return await neighbour.settled_versions()

    return asyncio.run(make())


@pytest.fixture(scope="module")
def neighbour(site: Site, neighbour_versions: dict[Ref, str]) -> Iterator[str]:
    """The neighbour's namespace, and its tenant's name. Whatever befalls a module's teams, it is not touched."""
    yield NEIGHBOUR

    async def versions() -> dict[Ref, str]:
        async with site.connect() as kube:
            return await Team(site, kube, NEIGHBOUR, NEIGHBOUR).versions()

    changed = {ref for ref, _ in asyncio.run(versions()).items() ^ neighbour_versions.items()}
    assert not changed, f"a test of this module has changed the neighbour's {changed}"


@pytest.fixture
async def kube(site: Site) -> AsyncIterator[KubeClient]:
    async with site.connect() as kube:
        yield kube


@pytest.fixture
async def team(site: Site, kube: KubeClient, neighbour: str) -> AsyncIterator[Team]:  # noqa: ARG001 - must be there
    """A team of the test's own, which must not harm its neighbour."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    team = Team(site, kube, name, name)
    await team.settle()
    yield team
    await team.leave()
