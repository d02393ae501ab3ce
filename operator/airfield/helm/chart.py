"""The digest of a chart's contents, which says whether a render can be reused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from airfield.helm.manifests import HelmError

Signature = tuple[tuple[str, int, int, int], ...]


class ChartDigests:
    """Digests of charts, worked out anew only when a file's size, time or inode has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Signature, str]] = {}

    def of(self, chart: Path) -> str:
        """SHA-256 over the names and contents of all files of a chart: a folder, or a packed .tgz.

        Raises:
            HelmError: when the chart does not exist or cannot be read.
        """
        try:
            files = _files(chart)
            signature = tuple((str(f), *_stamp(f)) for f in files)
            known = self._known.get(chart)
            if known is not None and known[0] == signature:
                return known[1]
            total = hashlib.sha256()
            for file in files:
                name = str(file.relative_to(chart)).encode()
                total.update(b"%d %s %s" % (len(name), name, hashlib.sha256(file.read_bytes()).digest()))
        except OSError as error:
            raise HelmError(f"cannot read chart {chart}: {error.strerror or error}") from error
        if not files:
            raise HelmError(f"cannot read chart {chart}: no files in it")
        digest = total.hexdigest()
        self._known[chart] = (signature, digest)
        return digest


def _files(chart: Path) -> list[Path]:
    if not chart.is_dir():
        return [chart]
    # Links are followed, for a chart mounted from a ConfigMap consists of them.
    walk = os.walk(chart, followlinks=True)
    return sorted(Path(folder, name) for folder, _, names in walk for name in names)


def _stamp(file: Path) -> tuple[int, int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
