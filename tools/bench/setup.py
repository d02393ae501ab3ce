"""The benchmark's cluster: Airfield, a PostgreSQL server with a template database, and namespaces to fill."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.machine import cpu_seconds
from bench.serving import Observer
from demo.platform import Platform
from imagebuild.build import build
from localcluster import Cluster, LocalClusterError
from localcluster.instance import Instance

INSTANCE = "bench"
DATABASE = "bench-database"
HERE = Path(__file__).resolve().parent
IMAGES = ("airflow", "postgres", "operator")
TEMPLATE_SECONDS = 180
QUIET_CORES = 0.25
QUIET_SECONDS = 60
ADMIN_ROLE = """
SELECT 'CREATE ROLE operator' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'operator') \\gexec
ALTER ROLE operator LOGIN CREATEDB CREATEROLE PASSWORD '{password}';
"""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Variant:
    """A way to get an Airflow: manifests to apply into a namespace of its own."""

    name: str
    title: str
    manifests: Path
    goal: float | None = None
    """At most this share of what the plain manifests take."""

    @property
    def namespace(self) -> str:
        return f"bench-{self.name}"


VARIANTS = (
    Variant("plain", "plain manifests", HERE / "plain"),
    Variant("embedded", "AirflowEnvironment, embedded database", HERE / "airfield" / "embedded.yaml", 0.9),
    Variant("server", "AirflowEnvironment, database server", HERE / "airfield" / "server.yaml", 0.6),
)


class Bench:
    """An instance of the local cluster that nothing else uses."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._cluster = Cluster(INSTANCE, progress=say)
        self.platform = Platform(self._cluster)

    def up(self, *, template: bool) -> None:
        """Start it with all images, the operator, a database server and, if wanted, the template database on it."""
        self._cluster.up()
        for image in build(IMAGES, self._say):
            self._cluster.load_image(image.archive)
        self._say("installing the operator and a database server")
        self.platform.install_operator()
        self._start_server()
        self.platform.apply(HERE / "airfield" / "class.yaml")
        if template:
            self._say("waiting for the template database")
            self._wait_for_template()

    def down(self) -> None:
        """Remove it."""
        self._cluster.down()

    def observer(self, namespace: str) -> Observer:
        """For one measurement."""
        instance = self._instance()
        return Observer(instance.address, instance.api_port, instance.pki, namespace)

    def cpu_seconds(self) -> float:
        """CPU time of the instance: control plane, operator, node and all pods."""
        return cpu_seconds(self._instance().network.namespace)

    def clear(self, variant: Variant) -> None:
        """Remove what a run left, and return when it is gone and the node is quiet."""
        delete = ("delete", "namespace", variant.namespace, "--ignore-not-found")
        self.platform.kubectl(*delete, "--wait=false")
        # Without its database a triggerer uses up all of its grace.
        self.platform.kubectl("-n", variant.namespace, "delete", "pods", "--all", "--grace-period=2", "--wait=false")
        self.platform.kubectl(*delete, "--wait", "--timeout=300s")
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(2)
            if (self.cpu_seconds() - before) / 2 < QUIET_CORES:
                return
        self._say("the node does not come to rest; measuring all the same")

    def _start_server(self) -> None:
        password = secrets.token_urlsafe(24)
        self.platform.namespace(DATABASE)
        self.platform.kubectl("-n", DATABASE, "apply", "-f", "-", stdin=_admin_secret(password))
        self.platform.kubectl("-n", DATABASE, "apply", "-f", str(HERE / "airfield" / "database.yaml"))
        self.platform.kubectl("-n", DATABASE, "rollout", "status", "statefulset/postgres", "--timeout=120s")
        psql = ("exec", "-i", "postgres-0", "--", "psql", "-v", "ON_ERROR_STOP=1", "-q")
        self.platform.kubectl("-n", DATABASE, *psql, stdin=ADMIN_ROLE.format(password=password))

    def _wait_for_template(self) -> None:
        deadline = time.monotonic() + TEMPLATE_SECONDS
        while time.monotonic() < deadline:
            status = self.platform.get("afclass", INSTANCE).get("status", {})
            templates = status.get("templates", [])
            if templates and all(template["ready"] for template in templates):
                return
            time.sleep(0.5)
        said = [condition.get("message", "") for condition in status.get("conditions", [])]
        raise TimeoutError(f"no template database after {TEMPLATE_SECONDS} s: {'; '.join(said)}")

    def _instance(self) -> Instance:
        instance = Instance.load(INSTANCE)
        if instance is None:
            raise LocalClusterError(f"the instance {INSTANCE!r} is gone; start again")
        return instance


def _admin_secret(password: str) -> str:
    content = {"username": "operator", "password": password}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "admin"}, "stringData": content})
