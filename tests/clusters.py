"""Clusters that all tests of one run share, whichever pytest-xdist worker they are in.

Import the fixtures into a conftest.py and list them in its `__all__`. What a test makes in a cluster it makes in a
namespace of its own.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

import pytest

from airfield.helm.template import FEW_MESSAGES
from localcluster import Cluster, Options, tool
from localcluster.instance import instance_names
from localcluster.workspace import clusters_folder, locked

PREFIX = "tests-"


def run_id() -> int:
    """The process that all pytest-xdist workers of a run have in common."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """An API server with controllers and two simulated nodes, on which pods become Ready and Jobs complete."""
    cluster = Cluster(f"{PREFIX}api-{run_id()}", Options("control-plane", kwok_nodes=2))
    with shared(cluster):
        yield cluster


@contextmanager
def shared(cluster: Cluster) -> Iterator[None]:
    """Have a cluster whose name ends in `run_id()`: the first worker starts it, the last one that had it removes it."""
    users = _users(cluster.name)
    lock = users.with_name("tests")
    with locked(lock):
        _remove_abandoned()
        cluster.up()
        users.write_text(str(_count(users) + 1))
    try:
        yield
    finally:
        with locked(lock):
            left = _count(users) - 1
            if left:
                users.write_text(str(left))
            else:
                cluster.down()
                users.unlink(missing_ok=True)


@contextmanager
def turn(name: str, *, alone: bool) -> Iterator[None]:
    """Wait until no other worker of this run has this turn alone; with `alone`, until none has it at all."""
    with (Path(gettempdir()) / f"airfield-{PREFIX}{name}-{run_id()}").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def kubectl(cluster: Cluster, *arguments: str, text: str | None = None) -> str:
    """What kubectl prints for `cluster`; `text` is its input. Fails the test if kubectl fails."""
    command = [str(tool("kubectl")), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    environment = {**os.environ, **FEW_MESSAGES}
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _users(name: str) -> Path:
    """The file that says how many workers use the cluster."""
    return clusters_folder() / ".locks" / f"{name}.users"


def _count(users: Path) -> int:
    return int(users.read_text()) if users.exists() else 0


def _remove_abandoned() -> None:
    """A run that was killed leaves its clusters behind; their names end in its process id."""
    for name in instance_names():
        run = name.rpartition("-")[2]
        if name.startswith(PREFIX) and run.isdigit() and not Path("/proc", run).exists():
            Cluster(name).down()
            _users(name).unlink(missing_ok=True)
    for file in Path(gettempdir()).glob(f"airfield-{PREFIX}*"):  # whose turn it was
        if not Path("/proc", file.name.rpartition("-")[2]).exists():
            file.unlink(missing_ok=True)
