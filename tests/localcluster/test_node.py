"""An instance with a node: from `up` to `down`, and what is left of it then."""

import contextlib
import os
import shutil
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
    """Not started yet, ended in any case."""
    cluster = Cluster(f"test-{uuid.uuid4().hex[:8]}")
    try:
        yield cluster
    finally:
        cluster.down()


def test_a_node_from_up_to_down(cluster: Cluster, probe_image: Path) -> None:
    rules = firewall()
    cluster.up()
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

    # Another `up` leaves all of it alone.
    before = picture(cluster, instance)
    assert len(before) > 40
    cluster.up()
    assert picture(cluster, instance) == before

    # A volume goes with its claim.
    kubectl(cluster, "delete", "job/fetch", "pvc/answers", "-n=probe", "--wait")
    kubectl(cluster, "wait", "--for=delete", f"pv/{volume}", "--timeout=20s")
    assert not answer.parent.exists()

    assert len(traces(instance)) > 10
    cluster.down()
    assert traces(instance) == []
    assert firewall() == rules


def picture(cluster: Cluster, instance: Instance) -> list[str]:
    """What `up` makes and starts, each with what would be another if that were done once more."""
    network = instance.network
    files = [*instance.folder.glob("*.json"), *instance.folder.glob("*/*.json"), *instance.pki.glob("*")]
    found = [f"{path}: {path.read_text()}" for path in sorted(files)]  # settings, process ids, certificates
    found += run("ip", "-oneline", "address", "show", "dev", network.interface)
    found += run("ip", "route", "show", "dev", network.interface)
    found += run("ip", "-netns", network.namespace, "route")
    columns = "UID:.metadata.uid,NAME:.metadata.name,GENERATION:.metadata.generation,IDS:.status..containerID"
    for kind in ("deployments", "services", "configmaps", "pods", "nodes", "storageclasses"):
        found += kubectl(cluster, "get", kind, "-A", f"--output=custom-columns={columns}").splitlines()
    return found


def firewall() -> list[str]:
    """The host's chains and rules. Chains that are only there because somebody has looked accept and are empty."""
    found = []
    for program in filter(shutil.which, ("iptables-save", "ip6tables-save")):
        table = ""
        for line in run(program):
            table = line if line.startswith("*") else table
            name = line.partition(" [")[0]  # without its counters
            if line.startswith("-") or (line.startswith(":") and not name.endswith(" ACCEPT")):
                found.append(f"{program} {table} {name}")
    return found


def run(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


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
    found += [route for route in run("ip", "route") if f"dev {network.interface} " in f"{route} "]
    return found + ([str(instance.folder)] if instance.folder.exists() else [])


def fetch(url: str) -> str:
    with build_opener(ProxyHandler({})).open(url, timeout=5) as response:
        return str(response.read().decode())
