"""The platform that all end-to-end tests share: one node, the operator in it, git servers, a database server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clusters import PREFIX, run_id, shared, turn
from demo.platform import QUICKSTART, Platform
from e2e.databases import DatabaseServer, class_with_server
from e2e.environments import Environment
from imagebuild.build import build
from localcluster import Cluster
from localcluster.cluster import current_kubeconfig

SERVED = "served".ljust(63, "d")
"""A namespace whose name is as long as can be."""
NAMESPACES = (SERVED, "mishaps", "cancelled", "disturbed", "bystander")
SETTING = "volumeStatistics.enabled=true"
"""With which the operator is installed, each time: other modules may need it afterwards."""
LOGIN, PASSWORD = "git-login", "of-the-repository"
HOSTILE = (
    '\'; DROP TABLE dag; --\n"$(HOME)" `id` $$ %(sql)s 100% {{ 1 + 1 }} {% raw %}\n[core]\nexecutor = Evil\n'
    "- &a *a: !!x # é ☃\t|\\"
)
"""What somebody may write into a setting."""


@pytest.fixture(scope="package")
def node_cluster() -> Iterator[Cluster]:
    """A cluster with a real node and our images; with CLUSTER=current that of KUBECONFIG."""
    cluster = Cluster(f"{PREFIX}node-{run_id()}")
    with shared(cluster):
        with turn("preparation", alone=True):
            for image in build(("airflow", "postgres", "operator")) if current_kubeconfig() is None else ():
                cluster.load_image(image.archive)
        yield cluster


def write_dag(folder: Path, name: str) -> None:
    """The example's DAG under another name."""
    text = (QUICKSTART / "dags" / "hello.py").read_text(encoding="utf-8")
    (folder / f"{name}.py").write_text(text.replace("hello", name), encoding="utf-8")


@pytest.fixture(scope="package")
def platform(node_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The operator runs; two git servers do, the second of which wants a login and serves the DAG `private`.

    Each worker sees to that, one at a time; the second one finds it done.
    """
    platform = Platform(node_cluster)
    folder = tmp_path_factory.mktemp("private")
    write_dag(folder, "private")
    with turn("operator", alone=False), turn("preparation", alone=True):
        platform.install_operator(SETTING)
        platform.install_git({"dags": QUICKSTART / "dags"})
        platform.install_git({"dags": folder}, LOGIN, PASSWORD)
    return platform


@pytest.fixture(scope="module")
def steady(platform: Platform) -> Iterator[Platform]:
    """The platform, and nobody takes the operator away from a module's tests."""
    with turn("operator", alone=False):
        yield platform


@pytest.fixture(scope="package")
def server(platform: Platform) -> DatabaseServer:
    """A database server; the example's class once more, now with this server, and a tenant who may use it."""
    server = DatabaseServer(platform)
    tenant = {
        "apiVersion": "airfield.dev/v1alpha1",
        "kind": "AirflowTenant",
        "metadata": {"name": "e2e"},
        "spec": {
            "owners": [{"kind": "Group", "name": "e2e"}],
            "labels": {"cost-centre": "4711"},
            "namespaces": [{"name": name} for name in NAMESPACES],
            "allowedClasses": ["e2e"],
        },
    }
    with turn("preparation", alone=True):
        server.install()
        for name in NAMESPACES:
            platform.namespace(name)
        platform.apply([class_with_server("e2e"), tenant])
    return server


@pytest.fixture(scope="module")
def bystander(steady: Platform, server: DatabaseServer) -> Iterator[Environment]:
    """A neighbour with which all is well: after a module whose environments go wrong it is what it was before."""
    del steady
    neighbour = settled(server.platform)
    before = neighbour.picture()
    yield neighbour
    neighbour.until_ready()  # on a busy machine a look at its health may have taken too long just now
    assert neighbour.picture() == before


def settled(platform: Platform) -> Environment:
    """An environment that is Ready, the same for all who ask. Its settings are as odd as they may be."""
    neighbour = Environment(platform, "bystander", "airflow")
    metadata = {"name": "wish", "namespace": neighbour.namespace}
    platform.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"text": HOSTILE}}])
    neighbour.apply(
        executor="LocalExecutor",
        database={"embedded": {"size": "1Gi"}},
        config={"e2e": {"hostile": HOSTILE}},
        env=[
            {"name": "HOSTILE", "value": HOSTILE},
            {"name": "HOSTILE_SECRET", "secretKeyRef": {"name": "wish", "key": "text"}},
        ],
    )
    neighbour.until_ready()
    return neighbour
