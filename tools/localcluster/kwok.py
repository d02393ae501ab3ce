"""Simulated nodes: kwok reports them as Ready, their pods as running, and the pods of Jobs as completed.

Every node has a kwok of its own, which watches its own pods only, as a kubelet does. One for all of a large fleet falls
behind when its pods are rolled out: the API server ends its watch, and while it lists them all it falls behind again.
"""

from localcluster.api import Api, holds
from localcluster.binaries import tool
from localcluster.instance import Instance
from localcluster.network import PAPER_PODS
from localcluster.processes import Processes

CAPACITY = {"cpu": "1000", "memory": "4Ti", "ephemeral-storage": "16Ti", "pods": "10000"}


def start(instance: Instance, processes: Processes, api: Api) -> None:
    """Create the instance's nodes, and start a kwok for each."""
    names = node_names(instance)
    addresses = PAPER_PODS.subnets(prefixlen_diff=len(names).bit_length())
    for name, cidr in zip(names, addresses, strict=False):
        processes.start(
            name,
            [
                tool("kwok"),
                f"--kubeconfig={instance.kubeconfig}",
                f"--config={instance.options.stages or tool('stages.yaml')}",
                f"--manage-single-node={name}",
                f"--cidr={cidr}",
                "--node-lease-duration-seconds=40",
            ],
        )
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "status": {"capacity": CAPACITY, "allocatable": CAPACITY},
        }
        api.create("/api/v1/nodes", node)


def node_names(instance: Instance) -> list[str]:
    return [f"kwok-{number}" for number in range(instance.options.kwok_nodes)]


def ready(name: str, api: Api) -> bool:
    """Whether kwok reports the node as Ready."""
    return holds(api.get(f"/api/v1/nodes/{name}"), "Ready")
