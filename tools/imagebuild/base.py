"""The base image: Debian trixie, minimal, made by mmdebstrap instead of being pulled from a registry."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from localcluster.host import apt_install
from localcluster.workspace import LocalClusterError, Progress, cache_folder

if TYPE_CHECKING:
    from imagebuild.buildah import Buildah

# Part of every image's digest: raise it to rebuild everything on Debian's newest packages.
BASE_VERSION = "trixie-1"
DEBIAN_PACKAGES = ("buildah", "mmdebstrap")
# As debian:trixie-slim does it: no manuals, translations or documentation but the copyright notices.
SLIM = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)


def install_tools(progress: Progress) -> None:
    """Install what the build needs from Debian, once. LocalClusterError says why it cannot."""
    if all(shutil.which(tool) for tool in DEBIAN_PACKAGES):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LocalClusterError(
            f"images are built with {' and '.join(DEBIAN_PACKAGES)}: install them, or run as root on Debian"
        )
    progress(f"installing Debian packages: {' '.join(DEBIAN_PACKAGES)}")
    apt_install(*DEBIAN_PACKAGES)


def ensure_base(buildah: Buildah) -> str:
    """Return the reference of the base image in buildah's storage, making it if needed (half a minute)."""
    reference = f"localhost/airfield/base:{BASE_VERSION}"
    if buildah.has_image(reference):
        return reference
    archive = cache_folder() / "images" / f"base-{BASE_VERSION}.tar"
    if not archive.exists():
        partial = archive.with_suffix(".partial.tar")
        slim = [f"--dpkgopt={option}" for option in SLIM]
        command = ["mmdebstrap", "--quiet", "--variant=minbase", *slim, "trixie", str(partial)]
        if subprocess.run(command, check=False).returncode:
            raise LocalClusterError("`mmdebstrap` could not make the base image: see above")
        partial.rename(archive)
    container = buildah.run("from", "scratch").strip()
    try:
        buildah.run("add", container, str(archive), "/")
        buildah.run("config", "--cmd", "/bin/sh", container)
        buildah.run("commit", "--quiet", container, reference)
    finally:
        buildah.run("rm", container)
    return reference
