"""Where things live on disk, how callers take turns, and how we report."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str], None]
"""Receives one line about what is being done now."""


class LocalClusterError(Exception):
    """Something the user has to know or do; its text is one sentence."""


def quiet(_message: str) -> None:
    """Report nothing."""


def cache_folder() -> Path:
    """The folder of everything that can be made again: binaries, images, clusters."""
    return Path(os.environ.get("AIRFIELD_CACHE") or Path.home() / ".cache" / "airfield").expanduser().absolute()


def clusters_folder() -> Path:
    """Holds one folder per running instance, named like it."""
    return cache_folder() / "clusters"


def clean_environment() -> dict[str, str]:
    """What the cluster's programs see: above all no proxy, since nothing of theirs leaves this machine.

    How much of it they may use (`GOMAXPROCS` and the like) is for whoever starts them to say.
    """
    path = os.environ.get("PATH", os.defpath)
    told = {name: os.environ[name] for name in ("GOMAXPROCS", "GOGC") if name in os.environ}
    # Not every root shell has these, and network tools live there.
    return {"PATH": f"{path}:/usr/sbin:/sbin", "HOME": str(Path.home()), **told}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file lock `path`; other processes and threads that want it wait. A crash ends it, too.

    Its holder may delete the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # If the file was deleted while we waited, others will lock a new one of that name, and so must we.
            if os.fstat(lock.fileno()).st_nlink:
                yield
                return
