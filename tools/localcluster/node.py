"""The node of an instance: kubelet and kube-proxy, and cluster DNS on top."""

import json
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import Any

from localcluster import cgroups, host, storage
from localcluster.api import Api, holds
from localcluster.binaries import tool
from localcluster.instance import Instance
from localcluster.processes import Processes
from localcluster.runtime import COREDNS_IMAGE, Runtime
from localcluster.workspace import LocalClusterError, cache_folder, clean_environment

MANIFESTS = Path(__file__).parent / "manifests"


def node_name(instance: Instance) -> str:
    return f"airfield-{instance.name}"


def start(instance: Instance, processes: Processes) -> None:
    """Start kubelet and kube-proxy; containerd and the API server must run."""
    config = instance.folder / "kubelet.json"
    config.write_text(json.dumps(_kubelet_config(instance), indent=2))
    # Pods with dnsPolicy Default get this one: nothing outside this machine is reachable.
    (instance.folder / "resolv.conf").touch()
    processes.start(
        "kubelet",
        [
            tool("kubelet"),
            f"--config={config}",
            f"--kubeconfig={instance.folder / 'kubelet.kubeconfig'}",
            f"--root-dir={instance.folder / 'kubelet'}",
            f"--hostname-override={node_name(instance)}",
            f"--node-ip={instance.network.node}",
        ],
    )
    processes.start(
        "kube-proxy",
        [
            tool("kube-proxy"),
            f"--kubeconfig={instance.folder / 'kube-proxy.kubeconfig'}",
            f"--hostname-override={node_name(instance)}",
            f"--cluster-cidr={instance.network.pods}",
            "--proxy-mode=iptables",
            "--nodeport-addresses=primary",
            # The table's size belongs to the whole machine.
            "--conntrack-max-per-core=0",
        ],
    )


def start_dns(instance: Instance) -> None:
    """Deploy CoreDNS."""
    manifest = Template((MANIFESTS / "coredns.yaml").read_text())
    done = subprocess.run(
        [
            tool("kubectl", assets=False),
            f"--kubeconfig={instance.kubeconfig}",
            "apply",
            "--server-side",
            "--filename=-",
        ],
        input=manifest.substitute(image=COREDNS_IMAGE, address=instance.network.dns),
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    if done.returncode:
        raise LocalClusterError(f"CoreDNS could not be deployed: {done.stderr.strip()}")


def start_storage(instance: Instance, processes: Processes, api: Api) -> None:
    """Start the provisioner of persistent volumes and create its storage class."""
    packages = Path(__file__).resolve().parent.parent
    processes.start(
        "storage",
        [sys.executable, "-m", "localcluster", "provision", f"--name={instance.name}"],
        {"PYTHONPATH": str(packages), "AIRFIELD_CACHE": str(cache_folder())},
    )
    api.create("/apis/storage.k8s.io/v1/storageclasses", storage.STORAGE_CLASS)


def ready(instance: Instance, api: Api) -> bool:
    """Whether the node is Ready and cluster DNS is available."""
    node = api.get(f"/api/v1/nodes/{node_name(instance)}")
    dns = api.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
    return holds(node, "Ready") and holds(dns, "Available")


def remove(instance: Instance, processes: Processes) -> None:
    """End and remove every trace of the node, and of whatever else runs in its namespaces."""
    # First who would start others anew.
    processes.kill("kubelet", "containerd")
    cgroups.delete(instance.network.namespace)
    host.unmount_all(instance.folder)
    instance.network.delete()
    host.remove_leftovers(instance)


def _kubelet_config(instance: Instance) -> dict[str, Any]:
    folder = instance.folder
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{Runtime(instance).socket}",
        "address": str(instance.network.node),
        "tlsCertFile": str(instance.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(instance.pki / "kubelet.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(instance.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{instance.network.namespace}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [str(instance.network.dns)],
        "clusterDomain": "cluster.local",
        "resolvConf": str(folder / "resolv.conf"),
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # Images cannot be pulled again here, so none may be collected.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }
