"""The operator as it is run for real, `python -m airfield.main`, in a process of its own, its log in a file.

Tests start it more than a hundred times, and to import it takes a second of a processor. Each time it is forked from a
process that has imported it and done nothing else.
"""

import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "operator"
START_SECONDS = 60
WRITES = frozenset({"apply", "create", "patch", "delete"})


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["airfield.main", "kubernetes.config.kube_config"])


class Forked:
    """One that was forked: the part of `subprocess.Popen` that is needed here."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._process = _FORKS.Process(target=_operate, args=(environment, log), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"the operator has not ended within {timeout} s")
        return self._process.exitcode


def _operate(environment: Mapping[str, str], log: Path) -> None:
    """The body of the forked process."""
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    from airfield.main import main  # noqa: PLC0415 - not before it is forked: tests must not be slower by it

    sys.exit(main())


def spawned(environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """One that starts as it does in production."""
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", "airfield.main"], env=environment, stdout=output, stderr=output)


@dataclass
class Operator:
    """An operator that can be killed and started again. `settings` are its AIRFIELD_ variables without the prefix."""

    kubeconfig: Path
    log: Path
    settings: Mapping[str, str]
    begin: "Callable[[Mapping[str, str], Path], Forked | subprocess.Popen[bytes]]" = Forked
    """How its process is started, given its environment and its log."""
    _process: "Forked | subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _port: int = field(default=0, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)
    """Of whoever begins or kills the process: a proxy kills it in a thread of its own."""

    def start(self, **settings: str) -> None:
        """Start it, with some settings changed, and return when it has listed everything and works."""
        self._port = _free_port()
        # Always of the same name, as a restarted container is: it leads again at once. With a long lease: who cannot
        # renew it ends, which happens on a machine that is full of tests, and nothing here would start it again.
        always = {"IDENTITY": "test", "LEASE_SECONDS": "30"}
        chosen = {**always, **self.settings, **settings, "METRICS_PORT": str(self._port)}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AIRFIELD_")}
        environment = {
            **clean,
            **{f"AIRFIELD_{name}": value for name, value in chosen.items()},
            "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": str(SOURCES),
        }
        with self._turn:
            assert self._process is None
            process = self._process = self.begin(environment, self.log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"the operator {'ended' if ended else 'does not start'}:\n{self.log.read_text()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a lost machine would."""
        with self._turn:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(30)
        self._process = None
        return code

    def wait(self, seconds: float = 30) -> int:
        """Its exit code, when it ends by itself."""
        assert self._process is not None
        code = self._process.wait(seconds)
        self._process = None
        return code

    @property
    def running(self) -> bool:
        """Whether it was started, and has not ended since."""
        process = self._process  # which who kills it may take away meanwhile
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the one that runs."""
        assert self._process is not None
        return self._process.pid

    def metrics(self) -> str:
        """What it tells Prometheus."""
        return self._get("metrics")

    def leading(self) -> bool:
        """Whether it may write."""
        found: bool = json.loads(self._get("healthz"))["leading"]
        return found

    def requests(self) -> Counter[str]:
        """Requests to the API server so far, by verb; without those for the Lease, which never end."""
        found: Counter[str] = Counter()
        for labels, count in re.findall(r"^airfield_api_requests_total\{(.*?)\} (\S+)$", self.metrics(), re.MULTILINE):
            known = dict(re.findall(r'(\w+)="(.*?)"', labels))
            if known["kind"] != "Lease":
                found[known["verb"]] += int(float(count))
        return found

    def writes(self) -> int:
        """Requests so far that may change something."""
        return sum(count for verb, count in self.requests().items() if verb in WRITES)

    def _answers(self) -> bool:
        try:
            self._get("readyz")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
