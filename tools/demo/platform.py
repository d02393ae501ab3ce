"""Airfield on a cluster: CRDs, operator, git server. Used by the demo and by the end-to-end tests."""

import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from airfield.helm.template import FEW_MESSAGES
from localcluster import Cluster, tool
from localcluster.cluster import current_kubeconfig

REPOSITORY = Path(__file__).resolve().parents[2]
OPERATOR_CHART = REPOSITORY / "charts" / "airfield"
SYSTEM = "airfield-system"
GIT = "airfield-demo"
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}

QUICKSTART = REPOSITORY / "examples" / "quickstart"
CRD_SECONDS = 60
RECORDING = "mutatingadmissionpolicybindings/airfield-changed-by"
RECORD = "airfield.dev/changed-by:"
NOT_KNOWN_YET = "There can be a delay between when CustomResourceDefinitions are created and when they are available"
"""What the API server says to who makes a resource of a kind that its mutating policies do not know yet."""

Object = dict[str, Any]


class PlatformError(Exception):
    """A step failed; the message is what kubectl or helm said."""


class Platform:
    """One cluster, seen through kubectl. Every method may be repeated."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # Others' kubeconfigs may name programs to log in with, which speak their user's language.
        brief = FEW_MESSAGES if current_kubeconfig() is None else {}
        self._environ = {**os.environ, **brief, "KUBECONFIG": str(cluster.kubeconfig)}

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl; its standard output."""
        return self._run([str(tool("kubectl")), *arguments], stdin)

    def apply(self, objects: Iterable[Mapping[str, Any]] | Path) -> str:
        """`kubectl apply --server-side` of objects, a file or a folder of files."""
        if isinstance(objects, Path):
            return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(objects))
        text = yaml.safe_dump_all(objects)
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, *arguments: str) -> Object:
        """`kubectl get … -o json`."""
        found: Object = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def namespace(self, name: str) -> None:
        """Make a namespace that enforces the restricted Pod Security Standard."""
        self.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}])

    def await_crds(self) -> None:
        """Return when the API server serves our resources. `kubectl wait` fails on CRDs that have no conditions yet."""
        deadline = time.monotonic() + CRD_SECONDS
        while not all(map(_established, self.get("-f", str(REPOSITORY / "crds"))["items"])):
            if time.monotonic() > deadline:
                raise PlatformError(f"the CRDs are not established after {CRD_SECONDS} s")
            time.sleep(0.2)

    def await_policies(self) -> None:
        """Return when our resources can be made, and who makes them is recorded where the cluster does that.

        The API server takes some seconds to see a policy, and some more until it can apply it to what new CRDs define.
        """
        try:
            recording = self.kubectl("get", "--ignore-not-found", RECORDING, "--output=name")
        except PlatformError:  # it knows no such policies
            return
        if not recording:
            return
        files = [f"--filename={QUICKSTART / name}" for name in ("class.yaml", "tenant.yaml")]
        deadline = time.monotonic() + CRD_SECONDS
        while True:
            try:
                made = self.kubectl("create", "--dry-run=server", "--output=yaml", *files)
            except PlatformError as error:
                if NOT_KNOWN_YET not in str(error):
                    return  # they are there already, or something is wrong that does not pass with time
            else:
                if made.count(RECORD) == len(files):
                    return
            if time.monotonic() > deadline:
                raise PlatformError(f"nothing is recorded by {RECORDING} after {CRD_SECONDS} s")
            time.sleep(0.5)

    def helm(self, *arguments: str) -> str:
        """Run helm in the operator's namespace; its standard output."""
        return self._run([str(tool("helm")), *arguments, "--namespace", SYSTEM])

    def install_operator(self, *settings: str, chart: Path = OPERATOR_CHART) -> None:
        """Install or upgrade the operator, with the CRDs, whatever is there of it; returns when all replicas are ready.

        `settings` are helm's `--set` pairs.
        """
        self.namespace(SYSTEM)
        # CRDs and operator may have been applied without helm.
        adopt = ("--server-side=true", "--force-conflicts", "--take-ownership")
        self.helm("upgrade", "--install", "airfield", str(chart), *adopt, *(f"--set={pair}" for pair in settings))
        self.await_crds()
        self.await_policies()
        self.kubectl("-n", SYSTEM, "rollout", "status", "deployment/airfield", "--timeout=180s")

    def install_git(self, repositories: Mapping[str, Path], namespace: str = GIT, password: str = "") -> None:
        """A git server in the cluster; each folder's files become the repository `<name>.git`, branch main.

        With a password, whoever reads from it must log in, as `git`.
        """
        self.namespace(namespace)
        folder = REPOSITORY / "tools" / "demo" / "gitserver"
        self.apply([_config_map(namespace, "git-server", [folder / "server.py"])])
        if password:
            login = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git-password", "namespace": namespace}}
            self.apply([{**login, "stringData": {"password": password}}])
        for name, files in repositories.items():
            self.apply([_config_map(namespace, f"git-seed-{name}", sorted(files.glob("*.py")))])
        self.kubectl(
            "-n", namespace, "apply", "--server-side", "--force-conflicts", "-f", str(folder / "gitserver.yaml")
        )
        self.kubectl("-n", namespace, "rollout", "status", "deployment/git", "--timeout=120s")

    def service_address(self, namespace: str, name: str) -> str:
        """The ClusterIP of a Service: this machine reaches those of its own clusters directly."""
        return str(self.get("-n", namespace, "service", name)["spec"]["clusterIP"])

    def _run(self, command: list[str], stdin: str | None = None) -> str:
        done = subprocess.run(command, input=stdin, env=self._environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PlatformError(f"{Path(command[0]).name} {' '.join(command[1:4])}: {done.stderr.strip()}")
        return done.stdout


def _established(crd: Object) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _config_map(namespace: str, name: str, files: Iterable[Path]) -> Object:
    data = {file.name: file.read_text(encoding="utf-8") for file in files}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}
