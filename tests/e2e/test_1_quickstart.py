"""The example as `make demo` shows it to a newcomer; then what may befall a running environment."""

import io
import json
import re
import subprocess
import urllib.request
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from demo.__main__ import first_environment
from demo.airflow import login
from demo.platform import QUICKSTART, Platform
from e2e.environments import Environment
from e2e.processes import connections, processes, stopped
from e2e.secrecy import leaks
from e2e.waiting import PATIENCE, Stopwatch, eventually
from localcluster.cluster import current_kubeconfig

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def said(steady: Platform) -> str:
    return _demo(steady)


def _demo(platform: Platform) -> str:
    """What the demo prints from the first resource on."""
    output = io.StringIO()
    try:
        with redirect_stdout(output):
            first_environment(platform)
    finally:
        print(output.getvalue())  # noqa: T201 - the record of how it went, above all where it went wrong
    return output.getvalue()


@pytest.fixture(scope="module")
def quickstart(steady: Platform, said: str) -> Environment:
    """The example, applied as it is."""
    assert said
    return Environment(steady, "team-a-dev", "demo")


def _told(said: str, command: str) -> str:
    """What a command that the demo says to try prints, in the surroundings that it says to make."""
    (surroundings,) = re.findall(r"^  export .*$", said, re.MULTILINE)
    assert command in said
    script = f"{surroundings}\n{command}"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "COLUMNS": "200"}
    return subprocess.run(["bash", "-euc", script], env=environ, capture_output=True, text=True, check=True).stdout


def test_a_dag_from_git_succeeds(said: str) -> None:
    """The demo ends when one has, tells on the way what is waited for, and then how to get in and what to try."""
    news = [line.partition("s] ")[2] for line in said.splitlines() if line.startswith("[")]
    assert len(news) >= 5, news
    assert news[-3:] == [
        "environment team-a-dev/demo is Ready",
        "running the DAG 'hello' through Airflow's REST API",
        "the DAG has succeeded",
    ]


@pytest.mark.skipif(current_kubeconfig() is not None, reason="then the way in is a port-forward")
def test_the_way_in_that_is_told(quickstart: Environment, said: str) -> None:
    (url,) = re.findall(r"^Airflow +(http\S+)$", said, re.MULTILINE)
    with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=30) as answer:  # noqa: S310 - http, see above
        assert json.load(answer)["metadatabase"]["status"] == "healthy"
    for path in ("dags", "connections", "variables"):  # who does not say who they are sees nothing else
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(f"{url}/api/v2/{path}", timeout=30)  # noqa: S310
        with refused.value as answer:
            assert answer.code == 401
    (command,) = re.findall(r"^ +(kubectl .* base64 -d)$", said, re.MULTILINE)
    assert _told(said, command) == login(quickstart.platform, "team-a-dev", "demo")[1]


def test_again_as_on_a_cluster_elsewhere(quickstart: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run touches nothing. With CLUSTER=current the demo asks through a port-forward, and tells of one."""
    before = quickstart.picture()
    monkeypatch.setenv("KUBECONFIG", str(quickstart.platform.cluster.kubeconfig))
    monkeypatch.setenv("CLUSTER", "current")
    said = _demo(quickstart.platform)
    assert "the DAG has succeeded" in said
    assert f"kubectl -n {quickstart.namespace} port-forward service/{quickstart.name}-api-server 8080" in said
    assert quickstart.picture() == before


def test_what_to_try_next(quickstart: Environment, said: str) -> None:
    found = _told(said, f"kubectl airfield status {quickstart.name} -n {quickstart.namespace}")
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in found.splitlines())}
    assert told["Ready"].startswith("True (Serving")
    assert told["Version"] == "3.3.2"
    layers = _told(said, f"kubectl airfield explain {quickstart.name} -n {quickstart.namespace}")
    assert "LocalExecutor" in layers


def test_ready_and_shown(quickstart: Environment) -> None:
    quickstart.kubectl("wait", "--for=condition=Ready", "afenv/demo", f"--timeout={PATIENCE:.0f}s")
    header, row = quickstart.kubectl("get", "afenv").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "VERSION", "TENANT", "CLASS", "AGE"]
    assert row.split()[:-1] == ["demo", "True", "Serving", "3.3.2", "team-a", "standard"]


def test_the_pods_are_harmless(quickstart: Environment) -> None:
    pods = quickstart.items("pods")
    assert len(pods) >= 5
    for pod in pods:  # the namespace enforces the standard `restricted`, which does not ask for this:
        assert not pod["spec"].get("automountServiceAccountToken")
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"], pod["metadata"]["name"]


BY_ASYNCPG = """
import os, socket, sys, uvloop
sys.path.append("/opt/airflow/config")
import airfield_timeouts
from sqlalchemy.ext.asyncio import create_async_engine
async def main():
    where = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("://")[2]
    engine = create_async_engine(f"postgresql+asyncpg://{where}", connect_args=airfield_timeouts.ARGUMENTS_ASYNC)
    async with engine.connect() as connection:
        made = (await connection.get_raw_connection()).driver_connection
        endpoint = made._transport.get_extra_info("socket")
        print(endpoint.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
    await engine.dispose()
uvloop.run(main())
"""
"""Prints how many milliseconds the API server's connections by asyncpg wait for a database that says nothing."""


@pytest.mark.skipif(current_kubeconfig() is not None, reason="looks at processes of the node")
@pytest.mark.parametrize("component", ["api-server", "scheduler", "dag-processor", "triggerer"])
def test_a_database_that_says_nothing_more_is_asked(quickstart: Environment, component: str) -> None:
    """The kernel would ask after two hours; what it was told is tried out by the campaign of faults on a real node.

    By asyncpg the API server asks only while somebody waits for the end of a run.
    """
    pod = quickstart.pod(component)

    def told() -> bool:
        found = [each for each in connections(pod) if each.port == 5432 and each.established]
        return bool(found) and all(each.probed is not None and each.probed <= 10 for each in found)

    eventually("connections that are watched", told, said=lambda: connections(pod))
    if component == "api-server":
        said = quickstart.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", BY_ASYNCPG)
        assert said == "30000\n"


def test_no_secret_leaks(quickstart: Environment) -> None:
    assert leaks(quickstart) == []


def test_drift_is_repaired(quickstart: Environment, said: str) -> None:
    before = quickstart.get("deployment", "demo-scheduler")["metadata"]["uid"]
    watch = Stopwatch()
    (command,) = re.findall("^  (kubectl .* delete deployment demo-scheduler);", said, re.MULTILINE)
    _told(said, command)
    eventually("scheduler", lambda: {"Deployment/demo-scheduler"} <= quickstart.names("deployments"))
    watch.lap("deleted Deployment: is back")
    assert quickstart.get("deployment", "demo-scheduler")["metadata"]["uid"] != before

    quickstart.kubectl("set", "image", "deployment/demo-dag-processor", "dag-processor=airfield/other:1")
    eventually("right image", lambda: _image(quickstart, "demo-dag-processor") == "airfield/airflow:3.3.2")
    watch.lap("edited image: is back")

    quickstart.kubectl("delete", "secret", "demo-api")
    eventually("Secret", lambda: {"Secret/demo-api"} <= quickstart.names("secrets"))
    watch.lap("deleted Secret: is back")

    eventually("sign of the repair", lambda: quickstart.condition("Ready")["status"] == "False")
    quickstart.until_ready()
    watch.lap("Ready again")


def _image(environment: Environment, deployment: str) -> str:
    found = environment.get("deployment", deployment)
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.usefixtures("bystander")
def test_an_image_that_cannot_be_pulled(quickstart: Environment) -> None:
    watch = Stopwatch()
    pods = _serving(quickstart)
    try:
        _change(quickstart, image={"reference": "airfield/no:1"})
        found = quickstart.until("Ready", "False", "ImagePullFailed")
        watch.lap("ImagePullFailed")
        assert "airfield/no:1" in found["message"]
        quickstart.succeeds("hello")
    finally:
        _change(quickstart, image={"reference": None})
    quickstart.until_ready()
    watch.lap("Ready with the old image")
    assert _serving(quickstart) == pods
    eventually("end of the Job with the wrong image", lambda: "airfield/no:1" not in str(quickstart.items("jobs")))


def _change(environment: Environment, **spec: Any) -> None:
    """Change some fields; None takes one away."""
    patch = json.dumps({"spec": spec})
    environment.kubectl("patch", "afenv", environment.name, "--type=merge", f"--patch={patch}")


def _serving(environment: Environment) -> set[str]:
    """The uids of the pods that are no Job's and stay."""
    metadata = [pod["metadata"] for pod in environment.items("pods")]
    return {each["uid"] for each in metadata if "job-name" not in each["labels"] and "deletionTimestamp" not in each}


HANGING = ("scheduler", "dag-processor", "triggerer")


def test_what_hangs_is_noticed(quickstart: Environment) -> None:
    watch = Stopwatch()
    unready: set[str] = set()

    def all_noticed() -> bool:
        """In the end a container that hangs is restarted, so all need not be unready at the same time."""
        unready.update(component for component in HANGING if not _pod_ready(quickstart, component))
        return unready == {*HANGING}

    with stopped([pid for component in HANGING for pid in processes(quickstart.pod(component))]):
        said = eventually("word of all", lambda: _complaint(quickstart, *HANGING), said=quickstart.describe)
        assert said.startswith("Unhealthy: ")
        watch.lap(said)
        eventually("unready pods", all_noticed, said=lambda: unready)
        watch.lap("each of their pods is not ready")
    quickstart.until_ready()
    watch.lap("they go on: Ready")
    assert all(_pod_ready(quickstart, component) for component in HANGING)


def _complaint(environment: Environment, *culprits: str) -> str:
    """Why it is not Ready, if that names the culprits."""
    found = environment.condition("Ready")
    message = f"{found['reason']}: {found['message']}"
    return message if found["status"] == "False" and all(culprit in message for culprit in culprits) else ""


def _pod_ready(environment: Environment, component: str) -> bool:
    conditions = environment.pod(component)["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


DATA = "persistentvolumeclaims,secrets"
"""What must not be lost, nor Secrets be written to."""


def test_orphaned_and_adopted(quickstart: Environment) -> None:
    """What `Delete` takes away `Orphan` keeps: the embedded database with all that Airflow knew, and the keys.

    That Airflow runs on with what was kept is seen where the database is a server's.
    """
    watch = Stopwatch()
    query = "SELECT run_id FROM dag_run WHERE state = 'success' ORDER BY 1"
    runs = _database(quickstart, query)
    assert runs
    kept = quickstart.versions(DATA)
    _change(quickstart, deletionPolicy="Orphan")
    quickstart.delete()
    watch.lap("deleted, data kept")
    assert quickstart.names() == set(kept)

    quickstart.platform.apply(QUICKSTART / "environment.yaml")
    quickstart.until("DatabaseReady", "True")
    watch.lap("made again: the database is ready")
    assert quickstart.versions(DATA) == kept
    assert _database(quickstart, query) == runs


def _database(environment: Environment, query: str) -> list[str]:
    """What the embedded database answers, a line a row."""
    psql = ("sh", "-c", 'psql -qAt -c "$0" "$POSTGRES_DB"', query)
    return environment.kubectl("exec", f"{environment.name}-db-0", "--", *psql).split()


def test_deleted_without_a_trace(quickstart: Environment) -> None:
    quickstart.delete_all()
