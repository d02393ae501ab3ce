"""Images in two nodes of one machine: only the first unpacks them."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tarfile import TarFile, TarInfo
from tempfile import TemporaryDirectory, TemporaryFile

import pytest

from localcluster import host, layers
from localcluster.instance import Instance, Options
from localcluster.processes import Processes
from localcluster.runtime import Runtime
from localcluster.workspace import quiet

pytestmark = pytest.mark.node

NAME = "docker.io/airfield/layers:1"
LOWER = {"etc/kept": "below", "etc/replaced": "below", "etc/removed": "below"}
UPPER = {"etc/replaced": "above", "etc/.wh.removed": "", "new": "above"}
SEEN = {"etc/kept": "below", "etc/replaced": "above", "new": "above"}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of its own, with a short path, since there are sockets in it."""
    host.require_node_support(quiet)
    with TemporaryDirectory(prefix="layers-") as folder:
        monkeypatch.setenv("AIRFIELD_CACHE", folder)
        yield Path(folder)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image of two layers, the upper one of which takes away some of the lower."""
    parts = [_tar(LOWER), _tar(UPPER)]
    diffs = [f"sha256:{sha256(part).hexdigest()}" for part in parts]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}}
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["0.tar", "1.tar"]}]
    files: dict[str, str | bytes] = {"manifest.json": json.dumps(manifest), "config.json": json.dumps(config)}
    archive = tmp_path / "image.tar"
    archive.write_bytes(_tar({**files, "0.tar": parts[0], "1.tar": parts[1]}))
    return archive


def _tar(files: dict[str, str] | dict[str, str | bytes]) -> bytes:
    with TemporaryFile() as file:
        with TarFile(fileobj=file, mode="w") as tar:
            for name, content in files.items():
                with TemporaryFile() as member:
                    info = TarInfo(name)
                    info.size = member.write(content if isinstance(content, bytes) else content.encode())
                    member.seek(0)
                    tar.addfile(info, member)
        file.seek(0)
        return file.read()


@contextmanager
def runtime(name: str) -> Iterator[Runtime]:
    """The containerd of a node that has nothing else."""
    instance = Instance.create(name, Options())
    processes = Processes(instance.folder)
    try:
        Runtime(instance).start(processes)
        yield Runtime(instance)
    finally:
        processes.kill("containerd")


def seen(runtime: Runtime, place: Path) -> dict[str, str]:
    """The files that a container of the image would see."""
    place.mkdir()
    runtime.ctr("images", "mount", NAME, str(place))
    try:
        return {str(file.relative_to(place)): file.read_text() for file in place.rglob("*") if file.is_file()}
    finally:
        subprocess.run(["umount", place], check=True)


def links(runtime: Runtime) -> set[Path]:
    """Where the node's snapshots lie that are not its own."""
    snapshots = runtime.instance.folder.glob("containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs")
    return {link.readlink() for link in snapshots if link.is_symlink()}


def test_the_second_node_unpacks_nothing(cache: Path, archive: Path, tmp_path: Path) -> None:
    with runtime("one") as one, runtime("two") as two:
        assert one.load(archive) == [NAME]
        kept = {*(cache / "layers").glob("sha256-*")}
        assert len(kept) == 2
        assert links(one) == kept
        (kept.pop() / "mark").touch()

        assert two.load(archive) == [NAME]
        assert links(two) == links(one)
        assert seen(one, tmp_path / "first") == seen(two, tmp_path / "second") == SEEN | {"mark": ""}
        assert one.load(archive) == two.load(archive) == [NAME]


def test_what_nobody_needs_goes(cache: Path, archive: Path) -> None:
    """A layer of long ago that a node still has stays."""
    other = cache / "layers" / "sha256-of-another"
    other.mkdir(parents=True)
    with runtime("one") as one:
        one.load(archive)
        assert other.exists()
        for layer in (cache / "layers").glob("sha256-*"):
            os.utime(layer, (0, 0))
        other.with_name("gone-in-part").mkdir()
        layers.keep(one.ctr, [])
        assert not other.exists()
        assert not [*(cache / "layers").glob("gone-*")]
        assert len(links(one)) == 2
        assert all(link.exists() for link in links(one))
