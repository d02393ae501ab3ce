"""buildah with its storage in the project's cache; needs neither a container runtime nor a registry."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from pathlib import Path

from localcluster.workspace import LocalClusterError, Progress

CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


WIDTH = 110
LAST_LINES = 40


class Buildah:
    """Runs buildah commands. `LocalClusterError` tells what failed; buildah itself has said why.

    Builds write their output to `<folder>/build.log` and, when they fail, its last lines to stderr; `progress` hears of
    each step.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._progress = progress
        self._log = folder / "build.log"
        self._temporary = folder / "tmp"
        self._temporary.mkdir(parents=True, exist_ok=True)
        storage = ["--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver", "overlay"]
        self._command = ["buildah", *storage]

    def run(self, *arguments: str) -> str:
        """Run a command and return its standard output."""
        done = subprocess.run(
            [*self._command, *arguments], check=False, stdout=subprocess.PIPE, text=True, env=self._environment()
        )
        if done.returncode:
            raise LocalClusterError(f"`buildah {arguments[0]}` failed: see above")
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
        self._follow(command)

    def _follow(self, command: list[str]) -> None:
        last: deque[str] = deque(maxlen=LAST_LINES)
        with (
            self._log.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                command, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process,
        ):
            assert process.stdout is not None  # noqa: S101 - asked for above
            for line in process.stdout:
                log.write(line)
                last.append(line)
                if "STEP " in line:
                    self._progress(" ".join(line.split())[:WIDTH])
        if process.returncode != 0:
            print(*last, sep="", file=sys.stderr, flush=True)
            raise LocalClusterError(f"`buildah build` failed: see above; its whole output is in {self._log}")

    def _environment(self) -> dict[str, str]:
        return os.environ | {"TMPDIR": str(self._temporary)}
