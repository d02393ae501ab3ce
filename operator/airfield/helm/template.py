"""`helm template` in a subprocess: a chart and values in, plain objects out; no network, no cluster, no state."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from airfield.helm.chart import ChartDigests
from airfield.helm.manifests import HelmError, parse
from airfield.runtime.documents import as_yaml, packed, unpacked
from airfield.runtime.processes import end

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_OUTPUT = 8 * 2**20
"""Bytes of rendered YAML; the official chart's are 100,000."""

MAX_CACHED = 64 * 2**20
"""Bytes of compressed results that are kept: about 6,000 renders of the official chart's size."""

FEW_MESSAGES = {"LC_ALL": "zh_TW.UTF-8"}
"""Variables that make kubectl start faster, and Helm, which holds some of its code: it unpacks all messages in its
user's language whenever it starts, which for English takes a sixth of the time that Helm needs for a chart (measured
with Helm 4.3.1). Into this language only seven are translated, all of kubectl's help; whatever else is said stays
English."""

BRISK = {"GOGC": "off", "GOMEMLIMIT": "96MiB"} | FEW_MESSAGES
"""Variables for a Helm that lives for a moment: collecting its garbage would be a third of the work."""

AT_A_TIME = 2
"""Charts rendered at a time: each Helm takes 55 MiB, and a container has no more memory on a node with more cores."""

Objects = list[dict[str, Any]]


class Helm:
    """Renders charts, a bounded number at a time, and remembers results."""

    def __init__(
        self,
        binary: str,
        *,
        timeout: float = 60,
        concurrency: int = AT_A_TIME,
        on_render: Callable[[str], None] | None = None,
    ) -> None:
        """Use the helm at `binary` (a path, or a name in PATH).

        Args:
            binary: Helm 4.
            timeout: seconds that one run of it may take.
            concurrency: charts rendered and read at a time.
            on_render: told the outcome of every call of `template`: ok, error or cached.
        """
        self._binary = binary
        self._timeout = timeout
        self._slots = asyncio.Semaphore(concurrency)
        self._on_render = on_render or (lambda _: None)
        self._digests = ChartDigests()
        self._cache: OrderedDict[tuple[str, str], tuple[tuple[str, ...], bytes]] = OrderedDict()
        self._cached_bytes = 0
        self._version = ""

    async def version(self) -> str:
        """Helm's version, as `v4.3.1`.

        Raises:
            HelmError: when the binary is missing or does not run.
        """
        if not self._version:
            self._version = (await self._run(["version", "--template", "{{.Version}}"], b"")).decode().strip()
        return self._version

    async def template(
        self, chart: Path, *, release: str, namespace: str, values: Mapping[str, Any], kube_version: str
    ) -> Objects:
        """The objects that the chart renders to, the caller's to change.

        Raises:
            HelmError: the chart fails, the values break its schema, it has hooks or duplicates, or it takes too long.
        """
        text = as_yaml(values)
        digest = await asyncio.to_thread(self._digests.of, chart)
        key = (digest, hashlib.sha256(text.encode()).hexdigest(), await self.version(), kube_version)
        known, content = self._cache.get((namespace, release), ((), b""))
        if known == key:
            self._cache.move_to_end((namespace, release))
            self._on_render("cached")
            objects: Objects = unpacked(content)
            return objects
        try:
            # Hooks are rendered so that `parse` can refuse them by name, rather than silently left out; only tests are.
            arguments = [
                "template",
                release,
                str(chart),
                "--namespace",
                namespace,
                "--kube-version",
                kube_version,
            ]
            async with self._slots:
                output = await self._run([*arguments, "--skip-tests", "--values", "-"], text.encode())
                objects = await asyncio.to_thread(parse, output)
        except HelmError:
            self._on_render("error")
            raise
        self._on_render("ok")
        self._remember((namespace, release), key, packed(objects))
        return objects

    def _remember(self, name: tuple[str, str], key: tuple[str, ...], content: bytes) -> None:
        """Keep the last result of each release: what it was before is not asked for again."""
        _, former = self._cache.pop(name, ((), b""))
        self._cache[name] = key, content
        self._cached_bytes += len(content) - len(former)
        while self._cached_bytes > MAX_CACHED:
            _, (_, oldest) = self._cache.popitem(last=False)
            self._cached_bytes -= len(oldest)

    async def _run(self, arguments: list[str], stdin: bytes) -> bytes:
        """Helm's stdout. Values go through stdin: they never touch a disk."""
        home = await asyncio.to_thread(tempfile.mkdtemp, prefix="airfield-helm-")
        try:
            return await self._run_in(home, arguments, stdin)
        finally:
            # Not in a thread: the task may be being cancelled, and there is hardly anything to remove.
            shutil.rmtree(home, ignore_errors=True)

    async def _run_in(self, home: str, arguments: list[str], stdin: bytes) -> bytes:
        # Nothing of our environment: no plugins, no repositories, no kubeconfig, no proxies.
        environment = {f"HELM_{name}_HOME": f"{home}/{name.lower()}" for name in ("CACHE", "CONFIG", "DATA")}
        environment |= BRISK
        environment |= {"HOME": home, "PATH": os.environ.get("PATH", os.defpath), "KUBECONFIG": os.devnull}
        try:
            process = await asyncio.create_subprocess_exec(
                self._binary,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise HelmError(f"cannot run {self._binary}: {error.strerror or error}") from error
        try:
            async with asyncio.timeout(self._timeout):
                output, errors = await _communicate(process, stdin)
                code = await process.wait()
        except TimeoutError:
            raise HelmError(f"helm {arguments[0]} took longer than {self._timeout:g} s") from None
        finally:
            await end(process)
        if code != 0:
            raise HelmError(useful(errors.decode(errors="replace"), home) or f"helm ended with exit code {code}")
        return output


async def _communicate(process: asyncio.subprocess.Process, stdin: bytes) -> tuple[bytes, bytes]:
    """Feed and read a process, but not more than MAX_OUTPUT."""
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - for the type checker

    async def feed(pipe: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # it has failed before reading them
            pipe.write(stdin)
            await pipe.drain()
        pipe.close()

    async def read(pipe: asyncio.StreamReader) -> bytes:
        chunks, size = [], 0
        while chunk := await pipe.read(2**16):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_OUTPUT:
                raise HelmError(f"the chart renders to more than {MAX_OUTPUT >> 20} MiB")
        return b"".join(chunks)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(process.stdin))
            output = group.create_task(read(process.stdout))
            errors = group.create_task(read(process.stderr))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return output.result(), errors.result()


def useful(stderr: str, home: str = "") -> str:
    """What of helm's stderr helps a person: no log lines and warnings, no stack of wrappers, no paths of ours."""
    lines = []
    for line in stderr.replace(home, "").splitlines() if home else stderr.splitlines():
        text = line.strip()
        if not text or text.startswith(("level=", "time=", "WARNING:", "Use --debug")):
            continue
        lines.append(text.removeprefix("Error: "))
    return "\n".join(lines)
