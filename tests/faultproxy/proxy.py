"""The proxy itself: plain HTTP on loopback towards the operator, its own credentials towards the API server."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from airfield.kube.connections import Connections
from airfield.kube.credentials import Credentials
from faultproxy.events import Stream
from faultproxy.rules import Action, Answer, Call, Cut, Late, Request, Say, Script, Stale

LONGEST_EVENT = 1 << 23
"""In bytes."""
_OF_ONE_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})


@dataclass(frozen=True)
class Seen:
    """A request that came by."""

    request: Request
    at: float
    """Monotonic seconds when it came."""
    status: int
    """Of the answer that was given; 0: none."""


class FaultProxy:
    """Passes requests on, except for those that its script wants otherwise. It runs in a thread of its own."""

    def __init__(self, upstream: Credentials) -> None:
        self.script = Script()
        self.seen: list[Seen] = []
        self.port = 0
        self._upstream = upstream
        self._first_answers: dict[tuple[str, str], tuple[int, bytes, str]] = {}
        self._loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession
        self._runner: web.ServerRunner

    @contextlib.contextmanager
    def running(self) -> Iterator["FaultProxy"]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads through the proxy."""
        named: dict[str, Any] = {
            "clusters": [{"name": "faults", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "faults", "user": {}}],
            "contexts": [{"name": "faults", "context": {"cluster": "faults", "user": "faults"}}],
        }
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "faults", **named}))
        return path

    def writes(self, namespace: str = "") -> list[Seen]:
        """Writes so far, Leases apart; only those in a namespace, if one is named."""
        return [s for s in self.seen if s.request.writes and namespace in {"", s.request.namespace}]

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            self._upstream.url,
            connector=Connections(self._upstream),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=LONGEST_EVENT,
        )
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._session.close()

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        body = await incoming.read()
        asked = Request.parse(incoming.method, incoming.path, incoming.query, incoming.headers, body)
        at, status = time.monotonic(), 0
        try:
            response = await self._serve(incoming, asked, body, self._decide(asked))
            status = response.status if response is not None else 0
        finally:
            self.seen.append(Seen(asked, at, status))
        if response is None:
            if incoming.transport is not None:
                incoming.transport.abort()
            return web.Response()
        return response

    def _decide(self, request: Request) -> Action | None:
        return self.script.decide(request)  # a watch outlives the script that it began with

    async def _serve(
        self, incoming: web.BaseRequest, asked: Request, body: bytes, action: Action | None
    ) -> web.StreamResponse | None:
        """The response; None when the connection is to be cut."""
        match action:
            case Cut(after=False):
                return None
            case Call(function, after=False):
                await asyncio.to_thread(function)
                return None
            case Answer():
                return _refusal(action)
            case Say(document):
                return web.json_response(document)
            case Stale() if _question(incoming) in self._first_answers:
                status, text, content_type = self._first_answers[_question(incoming)]
                return web.Response(status=status, body=text, headers={"Content-Type": content_type})
            case Late(seconds):
                await asyncio.sleep(seconds)
        try:
            response = await self._forward(incoming, asked, body)
        except (aiohttp.ClientError, OSError):
            return None
        match action:
            case Cut(after=True):
                return None
            case Call(function, after=True):
                await asyncio.to_thread(function)
                return None
        return response

    async def _forward(self, incoming: web.BaseRequest, asked: Request, body: bytes) -> web.StreamResponse:
        headers = {name: value for name, value in incoming.headers.items() if name.lower() not in _OF_ONE_HOP}
        async with self._session.request(
            incoming.method,
            incoming.path_qs,
            data=body or None,
            headers={**headers, **await self._upstream.headers()},
            allow_redirects=False,
        ) as answer:
            content_type = answer.headers.get("Content-Type", "application/json")
            if asked.verb == "watch" and answer.status == 200:
                response = web.StreamResponse(headers={"Content-Type": content_type})
                await response.prepare(incoming)
                with contextlib.suppress(aiohttp.ClientError, ConnectionError):  # either side may hang up
                    await Stream(asked, answer.content, response, self._decide).run()
                return response
            text = await answer.read()
            if asked.verb in {"get", "list"}:
                self._first_answers.setdefault(_question(incoming), (answer.status, text, content_type))
            kept = {name: value for name, value in answer.headers.items() if name in {"Content-Type", "Retry-After"}}
            return web.Response(status=answer.status, body=text, headers=kept)


def _question(incoming: web.BaseRequest) -> tuple[str, str]:
    """What is asked for, and in which form."""
    return incoming.path_qs, incoming.headers.get("Accept", "")


def _refusal(answer: Answer) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": answer.status,
        "reason": answer.reason,
        "message": answer.message,
    }
    headers = {} if answer.retry_after is None else {"Retry-After": f"{answer.retry_after:g}"}
    return web.Response(
        status=answer.status, body=json.dumps(status), headers={"Content-Type": "application/json", **headers}
    )
