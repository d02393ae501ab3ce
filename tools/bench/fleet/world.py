"""Where a fleet lives: a control plane with simulated nodes, one PostgreSQL server, and what answers for Airflow.

Every environment uses the same external database: making databases is the server's work, not the operator's, and the
floor has none of it. All else is as in production.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from airfield.postgres.connection import Address
from airflow_stub import AirflowStub, airflow_stub
from bench.fleet.trouble import HUGE, Trouble
from bench.setup import Say
from demo.platform import REPOSITORY, Platform
from localcluster import Cluster, Options
from postgres_server import FAKE_AIRFLOW, PostgresServer, login, running_server

Json = dict[str, Any]

NO_TROUBLE: Final = Trouble()
SYSTEM: Final = "airfield-system"
CLASS: Final = "bench"
PER_NAMESPACE: Final = 10
"""Environments that share a namespace, and a tenant."""
PODS_PER_NODE: Final = 500
MORE_OF_AIRFLOW: Final = """
INSERT INTO ab_role VALUES (nextval('ab_role_id_seq'), 'Admin');
CREATE TABLE dag_bundle (name varchar(250) PRIMARY KEY, active boolean, last_refreshed timestamptz);
INSERT INTO dag_bundle
    SELECT 'bundle-' || lpad(n::text, 2, '0'), true, now() + interval '1 day' FROM generate_series(0, 31) n;
"""
"""A role for the administrator; and the bundles of huge environments, all of them fetched, as if always just now."""


@dataclass(frozen=True)
class World:
    """One cluster with nothing of a fleet in it yet."""

    cluster: Cluster
    database: Address
    airflow: AirflowStub
    say: Say
    trouble: Trouble = NO_TROUBLE

    def pid(self, process: str) -> int:
        """The id of a process of the cluster."""
        found = self.cluster.pid(process)
        if found is None:
            raise ValueError(f"{process} of cluster {self.cluster.name} does not run any more")
        return found


@contextlib.contextmanager
def postgres() -> Iterator[Address]:
    """A server with one database that looks like Airflow's."""
    with running_server() as server, login(server.superuser) as connection:
        connection.execute(FAKE_AIRFLOW + MORE_OF_AIRFLOW)
        yield _reachable(server)


def _reachable(server: PostgresServer) -> Address:
    return server.superuser


@contextlib.contextmanager
def world(name: str, environments: int, database: Address, say: Say, trouble: Trouble = NO_TROUBLE) -> Iterator[World]:
    """A cluster for so many environments; removed in the end."""
    nodes = 1 + environments * 6 // PODS_PER_NODE
    with contextlib.ExitStack() as stack:
        stages = ""
        if trouble:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="airfield-bench-")))
            stages = str(trouble.write_stages([name for _, name in keys(environments)], folder / "stages.yaml"))
        cluster = Cluster(f"bench-{name}", Options("control-plane", kwok_nodes=nodes, stages=stages))
        stack.callback(cluster.down)
        cluster.up()
        platform = Platform(cluster)
        platform.kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
        platform.await_crds()
        platform.kubectl("create", "namespace", SYSTEM)
        airflow = stack.enter_context(airflow_stub())
        yield World(cluster, database, airflow, say, trouble)


def namespaces(environments: int) -> list[str]:
    return [f"team-{number:03d}" for number in range(-(-environments // PER_NAMESPACE))]


def keys(environments: int) -> list[tuple[str, str]]:
    """Namespace and name of every environment."""
    return [(f"team-{number // PER_NAMESPACE:03d}", f"airflow-{number:04d}") for number in range(environments)]


def blueprint(parallelism: int = 32) -> Json:
    """The class of the whole fleet. Another `parallelism` is a change that reaches every environment."""
    defaults = {
        "version": "3.3.2",
        "executor": "KubernetesExecutor",
        "config": {"core": {"parallelism": str(parallelism)}},
        "components": {"apiServer": {"replicas": 2}},
        "database": {"external": {"secret": {"name": "database"}}},
    }
    catalog = {"versions": [{"version": "3.3.2", "image": "airfield/airflow:3.3.2"}]}
    return _resource("AirflowEnvironmentClass", CLASS, {"catalog": catalog, "defaults": defaults})


def surroundings(environments: int, database: Address) -> Iterator[Json]:
    """What is there before the first environment: namespaces, tenants, the class, Secrets that users bring."""
    content = {"host": database.host, "port": str(database.port), "database": database.database}
    content |= {"username": database.user, "password": database.password, "sslmode": "disable"}
    yield blueprint()
    for namespace in namespaces(environments):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        yield _resource("AirflowTenant", namespace, {"namespaces": [{"name": namespace}], "allowedClasses": [CLASS]})
        metadata = {"name": "database", "namespace": namespace}
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}


def fleet(environments: int, trouble: Trouble = NO_TROUBLE) -> list[Json]:
    """The environments themselves."""
    spec = {"className": CLASS, "stage": "dev", "deletionPolicy": "Delete"}
    huge = trouble.huge_ones([name for _, name in keys(environments)])
    return [
        _resource("AirflowEnvironment", name, spec | HUGE if name in huge else spec, namespace)
        for namespace, name in keys(environments)
    ]


def _resource(kind: str, name: str, spec: Json, namespace: str = "") -> Json:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "airfield.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def chart() -> Path:
    return REPOSITORY / "charts" / "airflow"
