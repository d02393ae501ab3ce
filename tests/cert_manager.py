"""A real cert-manager of a cluster, on this machine, and an issuer for all namespaces."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certificates import Authority
from demo.platform import Platform
from localcluster import tool

NAMESPACE = "cert-manager"


@contextmanager
def cert_manager(platform: Platform, issuer: str, authority: Authority, log: Path) -> Iterator[None]:
    """Within the block the ClusterIssuer `issuer` has certificates signed by `authority`."""
    platform.kubectl("apply", "--server-side", "-f", str(tool("cert-manager.yaml")))
    platform.kubectl("wait", "--for=condition=Established", "crd/clusterissuers.cert-manager.io", "--timeout=60s")
    platform.namespace(NAMESPACE)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": issuer, "namespace": NAMESPACE}}
    platform.apply(
        [
            {**secret, "type": "kubernetes.io/tls", "stringData": authority.itself()},
            {
                "apiVersion": "cert-manager.io/v1",
                "kind": "ClusterIssuer",
                "metadata": {"name": issuer},
                "spec": {"ca": {"secretName": issuer}},
            },
        ]
    )
    command = (str(tool("cert-manager")), str(platform.cluster.kubeconfig), NAMESPACE)
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()
