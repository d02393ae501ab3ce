"""buildah with its storage in the project's cache; needs neither a container runtime nor a registry."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


class Buildah:
    """Runs buildah commands. `CalledProcessError` tells what failed; the output went to the terminal."""

    def __init__(self, folder: Path) -> None:
        self._temporary = folder / "tmp"
        self._temporary.mkdir(parents=True, exist_ok=True)
        storage = ["--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver", "overlay"]
        self._command = ["buildah", *storage]

    def run(self, *arguments: str) -> str:
        """Run a command and return its standard output."""
        done = subprocess.run(
            [*self._command, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=self._environment()
        )
        return done.stdout

    def has_image(self, reference: str) -> bool:
        done = subprocess.run(
            [*self._command, "inspect", "--type", "image", reference],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment(),
        )
        return done.returncode == 0

    def build(self, containerfile: Path, context: Path, tag: str, *options: str) -> None:
        """Build an image; its steps see the host's network and CA bundle, which the image does not keep."""
        command = [*self._command, "build", "--layers", "--isolation", "chroot", "--network", "host"]
        bundle = os.environ.get("SSL_CERT_FILE") or next((path for path in CA_BUNDLES if Path(path).exists()), None)
        if bundle:
            command += ["--secret", f"id=ca,src={bundle}", "--build-arg", "SSL_CERT_FILE=/run/secrets/ca"]
        command += ["--file", str(containerfile), "--tag", tag, *options, str(context)]
        subprocess.run(command, check=True, env=self._environment(), stdout=2)

    def _environment(self) -> dict[str, str]:
        return os.environ | {"TMPDIR": str(self._temporary)}
