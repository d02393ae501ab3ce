"""A real metrics server of a local cluster: it runs on this machine, and the API server finds it through a Service."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.platform import Platform
from localcluster import tool
from localcluster.instance import Instance

NAME, NAMESPACE, PORT = "metrics-server", "kube-system", 10251
GROUP, VERSION = "metrics.k8s.io", "v1beta1"


@contextmanager
def metrics_server(platform: Platform, folder: Path) -> Iterator[None]:
    """Within the block the cluster says what pods use, from some seconds after its beginning."""
    instance = Instance.load(platform.cluster.name)
    assert instance is not None
    host = str(instance.network.host)
    kubeconfig = platform.cluster.kubeconfig
    command = [
        str(tool("metrics-server")),
        *(f"--{name}={kubeconfig}" for name in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")),
        f"--bind-address={host}",
        f"--secure-port={PORT}",
        f"--cert-dir={folder}",
        f"--kubelet-certificate-authority={instance.pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=15s",
    ]
    metadata = {"name": NAME, "namespace": NAMESPACE}
    port = {"name": "https", "port": 443, "targetPort": PORT}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [port]}}
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host]}],
        "ports": [{"name": "https", "port": PORT}],
    }
    api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "service": metadata,
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            platform.apply([service, slice_, api])
            yield
        finally:
            # First what asks for it: as long as an API is registered and not served, no namespace can be deleted.
            of = (f"apiservice/{VERSION}.{GROUP}", f"endpointslice/{NAME}", f"service/{NAME}")
            try:
                platform.kubectl("-n", NAMESPACE, "delete", *of, "--ignore-not-found")
            finally:
                process.terminate()
