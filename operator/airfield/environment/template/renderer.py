"""Renders values templates so that none of them can stop the operator, nor hold up the environments of other classes.

The bundled template is ours and is rendered on the spot. A class's own is rendered in a process of its own, which is
started when first needed and kept: starting Python costs more than most templates. It is given what a template can use,
which holds no Secret's content, and nothing of our environment. A render that takes too long, or too much memory, ends
the process; the next one starts it anew. Of what else ends it, a template is accused only when that happens twice.

There is one process, and it renders one template at a time. So that a bad class does not occupy it:

- of each template one render at a time asks for the process; renders of other templates wait for one of it at most;
- a template that ended the process fails at once, with the same words, for the next minute.
"""

import asyncio
import json
import logging
import math
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, NoReturn, Self
from weakref import WeakValueDictionary

import airfield
from airfield.environment.template import worker
from airfield.environment.template.sandbox import LARGEST_VALUES, ValuesError, render_values
from airfield.runtime.processes import end

log = logging.getLogger(__name__)

SECONDS: Final = 5.0
"""Longest that a class's own template may take."""
MEMORY: Final = 128 * 2**20
"""Bytes of memory that a class's own template may need: with the operator's own, within the limit of its container."""
REFUSED_SECONDS: Final = 60.0
"""How long a template that took too much is not tried again."""
SILENT_SECONDS: Final = 60.0
"""Longest that the process may need to start, or keep us waiting beyond its own limit; then something stopped it."""


class _EndedError(Exception):
    """The process ended without an answer, with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class TemplateRenderer:
    """Renders values templates; `async with` ends its process."""

    def __init__(
        self, *, seconds: float = SECONDS, memory: int = MEMORY, refused_seconds: float = REFUSED_SECONDS
    ) -> None:
        """Take other limits than the usual ones for classes' own templates: seconds, bytes, seconds."""
        self._seconds = seconds
        self._memory = memory
        self._refused_seconds = refused_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._free = asyncio.Lock()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._refused: dict[str, tuple[float, str]] = {}
        """By template, until when it is refused (monotonic seconds), and the words."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    async def render(self, template: str | None, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The values that a template (None: the bundled one) yields.

        Raises:
            ValuesError: it fails, yields something else than one mapping, takes too long or needs too much memory.
            OSError, RuntimeError: the process does not start or is stopped, whatever the template.
        """
        if template is None:
            return render_values(None, variables)
        turn = self._turns.setdefault(template, asyncio.Lock())
        async with turn:
            until, said = self._refused.get(template, (-math.inf, ""))
            if monotonic() < until:
                raise ValuesError(said)
            request = json.dumps({"template": template, "variables": variables}).encode() + b"\n"
            async with self._free:
                try:
                    answer = await self._ask(request)
                except _EndedError as ended:
                    self._refuse(template, ended.code)
        if "error" in answer:
            raise ValuesError(answer["error"])
        values: dict[str, Any] = answer["values"]
        return values

    def _refuse(self, template: str, code: int) -> NoReturn:
        now, said = monotonic(), f"spec.valuesTemplate: {self._why(code)}"
        self._refused = {known: refusal for known, refusal in self._refused.items() if now < refusal[0]}
        self._refused[template] = (now + self._refused_seconds, said)
        log.warning("%s; not tried again for %g s", said, self._refused_seconds)
        raise ValuesError(said)

    async def _ask(self, request: bytes) -> dict[str, Any]:
        """The answer of the process; _EndedError when there is none."""
        try:
            return await self._exchange(await self._started(), request)
        except _EndedError as ended:
            if ended.code == -signal.SIGALRM:
                raise
        # Somebody may have ended it, or other templates have left it little memory.
        return await self._exchange(await self._started(), request)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None:
            return self._process
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-s", "-m", worker.__name__, str(self._seconds), str(self._memory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": str(Path(airfield.__file__).parents[1])},
            cwd="/",
            limit=LARGEST_VALUES + 2**16,
            start_new_session=True,
        )
        assert process.stdout  # noqa: S101 - for the type checker
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                ready = await process.stdout.readline()
        except BaseException:
            await self._end()
            raise
        if not ready:
            raise RuntimeError(f"the process for values templates does not start: exit code {await self._end()}")
        return process

    async def _exchange(self, process: asyncio.subprocess.Process, request: bytes) -> dict[str, Any]:
        assert process.stdin and process.stdout  # noqa: S101, PT018 - for the type checker
        try:
            async with asyncio.timeout(self._seconds + SILENT_SECONDS):
                process.stdin.write(request)
                await process.stdin.drain()
                answer: dict[str, Any] = json.loads(await process.stdout.readline())
        except (ConnectionError, ValueError):  # nothing, or no line of JSON
            raise _EndedError(await self._end()) from None
        except BaseException:  # an answer that comes later must not be taken for that to another request
            await self._end()
            raise
        return answer

    def _why(self, code: int) -> str:
        if code == -signal.SIGALRM:
            return f"takes longer than {self._seconds:g} s; make its loops and numbers smaller"
        if code == worker.OUT_OF_MEMORY:
            return f"needs more than {self._memory >> 20} MiB of memory; make its loops and texts smaller"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"ends the process that renders it ({how}); make it simpler"

    async def _end(self) -> int:
        """End the process and return its exit code."""
        process, self._process = self._process, None
        return await end(process) if process else 0
