"""etcd, API server, controller manager and scheduler: the same for both kinds of instance."""

import json
import os

from localcluster import pki
from localcluster.api import Api, wait_for
from localcluster.binaries import tool
from localcluster.instance import Instance
from localcluster.processes import Processes
from localcluster.workspace import LocalClusterError

READY_WITHIN = 90  # seconds; a start takes 3 to 5 on an idle machine

_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
ROOMY = {"GOGC": "400", "GOMEMLIMIT": str(_MEMORY // 2)}
"""For programs that make much garbage: more memory, and less time spent on collecting it; within limits.

With a limit of 6 GiB the API server of a thousand environments spent a seventh of its work on collecting all the same.
"""

KUBECONFIGS = {
    "controller-manager": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
}


def create_pki(instance: Instance) -> None:
    """Make every key, certificate and kubeconfig that does not depend on a node."""
    if instance.kubeconfig.exists():
        return
    instance.pki.mkdir(exist_ok=True)
    authority = pki.Authority.create(instance.pki)
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    hosts = (*names, "localhost", "127.0.0.1", str(instance.services[1]), instance.address)
    # Not identified: many a cluster's API server is not, and Python 3.13 began to refuse such certificates.
    authority.issue("apiserver", "kube-apiserver", hosts=tuple(dict.fromkeys(hosts)), identified=False)
    authority.issue("front-proxy", "front-proxy")
    authority.issue("admin", "airfield-admin", group="system:masters")
    pki.create_service_account_key(instance.pki)
    for name, user in KUBECONFIGS.items():
        authority.issue(name, user)
        pki.write_kubeconfig(instance.folder / f"{name}.kubeconfig", instance.server, instance.pki, name)
    if instance.index is not None:
        node = f"airfield-{instance.name}"
        authority.issue("kubelet", f"system:node:{node}", group="system:nodes", hosts=(node, instance.address))
        authority.issue("kube-proxy", "system:kube-proxy")
        for name in ("kubelet", "kube-proxy"):
            pki.write_kubeconfig(instance.folder / f"{name}.kubeconfig", instance.server, instance.pki, name)
    # Last: its presence says that all the others are there.
    pki.write_kubeconfig(instance.kubeconfig, instance.server, instance.pki, "admin")


def api_of(instance: Instance) -> Api:
    """The instance's API server."""
    return Api(instance.address, instance.api_port, instance.pki)


def start(instance: Instance, processes: Processes) -> None:
    """Start etcd and the API server, which waits for etcd by itself."""
    # A node must not be newer than its API server, so there ours are used, whatever the environment provides.
    assets = instance.index is None
    etcd = f"http://127.0.0.1:{instance.etcd_port}"
    etcd_peer = f"http://127.0.0.1:{instance.etcd_peer_port}"
    processes.start(
        "etcd",
        [
            tool("etcd", assets=assets),
            "--name=etcd",
            f"--data-dir={instance.folder / 'etcd'}",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={etcd_peer}",
            f"--initial-advertise-peer-urls={etcd_peer}",
            f"--initial-cluster=etcd={etcd_peer}",
            # The data is worth nothing after a crash of the machine, and disks are slow.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
        ROOMY,
    )
    keys = instance.pki
    # The API server publishes its address for pods; loopback would be refused, and there are no pods.
    endpoints = ["--endpoint-reconciler-type=none"] if instance.index is None else []
    processes.start(
        "kube-apiserver",
        [
            tool("kube-apiserver", assets=assets),
            f"--etcd-servers={etcd}",
            f"--bind-address={instance.address}",
            f"--advertise-address={instance.address}",
            f"--secure-port={instance.api_port}",
            f"--tls-cert-file={keys / 'apiserver.crt'}",
            f"--tls-private-key-file={keys / 'apiserver.key'}",
            f"--client-ca-file={keys / 'ca.crt'}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={keys / 'sa.pub'}",
            f"--service-account-signing-key-file={keys / 'sa.key'}",
            f"--service-cluster-ip-range={instance.services}",
            "--authorization-mode=Node,RBAC",
            # The second is for the sake of rights: many platforms have it.
            "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
            "--allow-privileged=true",
            # APIs that others serve, as a metrics server does, believe what the API server says of who asks.
            f"--requestheader-client-ca-file={keys / 'ca.crt'}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={keys / 'front-proxy.crt'}",
            f"--proxy-client-key-file={keys / 'front-proxy.key'}",
            f"--kubelet-certificate-authority={keys / 'ca.crt'}",
            f"--kubelet-client-certificate={keys / 'admin.crt'}",
            f"--kubelet-client-key={keys / 'admin.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            *endpoints,
            *_auditing(instance),
        ],
        ROOMY,
    )


def _auditing(instance: Instance) -> list[str]:
    """What makes the API server write down every request, without bodies."""
    if not instance.options.audited:
        return []
    policy = instance.folder / "audit-policy.yaml"
    rules = {"omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
    content = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **rules}
    policy.write_text(json.dumps(content))
    return [f"--audit-policy-file={policy}", f"--audit-log-path={instance.audit_log}"]


def wait_until_ready(instance: Instance, processes: Processes) -> None:
    """Return when the API server answers."""
    api = api_of(instance)

    def ready() -> bool:
        for name in ("etcd", "kube-apiserver"):
            if not processes.alive(name):
                raise LocalClusterError(processes.explain_failure(name))
        return api.ready()

    hint = f"see {instance.folder / 'logs' / 'kube-apiserver.log'}"
    wait_for("the API server's start", ready, seconds=READY_WITHIN, hint=hint)


def start_controllers(instance: Instance, processes: Processes) -> None:
    """Start the controller manager and the scheduler."""
    processes.start(
        "kube-controller-manager",
        [
            tool("kube-controller-manager"),
            f"--kubeconfig={instance.folder / 'controller-manager.kubeconfig'}",
            f"--root-ca-file={instance.pki / 'ca.crt'}",
            f"--service-account-private-key-file={instance.pki / 'sa.key'}",
            f"--cluster-signing-cert-file={instance.pki / 'ca.crt'}",
            f"--cluster-signing-key-file={instance.pki / 'ca.key'}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
            # Fleets of hundreds of environments are made at once here; 20 requests a second would be the bottleneck.
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            # A busy machine must not make a node look lost: its pods would be marked as not ready.
            "--node-monitor-grace-period=300s",
        ],
        ROOMY,
    )
    processes.start(
        "kube-scheduler",
        [
            tool("kube-scheduler"),
            f"--kubeconfig={instance.folder / 'scheduler.kubeconfig'}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=300",
            "--kube-api-burst=600",
        ],
    )
