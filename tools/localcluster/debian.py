"""Programs that come out of Debian's packages without being installed: unpacked into the cache, for tests only.

Prometheus is one: built from source it would take many minutes, since it brings every cloud's client along.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from localcluster.host import apt_get
from localcluster.workspace import LocalClusterError, Progress, cache_folder, locked, quiet

PROGRAMS = {"prometheus": "prometheus", "promtool": "prometheus"}
"""Each program's package."""


def unpacked(name: str, progress: Progress = quiet) -> Path:
    """The path of program `name`: the machine's own if it is on PATH, else out of its package, kept in the cache.

    Raises:
        LocalClusterError: the machine does not have it, and is no Debian that could get it.
    """
    found = shutil.which(name)
    if found:
        return Path(found)
    package = PROGRAMS[name]
    folder = cache_folder() / "debian" / package
    if not folder.exists():
        with locked(folder.with_name(f"{package}.lock")):
            if not folder.exists():
                _unpack(package, folder, progress)
    return folder / "usr" / "bin" / name


def _unpack(package: str, folder: Path, progress: Progress) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise LocalClusterError(f"{package} is neither on PATH nor can it be had without apt-get; install it")
    progress(f"downloading Debian's package {package}")
    # Unpacked aside and moved into place by one rename, so that no one ever sees half of it.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{package}.") as scratch:
        try:
            apt_get("download", package, folder=Path(scratch))
        except LocalClusterError:  # no package lists, or lists of long ago
            apt_get("update")
            apt_get("download", package, folder=Path(scratch))
        (archive,) = Path(scratch).glob("*.deb")
        content = Path(scratch) / "content"
        subprocess.run(["dpkg-deb", "--extract", archive, content], check=True)
        content.rename(folder)
