"""The operator's ServiceAccount with the rights that its chart gives it, and nothing of a chart else."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from airfield.helm.manifests import documents
from clusters import kubectl
from demo.platform import OPERATOR_CHART, SYSTEM, Platform
from localcluster import Cluster, tool

RIGHTS = frozenset(
    {
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
)
RECORDING = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
"""What a cluster must serve for changes to be recorded; the ones of tests do."""
ACCOUNT = f"system:serviceaccount:{SYSTEM}:airfield"

Json = dict[str, Any]


def render(*settings: str, chart: Path = OPERATOR_CHART) -> list[Json]:
    """The objects of the operator's chart; `settings` are helm's `--set` pairs."""
    command = [str(tool("helm")), "template", "airfield", str(chart), "-n", SYSTEM, f"--api-versions={RECORDING}"]
    done = subprocess.run(
        [*command, *(f"--set={each}" for each in settings)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def rights(manifests: Iterable[Json]) -> list[Json]:
    """Of a chart's objects those that say who may do what."""
    return [manifest for manifest in manifests if manifest["kind"] in RIGHTS]


def log_in(cluster: Cluster, kubeconfig: Path, *settings: str) -> Path:
    """Give the operator its rights in a cluster that has its namespace; `kubeconfig` is written, and lets it log in."""
    kubectl(cluster, "apply", "--server-side", "-f-", text=yaml.safe_dump_all(rights(render(*settings))))
    Platform(cluster).await_policies()
    token = kubectl(cluster, "create", "token", "airfield", f"--namespace={SYSTEM}", "--duration=12h").strip()
    document = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    document["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(yaml.safe_dump(document), encoding="utf-8")
    return kubeconfig
