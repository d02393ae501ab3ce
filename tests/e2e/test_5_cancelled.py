"""An environment that is deleted while it is being made leaves nothing behind."""

import pytest

from e2e.databases import DatabaseServer
from e2e.environments import Environment
from e2e.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("steady", "bystander")]

SPEC = {"executor": "LocalExecutor", "database": {"embedded": {"size": "1Gi"}}}


@pytest.mark.parametrize("until", ["nothing", "statefulsets", "pods"])
def test_cancelled(server: DatabaseServer, until: str) -> None:
    environment = Environment(server.platform, "cancelled", "airflow")
    environment.apply(**SPEC)
    if until != "nothing":
        eventually(until, lambda: environment.items(until))
    environment.delete_all()
    everything = environment.kubectl("get", "secrets,configmaps,pods,persistentvolumeclaims", "-o", "name").split()
    assert everything == ["configmap/kube-root-ca.crt"]
