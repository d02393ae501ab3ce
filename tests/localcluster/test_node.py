"""An instance with a node: from `up` to `down`, and what is left of it then."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from clusters import kubectl
from localcluster import Cluster
from localcluster.images import write_program_image
from localcluster.instance import Instance

pytestmark = pytest.mark.node

PROBE = Path(__file__).parent / "probe"


@pytest.fixture(scope="module")
def probe_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    command = ["go", "build", "-trimpath", "-o", str(folder / "probe"), "."]
    subprocess.run(command, cwd=PROBE, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
    archive = folder / "probe.tar"
    write_program_image(folder / "probe", "airfield/probe:test", archive)
    return archive


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(f"test-{uuid.uuid4().hex[:8]}")
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


def test_a_node_from_up_to_down(cluster: Cluster, probe_image: Path) -> None:
    instance = Instance.load(cluster.name)
    assert instance is not None

    assert cluster.load_image(probe_image) == ["docker.io/airfield/probe:test"]
    assert cluster.load_image(probe_image) == ["docker.io/airfield/probe:test"]
    kubectl(cluster, "apply", f"-f={PROBE / 'pods.yaml'}")

    # A pod finds a service by name and writes to its volume, without being root.
    kubectl(cluster, "wait", "-n=probe", "--for=condition=Ready", "pod/greeter", "--timeout=60s")
    kubectl(cluster, "wait", "-n=probe", "--for=condition=Complete", "job/fetch", "--timeout=60s")
    volume = kubectl(cluster, "get", "pvc", "answers", "-n=probe", "-o=jsonpath={.spec.volumeName}")
    answer = instance.folder / "volumes" / volume / "answer"
    assert answer.read_text() == "hello"
    assert (answer.stat().st_uid, answer.stat().st_gid) == (50000, 50000)

    # The host reaches services and pods.
    address = kubectl(cluster, "get", "service", "greeter", "-n=probe", "-o=jsonpath={.spec.clusterIP}")
    assert fetch(f"http://{address}/") == "hello"
    address = kubectl(cluster, "get", "pod", "greeter", "-n=probe", "-o=jsonpath={.status.podIP}")
    assert fetch(f"http://{address}:8080/") == "hello"
    assert "server" not in kubectl(cluster, "logs", "greeter", "-n=probe")

    # A volume goes with its claim.
    kubectl(cluster, "delete", "job/fetch", "pvc/answers", "-n=probe", "--wait")
    kubectl(cluster, "wait", "--for=delete", f"pv/{volume}", "--timeout=20s")
    assert not answer.parent.exists()

    assert len(traces(instance)) > 10
    cluster.down()
    assert traces(instance) == []


def traces(instance: Instance) -> list[str]:
    """Whatever on this machine belongs to the instance."""
    network = instance.network
    found = [str(path) for path in Path("/run/netns").glob(network.namespace)]
    found += [str(path) for path in Path("/sys/class/net").glob(network.interface)]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{network.namespace}")]
    found += [str(path) for path in Path("/var/lib/cni/results").glob(f"{network.namespace}-*")]
    marks = (str(instance.folder), network.namespace)
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [line for line in mounts if any(mark in line for mark in marks)]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            command = process.read_bytes().decode(errors="replace")
            found += [command for mark in marks if mark in command]
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout.splitlines()
    found += [route for route in routes if f"dev {network.interface} " in f"{route} "]
    return found + ([str(instance.folder)] if instance.folder.exists() else [])


def fetch(url: str) -> str:
    with build_opener(ProxyHandler({})).open(url, timeout=5) as response:
        return str(response.read().decode())
