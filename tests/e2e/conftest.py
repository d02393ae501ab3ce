"""The platform that all end-to-end tests share: one node, the operator in it, git servers, a database server."""

import os
from collections.abc import Iterator

import pytest
import yaml

from clusters import PREFIX
from demo.platform import REPOSITORY, Platform
from e2e.databases import HOST, SECRET, DatabaseServer
from e2e.databases import NAMESPACE as DATABASES
from e2e.environments import Environment
from imagebuild.build import build
from localcluster import Cluster
from localcluster.cluster import current_kubeconfig

QUICKSTART = REPOSITORY / "examples" / "quickstart"
NAMESPACES = ("served", "external", "bundles", "cancelled", "installed", "disturbed")
LOGIN, PASSWORD = "git-login", "of-the-repository"


@pytest.fixture(scope="session")
def node_cluster() -> Iterator[Cluster]:
    """A cluster with a real node and our images; with CLUSTER=current that of KUBECONFIG."""
    cluster = Cluster(f"{PREFIX}node-{os.getpid()}")
    cluster.up()
    try:
        if current_kubeconfig() is None:
            for image in build(("airflow", "postgres", "operator")):
                cluster.load_image(image.archive)
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def platform(node_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The operator runs; two git servers do, the second of which wants a login and serves the DAG `private`."""
    platform = Platform(node_cluster)
    platform.install_operator()
    platform.install_git({"dags": QUICKSTART / "dags"})
    folder = tmp_path_factory.mktemp("private")
    text = (QUICKSTART / "dags" / "hello.py").read_text(encoding="utf-8").replace("hello", "private")
    (folder / "private.py").write_text(text, encoding="utf-8")
    platform.install_git({"dags": folder}, LOGIN, PASSWORD)
    return platform


@pytest.fixture(scope="session")
def quickstart(platform: Platform) -> Environment:
    """The example, applied as it is."""
    for file in ("namespace", "class", "tenant", "environment"):
        platform.apply(QUICKSTART / f"{file}.yaml")
    return Environment(platform, "team-a-dev", "demo")


@pytest.fixture(scope="session")
def server(platform: Platform) -> DatabaseServer:
    """A database server; the example's class once more, now with this server, and a tenant who may use it."""
    server = DatabaseServer(platform)
    server.install()
    blueprint = yaml.safe_load((QUICKSTART / "class.yaml").read_text(encoding="utf-8"))
    access = {
        "adminSecret": {"name": SECRET, "namespace": DATABASES},
        "maintenanceDatabase": "airfield",
        "sslMode": "disable",
    }
    blueprint["metadata"]["name"] = "e2e"
    blueprint["spec"]["databaseServers"] = [{"name": "main", "host": HOST, **access}]
    tenant = {
        "apiVersion": "airfield.dev/v1alpha1",
        "kind": "AirflowTenant",
        "metadata": {"name": "e2e"},
        "spec": {
            "owners": [{"kind": "Group", "name": "e2e"}],
            "namespaces": [{"name": name} for name in NAMESPACES],
            "allowedClasses": ["e2e"],
        },
    }
    for name in NAMESPACES:
        platform.namespace(name)
    platform.apply([blueprint, tenant])
    return server
