"""Container images for the node: made of one program, or loaded from an archive that some other tool wrote."""

import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import layers
from localcluster.layers import Ctr
from localcluster.workspace import LocalClusterError


def write_program_image(program: Path, name: str, archive: Path) -> None:
    """Write the image `name`, which holds nothing but `program` and runs it, as a `docker load` archive."""
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    config = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        },
        sort_keys=True,
    ).encode()
    config_file = f"{_digest(config).removeprefix('sha256:')}.json"
    manifest = [{"Config": config_file, "RepoTags": [name], "Layers": ["layer.tar"]}]
    archive.write_bytes(
        _tar(
            {
                "manifest.json": (json.dumps(manifest).encode(), 0o644),
                config_file: (config, 0o644),
                "layer.tar": (layer, 0o644),
            }
        )
    )


def load(ctr: Ctr, archive: Path, tag: str | None = None) -> list[str]:
    """Import a docker or OCI `archive` into containerd, unless the same images are already there.

    Args:
        ctr: runs containerd's client.
        archive: a tar file as written by `docker save` or `buildah push oci-archive:…`.
        tag: what to call the image, where the archive does not say or says otherwise.

    Returns:
        The names by which pods can use the image.
    """
    content = _describe(archive)
    wanted = _full_names(archive, [tag] if tag else content.names)
    known = _known_images(ctr)
    if all(name in known and _config_digest(ctr, known[name]) == content.config for name in wanted):
        return wanted
    snapshots = layers.chain(content.layers)
    layers.share(ctr, snapshots)
    output = ctr("images", "import", "--base-name", "import.airfield.dev/image", "--digests", str(archive)).decode()
    imported = [line.split()[1] for line in output.splitlines() if line.startswith("unpacking ")]
    if not imported:
        raise LocalClusterError(f"containerd found no image in {archive}: {output.strip()}")
    for name in wanted:
        if name not in imported:
            ctr("images", "tag", "--force", imported[0], name)
    layers.keep(ctr, snapshots)
    return wanted


def names(archive: Path, tag: str | None = None) -> list[str]:
    """The full names of the image in `archive`, or of `tag` instead."""
    return _full_names(archive, [tag] if tag else _describe(archive).names)


def _full_names(archive: Path, found: list[str]) -> list[str]:
    if not found:
        raise LocalClusterError(f"{archive} does not say what its image is called: pass a name, e.g. airfield/x:1")
    return sorted({full_name(name) for name in found})


def full_name(name: str) -> str:
    """The name under which a kubelet looks for image `name`.

    >>> [full_name(name) for name in ("busybox", "airfield/airflow:3", "localhost/airfield/x:1", "quay.io/a/b:2")]
    ['docker.io/library/busybox:latest', 'docker.io/airfield/airflow:3', 'docker.io/airfield/x:1', 'quay.io/a/b:2']
    """
    # Builders put "localhost/" before a name without a registry.
    name = name.removeprefix("localhost/")
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first):
        name = f"docker.io/{name}"
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


@dataclass(frozen=True)
class _Content:
    """What an archive holds."""

    config: str
    """The digest of the image's configuration, which identifies it."""
    layers: list[str]
    """Digests of its unpacked layers, the lowest first."""
    names: list[str]
    """What the archive calls the image."""


def _describe(archive: Path) -> _Content:
    try:
        with tarfile.open(archive) as tar:
            members = set(tar.getnames())
            if "manifest.json" in members:
                entry = json.loads(_read(tar, "manifest.json"))[0]
                return _content(_read(tar, entry["Config"]), entry.get("RepoTags") or [])
            if "index.json" in members:
                entry = json.loads(_read(tar, "index.json"))["manifests"][0]
                notes = entry.get("annotations", {})
                name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name", "")
                manifest = json.loads(_blob(tar, entry["digest"]))
                config = _blob(tar, manifest["config"]["digest"])
                return _content(config, [name] if "/" in name or ":" in name else [])
    except (OSError, tarfile.TarError) as error:
        raise LocalClusterError(f"image archive {archive} cannot be read: {error}") from error
    raise LocalClusterError(f"{archive} is no image archive: it has neither manifest.json nor index.json")


def _content(config: bytes, names: list[str]) -> _Content:
    return _Content(_digest(config), json.loads(config)["rootfs"]["diff_ids"], names)


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    return _read(tar, f"blobs/{digest.replace(':', '/')}")


def _known_images(ctr: Ctr) -> dict[str, str]:
    """Name → digest of its manifest."""
    lines = [line.split() for line in ctr("images", "list").decode().splitlines()[1:]]
    return {line[0]: line[2] for line in lines}


def _config_digest(ctr: Ctr, digest: str) -> str:
    document: dict[str, Any] = json.loads(ctr("content", "get", digest))
    if "manifests" in document:
        return _config_digest(ctr, document["manifests"][0]["digest"])
    return str(document["config"]["digest"])


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise tarfile.TarError(f"{name} is not a file")
    return file.read()


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar archive of name → (content, mode), the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _architecture() -> str:
    return subprocess.run(["go", "env", "GOARCH"], capture_output=True, text=True, check=True).stdout.strip()
