"""The processes of a pod, from the outside: the node is this machine."""

import os
import signal
from collections.abc import Iterable, Iterator
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
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Inside, these processes exist but do nothing."""
    send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        send(signal.SIGCONT, pids)


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to those of the processes that are still there: probes come and go."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
