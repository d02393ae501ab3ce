"""One cluster of this machine: `Cluster` starts, describes and removes it."""

import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localcluster import binaries, cgroups, control_plane, host, images, kwok, node
from localcluster.api import wait_for
from localcluster.instance import Instance, Options
from localcluster.processes import Processes, boot_id
from localcluster.runtime import Runtime
from localcluster.workspace import LocalClusterError, Progress, clusters_folder, locked, quiet


def current_kubeconfig() -> Path | None:
    """Names the cluster that is used instead of ours, if the environment says `CLUSTER=current`."""
    if os.environ.get("CLUSTER") != "current":
        return None
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(first or Path.home() / ".kube" / "config")


@dataclass(frozen=True)
class Status:
    """What there is of an instance."""

    name: str
    state: str
    """`running`, `degraded` (some of it has ended: `up` repairs it), `absent`, `foreign` (not ours)."""
    kind: str = ""
    server: str = ""
    kubeconfig: str = ""
    host_address: str = ""
    """Where pods and the API server reach this machine; nodes only."""
    processes: dict[str, bool] | None = None
    """Whether each process is alive."""

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Cluster:
    """The instance called `name`; making the object starts nothing.

    With `CLUSTER=current` it stands for the cluster that KUBECONFIG names, which is neither started nor removed.

    Args:
        name: lower-case letters, digits and dashes.
        options: what `up` is to make. Where an instance of that name exists, it must be of the same kind.
        progress: receives a line for every step that takes time.
    """

    def __init__(self, name: str = "demo", options: Options | None = None, progress: Progress = quiet) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", name):
            raise LocalClusterError(
                f"name {name!r} cannot be used: choose at most 30 lower-case letters, digits and dashes"
            )
        self.name = name
        self.options = options or Options()
        self._progress = progress
        self._lock = clusters_folder() / ".locks" / name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; exists while the instance does."""
        return current_kubeconfig() or clusters_folder() / self.name / "kubeconfig"

    def up(self) -> None:
        """Start the instance, or whatever of it does not run, and return when it can be used.

        Raises:
            LocalClusterError: this machine or this call lacks something, or a part does not start; then what was
                started stays for inspection until `down`.
        """
        if current := current_kubeconfig():
            self._progress(f"using the cluster of {current}, since CLUSTER=current")
            return
        if self.options.kind == "node":
            if self.options.bare or self.options.kwok_nodes:
                raise LocalClusterError("bare and kwok nodes are for control planes: add --control-plane")
            host.require_node_support(self._progress)
        if self.options.bare and self.options.kwok_nodes:
            raise LocalClusterError("a bare control plane has no scheduler, so kwok nodes would be of no use to it")
        self._build()
        with locked(self._lock):
            instance = Instance.load(self.name)
            if instance and instance.boot != boot_id():
                self._progress(f"{self.name} was started before this machine was; starting it anew")
                self._remove(instance)
                instance = None
            if instance and instance.options != self.options:
                raise LocalClusterError(
                    f"{self.name} exists as {instance.options}, not as {self.options}: "
                    "end it with `down`, or choose another --name"
                )
            self._start(instance or Instance.create(self.name, self.options))

    def down(self) -> None:
        """End and remove everything of the instance. Harmless if there is none."""
        if current_kubeconfig():
            return
        with locked(self._lock):
            if instance := Instance.load(self.name):
                self._progress(f"removing {self.name}")
                self._remove(instance)
            self._lock.unlink()

    def status(self) -> Status:
        """What there is of the instance now."""
        if current := current_kubeconfig():
            return Status(self.name, "foreign", kubeconfig=str(current))
        instance = Instance.load(self.name)
        if instance is None:
            return Status(self.name, "absent")
        processes = self._processes(instance)
        alive = {name: processes.alive(name) for name in processes.names()}
        running = alive and all(alive.values()) and control_plane.api_of(instance).ready()
        return Status(
            name=self.name,
            state="running" if running else "degraded",
            kind=str(instance.options),
            server=instance.server,
            kubeconfig=str(instance.kubeconfig),
            host_address="" if instance.index is None else str(instance.network.host),
            processes=alive,
        )

    def pids(self) -> dict[str, int]:
        """The process ids of all of the instance's processes that run."""
        instance = Instance.load(self.name)
        processes = None if instance is None else self._processes(instance)
        found = {name: processes.pid(name) for name in processes.names()} if processes else {}
        return {name: pid for name, pid in found.items() if pid is not None}

    def pid(self, process: str) -> int | None:
        """The process id of one of the instance's processes, `kube-apiserver` for instance; None if it does not run."""
        return self.pids().get(process)

    def load_image(self, archive: Path, tag: str | None = None) -> list[str]:
        """Make the image in `archive` (docker or OCI tar) usable by pods; quick if it already is.

        Args:
            archive: as written by `docker save` or `buildah push oci-archive:…`.
            tag: what to call it instead of what the archive says.

        Returns:
            The full names that pods may use, with `imagePullPolicy: Never` or `IfNotPresent`.
        """
        if current_kubeconfig():
            names = images.names(archive, tag)
            self._progress(f"CLUSTER=current: {', '.join(names)} must be where that cluster can pull it from")
            return names
        instance = Instance.load(self.name)
        if instance is None or instance.index is None:
            raise LocalClusterError(
                f"{self.name} has no node to load images into: start one with `up --name {self.name}`"
            )
        return Runtime(instance).load(archive, tag)

    def _build(self) -> None:
        """Build all that `up` will need before anything is started."""
        programs = ["etcd", "kube-apiserver"]
        if not self.options.bare:
            programs += ["kube-controller-manager", "kube-scheduler"]
        if self.options.kwok_nodes:
            programs.append("kwok")
        if self.options.kind == "node":
            programs += ["kubelet", "kube-proxy", "kubectl", "coredns", "pause"]
        for program in programs:
            binaries.tool(program, self._progress, assets=self.options.kind == "control-plane")

    def _start(self, instance: Instance) -> None:
        if instance.index is not None:
            if not instance.network.exists():
                instance.network.create()
            cgroups.create(instance.network.namespace)
        processes = self._processes(instance)
        if all(processes.alive(name) for name in ("etcd", "kube-apiserver")):
            self._progress(f"{self.name} is there; looking at its parts")
        else:
            self._progress(f"starting {self.name}: {instance.options}")
        control_plane.create_pki(instance)
        control_plane.start(instance, processes)
        if instance.index is not None:
            runtime = Runtime(instance)
            runtime.start(processes)
            runtime.load_own()
        control_plane.wait_until_ready(instance, processes)
        api = control_plane.api_of(instance)
        if not instance.options.bare:
            control_plane.start_controllers(instance, processes)
        if instance.options.kwok_nodes:
            kwok.start(instance, processes, api)
        if instance.index is not None:
            node.start(instance, processes)
        if instance.index is not None or instance.options.kwok_nodes:
            node.start_storage(instance, processes, api)
        if instance.index is not None:
            self._progress("waiting for the node and its DNS")
            node.start_dns(instance)
        logs = instance.folder / "logs"
        wait_for(f"{self.name}", lambda: self._usable(instance), seconds=180, hint=f"see the logs in {logs}")
        self._progress(f"{self.name} is ready: export KUBECONFIG={instance.kubeconfig}")

    def _usable(self, instance: Instance) -> bool:
        processes = self._processes(instance)
        for name in processes.names():
            if not processes.alive(name):
                raise LocalClusterError(processes.explain_failure(name))
        if instance.options.bare:
            return True
        api = control_plane.api_of(instance)
        # Until this exists, pods in that namespace are refused.
        if api.get("/api/v1/namespaces/default/serviceaccounts/default") is None:
            return False
        if instance.index is not None:
            return node.ready(instance, api)
        return all(kwok.ready(name, api) for name in kwok.node_names(instance))

    def _remove(self, instance: Instance) -> None:
        processes = self._processes(instance)
        if instance.index is not None:
            node.remove(instance, processes)
        processes.kill(*processes.names())
        shutil.rmtree(instance.folder)

    def _processes(self, instance: Instance) -> Processes:
        if instance.index is None:
            return Processes(instance.folder)
        return Processes(instance.folder, instance.network.prefix, cgroups.processes_group(instance.network.namespace))
