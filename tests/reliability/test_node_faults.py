"""What can befall a node, each in the middle of something: processes that die or hang, a full disk, rights that go."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.platform import SYSTEM, PlatformError
from e2e.environments import COMPONENT, Environment, Object
from e2e.processes import connections, processes, send, stopped
from e2e.waiting import Stopwatch, eventually
from localcluster.cluster import current_kubeconfig
from reliability.record import Record
from reliability.scene import Scene

pytestmark = [
    pytest.mark.long,
    pytest.mark.node,
    pytest.mark.skipif(current_kubeconfig() is not None, reason="kills processes of the node, which must be this one"),
]

CLIENTS = ("api-server", "scheduler", "dag-processor")
"""Components with connections to the database; the scenes' environments have no triggerer."""
MIGRATING = "the schema is being made"
STARTING = "components are starting"


def test_nothing_happens(scene: Scene, record: Record) -> None:
    watch = Stopwatch()
    scene.create()
    scene.environment.until_ready()
    record.undisturbed = watch.lap("Ready")
    scene.environment.succeeds("hello")


def _migrates(scene: Scene) -> object:
    return scene.environment.items("jobs")


@dataclass(frozen=True)
class Blow:
    """A pod that is killed: as what, when, how that moment is recognised, and which it is."""

    fault: str
    moment: str
    has_come: Callable[[Scene], object]
    pod: Callable[[Scene], Object]


KILLED = {
    "operator": Blow(
        "operator: `kill -9` of the leading replica", MIGRATING, _migrates, lambda scene: scene.operators()[0]
    ),
    "database": Blow(
        "PostgreSQL: `kill -9` of all its processes",
        MIGRATING,
        lambda scene: _migrates(scene) and scene.running("database"),
        lambda scene: scene.environment.pod("database"),
    ),
    "scheduler": Blow(
        "scheduler: `kill -9` of all its processes",
        STARTING,
        lambda scene: scene.running("scheduler"),
        lambda scene: scene.environment.pod("scheduler"),
    ),
}


@pytest.mark.parametrize("blow", KILLED.values(), ids=KILLED)
def test_killed(scene: Scene, blow: Blow) -> None:
    scene.create()
    scene.until(blow.moment, lambda: blow.has_come(scene))
    pod = blow.pod(scene)
    with scene.disturbed(blow.fault, blow.moment, "kubelet"):
        send(signal.SIGKILL, processes(pod))
    assert scene.started_anew(pod)


def test_containerd_killed(scene: Scene) -> None:
    scene.create()
    scene.until("a database", lambda: scene.running("database"))
    with scene.disturbed("containerd: `kill -9`", "containers are being made", "a service manager"):
        _kill(scene, "containerd")
        scene.platform.cluster.up()


def test_api_server_killed(scene: Scene) -> None:
    scene.create()
    scene.until(MIGRATING, lambda: _migrates(scene))
    with scene.disturbed("API server: `kill -9`", MIGRATING, "a service manager"):
        _kill(scene, "kube-apiserver")
        scene.platform.cluster.up()


def _kill(scene: Scene, process: str) -> None:
    pid = scene.platform.cluster.pid(process)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(f"end of {process}", lambda: scene.platform.cluster.pid(process) is None)


def test_scheduler_hangs(scene: Scene) -> None:
    scene.create()
    scene.environment.until_ready()
    pids = processes(scene.environment.pod("scheduler"))
    with scene.disturbed("scheduler: SIGSTOP, until Ready is False", "it serves", "SIGCONT") as watch:
        with stopped(pids):
            scene.environment.until("Ready", "False", "Unhealthy")
        assert watch.lap("a scheduler that hangs is noticed") < 120


def test_database_falls_silent(scene: Scene) -> None:
    """As that of a node which is lost: nobody refuses or ends what others have opened."""
    scene.create()
    scene.environment.until_ready()
    lost = scene.environment.pod("database")
    address = lost["status"]["podIP"]

    def waiting() -> dict[str, bool]:
        """Whether a client has a connection to that database, or tries to. Clients that do not run are left out."""
        pods = [pod for pod in scene.environment.items("pods") if pod["metadata"]["labels"].get(COMPONENT) in CLIENTS]
        found = {}
        for pod in pods:
            with suppress(AssertionError):  # no process
                found[pod["metadata"]["name"]] = any(each.address == address for each in connections(pod))
        return found

    eventually("connections of all", lambda: list(waiting().values()) == [True] * len(CLIENTS), said=waiting)
    fault = "PostgreSQL: its pod falls silent, and is deleted by force"
    with scene.disturbed(fault, "it serves", "the controller of its StatefulSet"):
        down = ("ip", "link", "set", "eth0", "down")
        subprocess.run(["nsenter", "--net", f"--target={processes(lost)[0]}", *down], check=True)
        scene.environment.kubectl("delete", "pod", lost["metadata"]["name"], "--force", "--grace-period=0")
        # Liveness probes would do it, too, some minutes later.
        alone = [False] * len(CLIENTS)
        eventually("end of all connections to nobody", lambda: list(waiting().values()) == alone, 120, said=waiting)


def test_rights_revoked(scene: Scene) -> None:
    platform = scene.platform
    binding = platform.get("clusterrolebinding", "airfield")
    metadata = {
        key: binding["metadata"][key] for key in ("name", "labels", "annotations") if key in binding["metadata"]
    }
    scene.create()
    scene.until("keys", lambda: "Secret/rights-revoked-fernet" in scene.environment.names("secrets"))
    fault = "operator: its rights revoked, and the leading replica killed meanwhile"
    with scene.disturbed(fault, "keys have been made", "given back") as watch:
        platform.kubectl("delete", "clusterrolebinding", "airfield")
        try:
            eventually("word of it in the log", lambda: "(HTTP 403)" in _log(scene))
            leader = scene.operators()[0]
            send(signal.SIGKILL, processes(leader))
            eventually("restart without rights", lambda: scene.started_anew(leader))
        finally:
            platform.apply([{**binding, "metadata": metadata}])
        watch.lap("without rights")
    name = leader["metadata"]["name"]
    platform.kubectl("-n", SYSTEM, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")


def _log(scene: Scene) -> str:
    name = scene.operators()[0]["metadata"]["name"]
    return scene.platform.kubectl("-n", SYSTEM, "logs", name, "--tail=200")


def test_replicas_all_killed(scene: Scene) -> None:
    """Nobody is there to take over."""
    scene.create()
    scene.until(MIGRATING, lambda: _migrates(scene))
    with scene.disturbed("operator: `kill -9` of all replicas, twice", MIGRATING, "kubelet"):
        for _ in range(2):
            pods = scene.operators()
            for pod in pods:
                send(signal.SIGKILL, processes(pod))
            eventually("restarts", lambda pods=pods: all(map(scene.started_anew, pods)))  # type: ignore[misc]


SMALL, LARGE = "320m", "640m"
"""Of the volume: before it is full, and after somebody has enlarged it."""


@contextmanager
def volume_of(environment: Environment, folder: Path) -> Iterator[Path]:
    """A small file system of its own for an environment's database, in place of a folder on the machine's disk."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=0777", "tmpfs", str(folder)], check=True)
    name = f"small-{environment.name}"
    affinity = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "small",
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": environment.namespace, "name": f"{environment.name}-db"},
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": affinity}},
        },
    }
    environment.platform.apply([volume])
    try:
        yield folder
    finally:
        environment.platform.kubectl("delete", "persistentvolume", name, "--wait=false")
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def test_volume_full(scene: Scene, tmp_path: Path) -> None:
    with volume_of(scene.environment, tmp_path / "volume") as folder:
        scene.create(database={"embedded": {"size": "1Gi", "storageClassName": "small"}})
        scene.environment.until_ready()
        fault = "database's volume: full, until Ready is False"
        with scene.disturbed(fault, "it serves", "volume enlarged") as watch:
            _fill(scene.environment)
            watch.lap("full, and noticed")
            subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(folder)], check=True)
        scene.environment.delete()


def _fill(environment: Environment) -> None:
    """Write rows, as a DAG might whose results are too large, until there is no room and the environment says so."""
    psql = ("exec", f"{environment.name}-db-0", "--", "psql", "-qAt", "-d", "airflow", "-v", "ON_ERROR_STOP=1", "-c")
    environment.kubectl(*psql, "CREATE TABLE ballast (content text STORAGE EXTERNAL)")
    rows = "INSERT INTO ballast SELECT repeat(md5(random()::text), 300) FROM generate_series(1, 500)"  # 5 MB

    def told() -> bool:
        with suppress(PlatformError):
            environment.kubectl(*psql, rows)
        return bool(environment.condition("Ready")["status"] == "False")

    eventually("word of a full volume", told, said=environment.describe)
