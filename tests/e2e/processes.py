"""The processes of a pod, from the outside: the node is this machine."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def processes(pod: dict[str, Any]) -> list[int]:
    """The process ids of a pod's containers, found by the containers' control groups."""
    names = [container["containerID"].rpartition("/")[2] for container in pod["status"]["containerStatuses"]]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            groups = (folder / "cgroup").read_text()
            if any(name in groups for name in names):
                found.append(int(folder.name))
    assert found, f"no process of {pod['metadata']['name']} runs on this machine"
    return found


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Inside, these processes exist but do nothing."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def kill(pids: Sequence[int]) -> None:
    """End them without a farewell."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
