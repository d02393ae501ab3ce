"""A real Prometheus scrapes the operator as it is installed, with the chart's own alerts, and one of them fires. A real
metrics server tells what pods use, a real kubelet what volumes hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.platform import SYSTEM, Platform
from e2e.environments import Environment
from e2e.waiting import eventually
from localcluster.cluster import current_kubeconfig
from metrics_server import metrics_server
from observability.rendered import dashboard, expressions, rules_file
from prometheus_server import Prometheus, prometheus

pytestmark = [
    pytest.mark.node,
    pytest.mark.usefixtures("steady"),
    pytest.mark.skipif(
        current_kubeconfig() is not None, reason="Prometheus runs here, out of reach of other clusters' pods"
    ),
]

NAMESPACE = "observed"


@pytest.fixture(scope="module")
def observed(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    pods = platform.get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/name=airfield")["items"]
    targets = [f"{pod['status']['podIP']}:8080" for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    with prometheus(folder, targets, rules_file(folder, 'alerts.for={"AirfieldEnvironmentStalled": "1s"}')) as server:
        yield server


def test_every_replica_is_scraped_and_one_leads(platform: Platform, observed: Prometheus) -> None:
    replicas = platform.get("-n", SYSTEM, "deployment", "airfield")["spec"]["replicas"]
    eventually("scrape of each replica", lambda: observed.value("count(airfield_build_info)") == replicas, 30)
    eventually("leader", lambda: observed.value("sum(airfield_leader)") == 1, 30)
    eventually("scrapes without problems", lambda: not observed.problems(), 30, observed.problems)


def test_dashboard_shows_something(observed: Prometheus) -> None:
    queries = expressions(dashboard())
    always = ("Environments A", "Leaders A", "Replicas A", "Requests A", "Memory A", "CPU A")

    def blank() -> list[str]:
        return [title for title in always if not observed.query(queries[title])]

    eventually("data", lambda: not blank(), 30, blank)


def test_what_pods_use(bystander: Environment, observed: Prometheus, tmp_path: Path) -> None:
    """Is known as soon as there is a metrics server: some hundred MiB for Airflow, and never nothing of a processor."""
    of = f'{{namespace="{bystander.namespace}",name="{bystander.name}"}}'
    memory, cores = (f"airfield_environment_used_{what}{of}" for what in ("memory_bytes", "cpu_cores"))
    with metrics_server(bystander.platform, tmp_path):

        def told() -> bool:
            return (observed.value(memory) or 0) > 300 * 2**20 and 0 < (observed.value(cores) or 0) < 64

        eventually("memory and cores", told, said=(tmp_path / "log").read_text)


def test_what_volumes_hold(bystander: Environment, observed: Prometheus) -> None:
    """A real kubelet says it to the account that may ask for nothing else."""
    filled = f'airfield_environment_used_storage_bytes{{namespace="{bystander.namespace}",name="{bystander.name}"}}'
    eventually("bytes", lambda: (observed.value(filled) or 0) > 2**20, 120)


def test_an_alert_fires_and_ends(platform: Platform, observed: Prometheus) -> None:
    platform.namespace(NAMESPACE)  # it belongs to no tenant
    environment = Environment(platform, NAMESPACE, "nobodys")
    environment.apply()

    def firing() -> bool:
        about = {"namespace": NAMESPACE, "name": "nobodys", "reason": "NoTenant"}
        return bool(observed.firing("AirfieldEnvironmentStalled", **about))

    eventually("alert", firing, 60, environment.describe)
    environment.delete()
    eventually("end of the alert", lambda: not firing(), 60)
    platform.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
