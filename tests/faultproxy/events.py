"""The stream of one watch, with what rules do to its events."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import aiohttp
from aiohttp import web

from faultproxy.rules import Action, Cut, Drop, End, Hold, Late, Request


@dataclass
class _Held:
    events: int
    """How many are still to pass before it."""
    line: bytes


class Stream:
    """Passes the lines of a watch on."""

    def __init__(
        self,
        watch: Request,
        source: aiohttp.StreamReader,
        target: web.StreamResponse,
        decide: Callable[[Request], Action | None],
    ) -> None:
        self._watch, self._source, self._target, self._decide = watch, source, target, decide
        self._held: list[_Held] = []
        self._late: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until either side hangs up or a rule ends it."""
        try:
            while line := await self._source.readline():
                if not await self._pass(line):
                    return
            for held in self._held:
                await self._target.write(held.line)
        finally:
            for task in self._late:
                task.cancel()

    async def _pass(self, line: bytes) -> bool:
        """Whether the stream goes on."""
        match self._decide(self._event(line)):
            case Drop():
                pass
            case Hold(events):
                self._held.append(_Held(events, line))
                return True
            case Late(seconds):
                task = asyncio.create_task(self._write_late(seconds, line))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
            case End(code, reason):
                await self._target.write(_error(code, reason))
                return False
            case Cut():
                return False
            case _:
                await self._target.write(line)
        for held in self._held:
            held.events -= 1
            if not held.events:
                await self._target.write(held.line)
        self._held = [held for held in self._held if held.events]
        return True

    def _event(self, line: bytes) -> Request:
        metadata = json.loads(line).get("object", {}).get("metadata", {})
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        return replace(self._watch, verb="event", namespace=namespace, name=name)

    async def _write_late(self, seconds: float, line: bytes) -> None:
        await asyncio.sleep(seconds)
        await self._target.write(line)


def _error(code: int, reason: str) -> bytes:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return json.dumps({"type": "ERROR", "object": {**status, "message": "a fault of the tests"}}).encode() + b"\n"
