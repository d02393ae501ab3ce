"""The long-running processes of an instance: started apart from us, remembered, and ended only while ours."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.workspace import LocalClusterError, clean_environment


@dataclass(frozen=True)
class Processes:
    """The processes of the instance in `folder`: logs/<name>.log and processes/<name>.json for each."""

    folder: Path
    prefix: tuple[str, ...] = ()
    """Goes before every command, e.g. to enter a network namespace; it must `exec` what follows."""
    cgroup: Path | None = None
    """Where given, every process starts its life in this control group."""

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start `command` in a session of its own, unless process `name` already runs."""
        if self.alive(name):
            return
        for sub in ("logs", "processes"):
            (self.folder / sub).mkdir(exist_ok=True)
        words = [str(word) for word in (*self.prefix, *command)]
        program = shutil.which(words[0])
        if program is None:
            raise LocalClusterError(f"{words[0]} is not installed, and {name} needs it")
        log = os.open(self.folder / "logs" / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            pid = os.posix_spawn(
                program,
                words,
                clean_environment() | dict(environment or {}),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
            )
        finally:
            os.close(log)
        if self.cgroup:
            (self.cgroup / "cgroup.procs").write_text(str(pid))
        record = {"pid": pid, "identity": _identity(pid), "command": words}
        self._record(name).write_text(json.dumps(record, indent=2))

    def names(self) -> list[str]:
        """Every process that was ever started here."""
        return sorted(record.stem for record in (self.folder / "processes").glob("*.json"))

    def alive(self, name: str) -> bool:
        """Whether process `name` runs."""
        return self.pid(name) is not None

    def kill(self, *names: str) -> None:
        """End processes at once and wait until they are gone.

        SIGKILL, because on SIGTERM a kube-apiserver goes on answering for up to a minute. Nothing has state to save.
        """
        pids = [pid for name in names if (pid := self.pid(name)) is not None]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while remaining := [name for name in names if self.alive(name)]:
            if time.monotonic() > deadline:
                raise LocalClusterError(f"{', '.join(remaining)} did not end within 10 s of SIGKILL; see `ps`")
            time.sleep(0.01)

    def explain_failure(self, name: str) -> str:
        """The last lines that process `name` wrote."""
        log = self.folder / "logs" / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([f"{name} ended; the end of {log}:", *lines[-8:]])

    def _record(self, name: str) -> Path:
        return self.folder / "processes" / f"{name}.json"

    def pid(self, name: str) -> int | None:
        """The process id, if that process lives and is the one that we started (ids are used again)."""
        try:
            record = json.loads(self._record(name).read_text())
        except (FileNotFoundError, ValueError):
            return None
        pid = int(record["pid"])
        # If it is our own child, a dead one stays in the process table until we ask for it.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return pid if record["identity"] is not None and _identity(pid) == record["identity"] else None


def boot_id() -> str:
    """Names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _identity(pid: int) -> str | None:
    """Tells a live process from others that get its id later: the boot, and its start in ticks since then."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses, and may hold anything.
    fields = stat.rpartition(")")[2].split()
    # The first thread may be gone while others still hold ports and files.
    threads = int(fields[17])
    return None if fields[0] == "Z" and threads <= 1 else f"{boot_id()}+{fields[19]}"
