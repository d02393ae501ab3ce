"""Instances without a node."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from clusters import kubectl
from localcluster import Cluster, LocalClusterError, Options, tool
from localcluster.api import wait_for

pytestmark = pytest.mark.apiserver

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: server}
spec: {containers: [{name: main, image: none}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: task}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: none}]}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def test_simulated_nodes_run_pods_and_complete_jobs(control_plane: Cluster) -> None:
    namespace = f"kwok-{uuid.uuid4().hex[:8]}"
    kubectl(control_plane, "create", "namespace", namespace)
    kubectl(control_plane, "wait", f"-n={namespace}", "--for=create", "serviceaccount/default", "--timeout=20s")
    kubectl(control_plane, "apply", f"-n={namespace}", "-f-", text=PODS)
    kubectl(control_plane, "wait", f"-n={namespace}", "--for=condition=Ready", "pod/server", "--timeout=20s")
    kubectl(control_plane, "wait", f"-n={namespace}", "--for=condition=Complete", "job/task", "--timeout=20s")
    kubectl(
        control_plane, "wait", f"-n={namespace}", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--timeout=20s"
    )
    kubectl(control_plane, "delete", "namespace", namespace, "--wait=false")


def test_a_second_up_changes_nothing(control_plane: Cluster) -> None:
    before = processes(control_plane)
    control_plane.up()
    assert processes(control_plane) == before
    assert control_plane.status().state == "running"


def test_an_instance_is_not_turned_into_another_kind(control_plane: Cluster) -> None:
    with pytest.raises(LocalClusterError, match=r"exists as control-plane \(2 kwok nodes\), not as control-plane"):
        Cluster(control_plane.name, Options("control-plane")).up()


def test_a_bare_instance_comes_is_repaired_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its programs are those that KUBEBUILDER_ASSETS names."""
    for program in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / program).symlink_to(tool(program))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    cluster = Cluster(f"bare-{uuid.uuid4().hex[:8]}", Options("control-plane", bare=True))
    assert cluster.status().state == "absent"
    try:
        cluster.up()
        started = processes(cluster)
        for program in ("etcd", "kube-apiserver"):
            assert _command(started.pop(program)) == str(tmp_path / program)
        assert not started, "and no controllers"
        started = processes(cluster)
        kubectl(cluster, "create", "namespace", "kept")

        subprocess.run(["kill", "-KILL", started["kube-apiserver"]], check=True)
        wait_for("its end", lambda: cluster.pid("kube-apiserver") is None, seconds=10, hint="it was killed")
        assert cluster.status().state == "degraded"
        cluster.up()
        assert processes(cluster)["etcd"] == started["etcd"]
        assert kubectl(cluster, "get", "namespace", "kept", "-o=name").strip() == "namespace/kept"
    finally:
        cluster.down()
    cluster.down()
    assert cluster.status().state == "absent"
    assert not any(Path("/proc", pid).exists() for pid in started.values())
    assert not cluster.kubeconfig.parent.exists()


def processes(cluster: Cluster) -> dict[str, str]:
    """Name → process id, from the instance's records."""
    records = (cluster.kubeconfig.parent / "processes").glob("*.json")
    return {record.stem: str(json.loads(record.read_text())["pid"]) for record in records}


def _command(pid: str) -> str:
    """The program that a process was started as."""
    return Path("/proc", pid, "cmdline").read_text().partition("\0")[0]
