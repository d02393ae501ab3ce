"""The processes of a pod, from the outside: the node is this machine."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from demo.platform import SYSTEM, Platform


def operators(platform: Platform) -> list[dict[str, Any]]:
    """The operator's pods, the leader first."""
    pods: list[dict[str, Any]] = platform.get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/name=airfield")["items"]
    holder = platform.get("-n", SYSTEM, "lease", "airfield")["spec"].get("holderIdentity")
    return sorted(pods, key=lambda pod: pod["metadata"]["name"] != holder)


def restarts(pod: dict[str, Any]) -> int:
    """How often containers of a pod were started again."""
    return sum(each["restartCount"] for each in pod["status"]["containerStatuses"])


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


def handled(pod: dict[str, Any], word: str, number: signal.Signals) -> list[bool]:
    """Of each process of a pod with that word in its command: whether the signal does something else than end it."""
    found = []
    for pid in processes(pod):
        with suppress(FileNotFoundError, ProcessLookupError):
            status = dict(line.split(":", 1) for line in Path("/proc", str(pid), "status").read_text().splitlines())
            if word in Path("/proc", str(pid), "cmdline").read_text(encoding="utf-8"):
                found.append(bool((int(status["SigCgt"], 16) | int(status["SigIgn"], 16)) >> (number - 1) & 1))
    return found


@dataclass(frozen=True)
class Connection:
    """A TCP connection of a pod. `probed`: the seconds until the kernel asks whether the other side is still there."""

    address: str
    port: int
    established: bool
    probed: float | None


def connections(pod: dict[str, Any]) -> list[Connection]:
    """Those that it has opened and not closed, or is opening: proc_pid_net(5), proc_net_tcp."""
    lines: list[str] = []
    for pid in processes(pod):  # some are probes, which are gone soon
        with suppress(FileNotFoundError, ProcessLookupError):
            lines = Path("/proc", str(pid), "net", "tcp").read_text(encoding="ascii").splitlines()[1:]
            break
    found = []
    for remote, state, timer in ((fields[2], fields[3], fields[5]) for fields in map(str.split, lines)):
        if state in {"01", "02"}:  # ESTABLISHED, SYN_SENT
            host, _, port = remote.partition(":")
            kind, _, ticks = timer.partition(":")
            address = str(IPv4Address(bytes.fromhex(host)[::-1]))
            probed = int(ticks, 16) / os.sysconf("SC_CLK_TCK") if kind == "02" else None
            found.append(Connection(address, int(port, 16), state == "01", probed))
    return found
