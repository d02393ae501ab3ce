"""The images by themselves: each works under any UID and with a read-only root, and starts from its byte code."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from airfield.api.reserved import RESERVED_CONFIG
from demo.platform import REPOSITORY, Platform, PlatformError
from e2e.reading import read
from e2e.waiting import eventually
from imagebuild.images import RECIPES
from localcluster import Cluster

pytestmark = pytest.mark.node

NAMESPACE = "images"
AIRFLOW, POSTGRES, OPERATOR = (RECIPES[name].reference for name in ("airflow", "postgres", "operator"))
UID = 1234560000
"""Such as OpenShift gives to a namespace; no passwd file has it."""
TMP, LOGS, DATA = "/tmp", "/opt/airflow/logs", "/var/lib/postgresql/data"  # noqa: S108 - of pods
QUICKSTART = REPOSITORY / "examples" / "quickstart"

STALE = """
import importlib.util, json, pathlib, sys
stale, fresh = [], 0
for root in sys.argv[1:]:
    for source in pathlib.Path(root).rglob("*.py"):
        cached, stat = pathlib.Path(importlib.util.cache_from_source(str(source))), source.stat()
        header = cached.read_bytes()[:16] if cached.exists() else b""
        stamp = [int(stat.st_mtime) & 0xFFFFFFFF, stat.st_size & 0xFFFFFFFF]
        wanted = importlib.util.MAGIC_NUMBER + b"".join(n.to_bytes(4, "little") for n in (0, *stamp))
        fresh, stale = (fresh + 1, stale) if header == wanted else (fresh, [*stale, str(source)])
print(json.dumps({"fresh": fresh, "stale": stale}))
"""
"""Prints which .py files below the folders have no byte code that Python would use."""
FORMER = """
import json
from airflow.configuration import conf
print(json.dumps([[*new, *old[:2]] for new, old in conf.deprecated_options.items()]))
"""
"""Prints (section, option, former section, former option) of all options that Airflow still reads by a former name."""

COLLECTOR = """
import airfield_collector, gc
print(gc.get_threshold())
airfield_collector.SECONDS = -1
callback = airfield_collector._looked
gc.set_threshold(7, 7, 7)
gc.collect()
print(gc.get_threshold())
gc.set_threshold(*airfield_collector.PATIENT)
gc.callbacks.append(callback)
gc.collect()
print(gc.get_threshold())
"""
"""Prints the collector's thresholds in a program's first seconds; later, if it has chosen some; and if it has not."""
LEFT = """
import sys
def end():
    left.write(sys.argv[-1] + " ends ")
left = open("/tmp/left", "a")
end()
"""
"""Writes a word, which is in the file only if Python's collector looks at what is left when a program ends."""
SHUTDOWN = """
from types import SimpleNamespace
from airflow.executors.local_executor import LocalExecutor
executor, messages = LocalExecutor(parallelism=2), []
executor.activity_queue = SimpleNamespace(put=messages.append, close=lambda: None)
executor.result_queue = SimpleNamespace(empty=lambda: True, close=lambda: None)
ended = SimpleNamespace(is_alive=lambda: False, join=lambda: None, close=lambda: None)
executor.workers = {1: ended, 2: ended}
executor.end()
print(len(messages))
"""
"""Prints how many messages a LocalExecutor sends to two workers, each of which took one that was for another."""
INTERRUPTED = """
import multiprocessing, sys
from airflow.executors.local_executor import LocalExecutor
executor, started = LocalExecutor(parallelism=3), []
start = multiprocessing.Process.start
def interrupted(process):
    start(process)
    started.append(process)
    if len(started) == 2:
        sys.exit(7)
multiprocessing.Process.start = interrupted
try:
    executor.start()
finally:
    executor.end()
"""
"""Ends with 7, if at all: told to end between the start of a worker and the note of it."""
SIGNALLED = """
import os, signal, sys
from airflow.executors.local_executor import LocalExecutor
executor, forks = LocalExecutor(parallelism=3), []
def forked():
    forks.append(1)
    if len(forks) == 2:
        os.kill(os.getpid(), signal.SIGTERM)
        len(forks)
os.register_at_fork(after_in_parent=forked)
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
try:
    executor.start()
finally:
    executor.end()
"""
"""Ends with 7 if it is not lost that a signal says so in a callback after a fork; with 0 if it is."""


class Pods:
    """Plain pods of a namespace that enforces the restricted standard."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def kubectl(self, *arguments: str) -> str:
        return self.platform.kubectl("-n", NAMESPACE, *arguments)

    def start(self, name: str, image: str, *folders: str, volumes: tuple[Any, ...] = (), **container: Any) -> None:
        """A pod that can write to `folders`; volumes are (where, source)."""
        mounts = [*((folder, {"emptyDir": {}}) for folder in folders), *volumes]
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": UID,
                "runAsGroup": 0,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": f"v{n}", "mountPath": where} for n, (where, _) in enumerate(mounts)],
                    **container,
                }
            ],
            "volumes": [{"name": f"v{n}", **source} for n, (_, source) in enumerate(mounts)],
        }
        metadata = {"name": name, "namespace": NAMESPACE}
        self.platform.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}])

    def run(self, name: str, image: str, *folders: str, **more: Any) -> tuple[int, str]:
        """The exit code of such a pod, and what it said."""
        self.start(name, image, *folders, **more)

        def ended() -> Any:
            live = read(self.platform.cluster.kubeconfig, f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
            if live is None:
                raise PlatformError(f"pod {name} is gone")
            statuses = live["status"].get("containerStatuses", [{}])
            return statuses[0].get("state", {}).get("terminated")

        found = eventually(f"end of pod {name}", ended, said=lambda: self.kubectl("describe", "pod", name))
        return int(found["exitCode"]), self.kubectl("logs", name)


@pytest.fixture(scope="module")
def pods(node_cluster: Cluster) -> Iterator[Pods]:
    platform = Platform(node_cluster)
    platform.namespace(NAMESPACE)
    pods = Pods(platform)
    pods.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=20s")
    yield pods
    platform.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_airflow_runs(pods: Pods) -> None:
    """And Python's collector lets it start, and its API server end; all else it treats as always."""
    bare = "python -I -S -c 'import gc; print(gc.get_threshold())'"
    ends = f"python -c '{LEFT}' api-server && python -c '{LEFT}' task && cat /tmp/left"
    script = f"airflow version && python -c '{COLLECTOR}' && {bare} && {ends}"
    code, said = pods.run("airflow", AIRFLOW, TMP, LOGS, args=["sh", "-c", script])
    assert code == 0, said
    version, starting, chosen, started, usual, left = said.splitlines()
    assert (version, starting, chosen) == ("3.3.2", "(50000, 20, 10)", "(7, 7, 7)")
    assert started == usual != starting
    assert left == "task ends "


def test_former_names_of_reserved_options_are_reserved(pods: Pods) -> None:
    code, said = pods.run("former", AIRFLOW, TMP, LOGS, args=["python", "-c", FORMER])
    assert code == 0, said
    options = json.loads(said.splitlines()[-1])
    former = {(old, key) for section, name, old, key in options if name in RESERVED_CONFIG.get(section, ())}
    assert ("webserver", "web_server_port") in former
    assert {(old, key) for old, key in former if key not in RESERVED_CONFIG.get(old, ())} == set()


def test_a_local_executor_ends_whoever_takes_its_messages(pods: Pods) -> None:
    code, said = pods.run("shutdown", AIRFLOW, TMP, LOGS, args=["python", "-c", SHUTDOWN])
    assert code == 0, said
    assert said.splitlines()[-1] == "2"


@pytest.mark.parametrize("script", [INTERRUPTED, SIGNALLED], ids=["interrupted", "signalled"])
def test_a_local_executor_ends_that_has_only_begun_to_start(
    pods: Pods, script: str, request: pytest.FixtureRequest
) -> None:
    code, said = pods.run(request.node.callspec.id, AIRFLOW, TMP, LOGS, args=["python", "-c", script])
    assert code == 7, said


def test_postgres_makes_a_cluster_and_serves(pods: Pods) -> None:
    pods.kubectl("create", "secret", "generic", "postgres", "--from-literal=password=of-the-owner")
    pods.start(
        "postgres",
        POSTGRES,
        TMP,
        DATA,
        volumes=(("/run/secrets/postgres", {"secret": {"secretName": "postgres"}}),),
        env=[
            {"name": "POSTGRES_USER", "value": "airflow"},
            {"name": "POSTGRES_PASSWORD_FILE", "value": "/run/secrets/postgres/password"},
        ],
        readinessProbe={"exec": {"command": ["pg_isready", "-q"]}, "periodSeconds": 1},
    )
    pods.kubectl("wait", "--for=condition=Ready", "pod/postgres", "--timeout=120s")
    login = "postgresql://airflow:of-the-owner@127.0.0.1/airflow"
    statement = "CREATE TABLE t AS SELECT 6 * 7 AS n; SELECT n, current_user FROM t; SHOW tcp_keepalives_idle"
    assert pods.kubectl("exec", "postgres", "--", "psql", "-qAt", login, "-c", statement) == "42|airflow\n30\n"
    owner = pods.kubectl("exec", "postgres", "--", "stat", "-c", "%u %a", f"{DATA}/pgdata")
    assert owner == f"{UID} 700\n"


def test_the_operator_says_what_it_lacks(pods: Pods) -> None:
    code, said = pods.run("operator", OPERATOR, TMP)
    assert code == 2
    assert len(said.splitlines()) == 1, "a sentence, and no traceback"
    assert "automountServiceAccountToken" in said


def test_the_operators_image_renders(pods: Pods) -> None:
    """Helm works in it, which caches below ~."""
    files = [f"--from-file={file}" for file in sorted(QUICKSTART.glob("*.yaml"))]
    pods.kubectl("create", "configmap", "quickstart", *files)
    examples = (("/examples", {"configMap": {"name": "quickstart"}}),)
    # A pod's log mixes both streams, line by line, as they come.
    script = "python -m airfield.cli.main render -o json -f /examples 2>/tmp/said || { cat /tmp/said; exit 1; }"
    code, said = pods.run("render", OPERATOR, TMP, volumes=examples, command=["sh", "-c", script])
    assert code == 0, said
    items = json.loads(said)["items"]
    assert "Deployment/demo-scheduler" in {f"{each['kind']}/{each['metadata']['name']}" for each in items}


@pytest.mark.parametrize(
    ("image", "folders", "at_least"),
    [
        (AIRFLOW, ("/opt/venv/lib/python3.13/site-packages/airflow",), 1000),
        (OPERATOR, ("/opt/airfield/operator", "/opt/venv/lib/python3.13/site-packages/kopf"), 80),
    ],
    ids=["airflow", "operator"],
)
def test_byte_code_is_current(
    pods: Pods, image: str, folders: tuple[str, ...], at_least: int, request: pytest.FixtureRequest
) -> None:
    name = f"bytes-{request.node.callspec.id}"
    code, said = pods.run(name, image, TMP, command=["python", "-c", STALE, *folders])
    assert code == 0, said
    found = json.loads(said)
    assert found["stale"] == []
    assert found["fresh"] >= at_least


@pytest.mark.parametrize(
    ("image", "module"), [(AIRFLOW, "airflow.configuration"), (OPERATOR, "airfield.main")], ids=["airflow", "operator"]
)
def test_byte_code_is_used(pods: Pods, image: str, module: str, request: pytest.FixtureRequest) -> None:
    """Python says where each module's code comes from."""
    name = f"import-{request.node.callspec.id}"
    code, said = pods.run(name, image, TMP, command=["python", "-v", "-c", f"import {module}"])
    assert code == 0, said
    # Paths of byte code are in quotes, those of sources are not.
    sources = re.findall(r"^# code object from '?([^'\n]+)", said, flags=re.MULTILINE)
    ours = [source for source in sources if source.startswith(("/opt/venv/", "/opt/airfield/"))]
    assert len(ours) > 50
    assert [source for source in ours if not source.endswith(".pyc")] == []
