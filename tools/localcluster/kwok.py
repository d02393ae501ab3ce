"""Simulated nodes: kwok reports them as Ready, their pods as running, and the pods of Jobs as completed."""

from localcluster.api import Api, holds
from localcluster.binaries import tool
from localcluster.instance import Instance
from localcluster.network import PAPER_PODS
from localcluster.processes import Processes

ANNOTATION = "kwok.x-k8s.io/node"
CAPACITY = {"cpu": "1000", "memory": "4Ti", "ephemeral-storage": "16Ti", "pods": "10000"}


def start(instance: Instance, processes: Processes, api: Api) -> None:
    """Start kwok and create the instance's nodes."""
    processes.start(
        "kwok",
        [
            tool("kwok"),
            f"--kubeconfig={instance.kubeconfig}",
            f"--config={instance.options.stages or tool('stages.yaml')}",
            f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake",
            f"--cidr={PAPER_PODS}",
            "--node-lease-duration-seconds=40",
        ],
    )
    for name in node_names(instance):
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {ANNOTATION: "fake"}},
            "status": {"capacity": CAPACITY, "allocatable": CAPACITY},
        }
        api.create("/api/v1/nodes", node)


def node_names(instance: Instance) -> list[str]:
    return [f"kwok-{number}" for number in range(instance.options.kwok_nodes)]


def ready(name: str, api: Api) -> bool:
    """Whether kwok reports the node as Ready."""
    return holds(api.get(f"/api/v1/nodes/{name}"), "Ready")
