"""files/airfield_kubernetes.py: requests are narrowed to the environment's Pods; who watches them ends when told to."""

import subprocess
import sys
from types import ModuleType
from urllib.parse import parse_qs, urlsplit

import pytest

from chart.rendered import CHART

PODS = "https://10.0.0.1/api/v1/namespaces/team-a/pods"
LABEL = "airfield.dev/environment=demo"


@pytest.mark.parametrize(
    ("url", "selector"),
    [
        (PODS, LABEL),
        (f"{PODS}?labelSelector=airflow-worker%3D1%2Ca%21%3DTrue&watch=True", f"airflow-worker=1,a!=True,{LABEL}"),
        (f"{PODS}?labelSelector=airflow-worker+notin+%281%2C2%29", f"airflow-worker notin (1,2),{LABEL}"),
        (f"{PODS}?labelSelector=&limit=5", LABEL),
        ("https://10.0.0.1/api/v1/pods?watch=true", LABEL),
    ],
)
def test_lists_and_watches_are_narrowed(script: dict[str, ModuleType], url: str, selector: str) -> None:
    scoped = urlsplit(script["airfield_kubernetes"].scoped("GET", url, "demo"))
    assert parse_qs(scoped.query)["labelSelector"] == [selector]
    others = {key: value for key, value in parse_qs(urlsplit(url).query).items() if key != "labelSelector"}
    assert {key: value for key, value in parse_qs(scoped.query).items() if key != "labelSelector"} == others


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", PODS),
        ("GET", f"{PODS}/task-1"),
        ("PATCH", f"{PODS}/task-1"),
        ("DELETE", f"{PODS}/task-1"),
        ("GET", f"{PODS}/task-1/log?container=base"),
        ("GET", "https://10.0.0.1/api/v1"),
        ("GET", "https://10.0.0.1/api/v1/namespaces/pods"),
    ],
)
def test_other_requests_are_left_alone(script: dict[str, ModuleType], method: str, url: str) -> None:
    assert script["airfield_kubernetes"].scoped(method, url, "demo") == url


PROCESSES = """
import multiprocessing, os, signal, sys
sys.path.insert(0, sys.argv[1])
import airfield_kubernetes
fork = multiprocessing.get_context("fork")
(begun, begin), (told, tell) = os.pipe(), os.pipe()

def run(process):
    airfield_kubernetes.let_watcher_end()
    os.write(begin, b".")
    os.read(told, 1)
    sys.exit(7)

signal.signal(signal.SIGTERM, lambda number, frame: None)
process = type(sys.argv[2], (fork.Process,), {"run": run})()
process.start()
os.read(begun, 1)
process.terminate()
os.write(tell, b".")
process.join()
print(process.exitcode)
"""
"""Starts a process of a class of that name, with a handler of signals that does nothing, and prints how it ends."""


@pytest.mark.parametrize(("name", "code"), [("KubernetesJobWatcher", "-15"), ("SpawnProcess", "7")])
def test_only_who_watches_pods_loses_the_handler(name: str, code: str) -> None:
    command = [sys.executable, "-B", "-I", "-c", PROCESSES, str(CHART / "files"), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, [code]), done.stderr
