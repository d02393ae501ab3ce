"""An environment on a database server: cloned, run in task pods, kept and adopted, and in the end dropped.

Its names are as long as they can be.
"""

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airfield.airflow.rest import Airflow
from airfield.postgres.names import database_name, role_name
from demo.platform import Platform
from e2e.conftest import SERVED
from e2e.databases import DatabaseServer
from e2e.environments import COMPONENT, Environment
from e2e.processes import handled
from e2e.secrecy import leaks
from e2e.waiting import Stopwatch, eventually
from localcluster.cluster import current_kubeconfig

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("steady")]

NAME = "airflow".ljust(40, "w")
"""As long as can be."""
DATABASE, ROLE = database_name(SERVED, NAME), role_name(SERVED, NAME)
BUNDLE = {
    "name": "examples",
    "git": {"url": "http://git.airfield-demo.svc.cluster.local/dags.git", "ref": "main", "refreshIntervalSeconds": 10},
}
SPEC = {"executor": "KubernetesExecutor", "database": {"server": {}}, "dags": {"bundles": [BUNDLE]}}


@pytest.fixture(scope="module")
def environment(server: DatabaseServer) -> Environment:
    """Made as soon as there is a template to clone."""
    watch = Stopwatch()
    eventually("template database", lambda: _templates_ready(server.platform))
    watch.lap("template ready")
    environment = Environment(server.platform, SERVED, NAME)
    environment.apply(**SPEC, deletionPolicy="Orphan")
    return environment


def _templates_ready(platform: Platform) -> bool:
    templates = platform.get("afclass", "e2e").get("status", {}).get("templates", [])
    return bool(templates) and all(template["ready"] for template in templates)


def test_it_is_cloned(environment: Environment, server: DatabaseServer) -> None:
    watch = Stopwatch()
    environment.until_ready()
    watch.lap("Ready")
    assert DATABASE in server.databases()
    assert ROLE in server.roles()
    events = environment.get("events")["items"]
    assert {event["involvedObject"]["kind"] for event in events} >= {"Pod", "Deployment"}
    assert not [event for event in events if event["involvedObject"]["kind"] == "Job"]


@pytest.mark.skipif(current_kubeconfig() is not None, reason="looks at processes of the node")
def test_who_watches_task_pods_ends_when_told_to(environment: Environment) -> None:
    """The scheduler and its two managers of queues have handlers; the watcher has none, for which the others wait."""
    environment.until_ready()

    def found() -> list[bool]:
        return sorted(handled(environment.pod("scheduler"), "bin/airflow", signal.SIGTERM))

    eventually("watcher that ends", lambda: found() == [False, True, True, True], said=found)


def test_task_pods_see_no_secrets(environment: Environment) -> None:
    with ThreadPoolExecutor() as executor:
        run = executor.submit(environment.succeeds, "hello")
        pods = eventually("task pod or end of the run", lambda: _task_pods(environment) or run.done())
        run.result()
    assert isinstance(pods, list)
    assert pods[0]["metadata"]["labels"]["cost-centre"] == "4711"
    spec = pods[0]["spec"]
    assert not spec["automountServiceAccountToken"]
    assert not [volume for volume in spec["volumes"] if "secret" in volume or "projected" in volume]
    for container in spec["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not [variable for variable in container["env"] if "valueFrom" in variable]
        assert not [
            variable for variable in container["env"] if "FERNET" in variable["name"] or "JWT" in variable["name"]
        ]
    assert leaks(environment) == []


def _task_pods(environment: Environment) -> list[dict[str, Any]]:
    return [pod for pod in environment.items("pods") if pod["metadata"]["labels"].get(COMPONENT) == "worker"]


def test_orphaned_and_adopted(environment: Environment, server: DatabaseServer) -> None:
    watch = Stopwatch()
    fernet = environment.get("secret", f"{NAME}-fernet")["data"]
    runs = server.ask("SELECT run_id FROM dag_run WHERE state = 'success'", DATABASE)
    assert runs
    environment.delete()
    watch.lap("deleted, data kept")
    kept = {f"Secret/{NAME}-{each}" for each in ("fernet", "jwt", "admin", "database", "api")}
    assert environment.names() == kept | {f"PersistentVolumeClaim/{NAME}-logs"}
    assert DATABASE in server.databases()
    assert ROLE in server.roles()

    environment.apply(**SPEC, deletionPolicy="Orphan")
    environment.until_ready()
    watch.lap("made again: Ready")
    assert environment.get("secret", f"{NAME}-fernet")["data"] == fernet

    async def remembered(airflow: Airflow) -> tuple[str, str]:
        return await airflow.run_state("hello", runs[0]), await airflow.task_log("hello", runs[0], "greet")

    state, log = environment.ask(remembered)
    assert state == "success"
    assert "this DAG came out of a git repository" in log


def test_dropped(environment: Environment, server: DatabaseServer) -> None:
    environment.apply(**SPEC, deletionPolicy="Delete")
    environment.delete_all()
    assert DATABASE not in server.databases()
    assert ROLE not in server.roles()
    assert "airfield" in server.databases()
