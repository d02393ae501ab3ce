"""Layers of images, unpacked once for all nodes of this machine.

Unpacking is most of what loading an image costs. Whatever lies below a container's own files is never written to, so
nodes can share it: a node's snapshot of a layer is a link to a folder of the cache.
"""

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from localcluster.workspace import cache_folder, clusters_folder, locked

Ctr = Callable[..., bytes]
"""Runs containerd's `ctr` with the given arguments and returns what it prints."""

KEPT_SECONDS = 3 * 24 * 3600
"""How long a layer is kept that no node has and that none has asked for."""


def chain(layers: Sequence[str]) -> list[str]:
    """What containerd calls the snapshot of each layer: a digest of it and of all below it.

    See https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid.

    >>> chain(["sha256:aa"])
    ['sha256:aa']
    >>> chain(["sha256:aa", "sha256:bb"])[1][:15]
    'sha256:b68ad689'
    """
    names: list[str] = []
    for layer in layers:
        below = f"{names[-1]} {layer}" if names else ""
        names.append(f"sha256:{hashlib.sha256(below.encode()).hexdigest()}" if below else layer)
    return names


def share(ctr: Ctr, names: Sequence[str]) -> None:
    """Give a node those of an image's snapshots that the cache has, so that nobody unpacks them again.

    Args:
        ctr: runs the client of the node's containerd.
        names: of the snapshots, the lowest first; see `chain`.
    """
    with _turn():
        known = _snapshots(ctr)
        for below, name in zip(["", *names], names, strict=False):
            layer = _layer(name)
            if not layer.exists():
                return
            os.utime(layer)  # it was asked for
            if name not in known:
                key = str(uuid.uuid4())  # an end in the middle hinders nobody later
                mount = _mount(ctr("snapshots", "prepare", "--mounts", key, *filter(None, [below])))
                place = Path(mount.get("upperdir") or mount["source"])
                place.rmdir()
                place.symlink_to(layer)
                ctr("snapshots", "commit", name, key)


def keep(ctr: Ctr, names: Sequence[str]) -> None:
    """Move what a node has unpacked of an image into the cache; arguments as for `share`."""
    with _turn():
        known = _snapshots(ctr)
        for name in names:
            layer = _layer(name)
            if name in known and not layer.exists():
                key = str(uuid.uuid4())
                # Not a view, which the garbage collector may take away at any moment.
                place = Path(_mount(ctr("snapshots", "prepare", "--mounts", key, name))["lowerdir"].partition(":")[0])
                ctr("snapshots", "remove", key)
                _move(place, layer)
        with suppress(FileNotFoundError):  # a node goes at this moment; there will be another time
            _prune()


def _move(place: Path, layer: Path) -> None:
    link = place.with_name("link")
    link.symlink_to(layer)
    try:
        place.rename(layer)
    except OSError as error:
        link.unlink()
        if error.errno != errno.EXDEV:  # where clusters are on a file system of their own, nothing is shared
            raise
    else:
        link.rename(place)
        os.utime(layer)


def _prune() -> None:
    """Remove what nobody needs."""
    links = clusters_folder().glob("*/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs")
    used = {link.readlink().name for link in links if link.is_symlink()}
    for layer in _folder().glob("sha256-*"):
        if layer.name not in used and layer.stat().st_mtime < time.time() - KEPT_SECONDS:
            layer.rename(layer.with_name(f"gone-{uuid.uuid4()}"))
    for gone in _folder().glob("gone-*"):  # what is removed in part is no layer any more
        shutil.rmtree(gone)


def _snapshots(ctr: Ctr) -> set[str]:
    return {line.split()[0] for line in ctr("snapshots", "list").decode().splitlines()[1:]}


def _mount(described: bytes) -> dict[str, str]:
    """Source and options of what is mounted for a snapshot."""
    (mount,) = json.loads(described)
    return {"source": mount["Source"], **dict(option.partition("=")[::2] for option in mount["Options"])}


@contextmanager
def _turn() -> Iterator[None]:
    """One at a time, for all nodes of the machine. Images have files that only their containers' users may touch."""
    _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(_folder() / ".lock"):
        yield


def _folder() -> Path:
    return cache_folder() / "layers"


def _layer(name: str) -> Path:
    return _folder() / name.replace(":", "-")
