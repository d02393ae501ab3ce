"""The control group of a node instance, /airfield-<name>, in every hierarchy: its processes and its pods are in it."""

import contextlib
import os
import signal
import time
from pathlib import Path

from localcluster.workspace import LocalClusterError

UNIFIED = Path("/sys/fs/cgroup")


def create(name: str) -> None:
    """Make the group, with what kubelet wants to find in its `cgroupRoot`."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        # cgroup v1: a group whose sets are empty can hold no process.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy != UNIFIED and (group / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())
        if hierarchy == UNIFIED:
            for parent in (hierarchy, group):
                (parent / "cgroup.subtree_control").write_text("+cpu +cpuset +memory +pids")
    processes_group(name).mkdir(exist_ok=True)


def processes_group(name: str) -> Path:
    """Where the instance's own processes go."""
    return _process_hierarchy() / name / "processes"


def delete(name: str) -> None:
    """End everything in the group and remove it from every hierarchy."""
    deadline = time.monotonic() + 20
    while pids := _pids(_process_hierarchy() / name):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            # Those that are our own children stay until we ask for them.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            raise LocalClusterError(f"processes {sorted(pids)} of control group {name} do not end; see `ps`")
        time.sleep(0.01)
    for hierarchy in _hierarchies():
        group = hierarchy / name
        for folder, _, _ in os.walk(group, topdown=False):
            _remove(Path(folder), deadline)


def _remove(group: Path, deadline: float) -> None:
    # Its last process may still be on its way out.
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise LocalClusterError(f"control group {group} cannot be removed: {error}") from error
            time.sleep(0.01)


def _pids(group: Path) -> set[int]:
    pids: set[int] = set()
    for folder, _, _ in os.walk(group):
        with contextlib.suppress(FileNotFoundError):
            pids.update(map(int, (Path(folder) / "cgroup.procs").read_text().split()))
    return pids


def _hierarchies() -> list[Path]:
    """Where control groups are mounted: one place with cgroup v2; one for each controller, at least, with v1."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(place) for _, place, kind, *_ in mounts if kind in {"cgroup", "cgroup2"}]


def _process_hierarchy() -> Path:
    """Where we look up who belongs to a group: with v1 the hierarchy of `pids`, which every container joins."""
    return next(place for place in _hierarchies() if place in {UNIFIED, UNIFIED / "pids"})
