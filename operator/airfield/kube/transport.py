"""Requests to the API server: connections, retries where they are safe, errors in words, what stands before a write."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from yarl import URL

from airfield.kube.connections import Connections
from airfield.kube.errors import ApiError, ApiUnavailable
from airfield.kube.kinds import Kind, Ref
from airfield.runtime.documents import as_yaml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from types import SimpleNamespace

    from airfield.kube.credentials import Credentials

MAX_CONNECTIONS = 16
RETRIES = 3
MAX_PATIENCE = 10.0
"""Longest Retry-After in seconds that is waited out here; beyond it the caller's own back-off does better."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
"""In seconds. No total: it would count the wait for a free connection."""

WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=150)
"""A watch that is alive has a bookmark about every minute."""

_BAD_PATCH = "failed to create typed patch object"

Object = dict[str, Any]


def session(credentials: Credentials) -> aiohttp.ClientSession:
    """Connections for a client that is not ours, any number of them. Each request says who we are at that moment.

    A request that is led to another server fails as if nobody had answered.
    """
    server = _server(URL(credentials.url))

    async def authenticate(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if _server(request.url) != server:
            raise aiohttp.ClientConnectionError(f"{credentials.url} leads to {request.url.origin()}")
        request.headers.update(await credentials.headers())
        request.server_hostname = credentials.server_hostname
        return await send(request)

    return aiohttp.ClientSession(
        connector=Connections(credentials),
        proxy=credentials.proxy,
        middlewares=(authenticate,),
    )


def _server(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.host, url.port


class Transport:
    """Connections to one API server. Use it with `async with`."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        on_request: Callable[[str, str, int], None] | None = None,
        before_write: Callable[[], None] | None = None,
        namespaces: Sequence[str] = (),
        connections: int = MAX_CONNECTIONS,
        longest: int = 0,
    ) -> None:
        """Nothing is sent before `async with`.

        Args:
            credentials: where the API server is, and who we are.
            on_request: `on_request(verb, kind, status)` is told of every request; status 0: there was no answer.
            before_write: called as soon as a connection is at hand for a request that may change something.
            connections: how many there may be at a time; 0: any number.
            namespaces: what a list over all namespaces is of, for an operator that may see only these.
            longest: an answer of more bytes is an error; 0: none is.
        """
        self._credentials = credentials
        self._on_request = on_request
        self._before_write = before_write
        self._namespaces = tuple(namespaces)
        self._connections = connections
        self._longest = longest
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._credentials.url,
            connector=Connections(self._credentials, self._connections),
            timeout=TIMEOUT,
            headers={"User-Agent": "airfield"},
            trace_configs=[_before_writes(self._before_write)] if self._before_write else None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    async def _events(
        self,
        kind: Kind,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        on_open: Callable[[], None],
    ) -> AsyncIterator[Object]:
        """The events of a watch until it ends; an ERROR event is raised as ApiError. `on_open`: when it is granted."""
        if self._session is None:
            raise RuntimeError("KubeClient is used outside of its `async with` block")
        what = f"watch {kind.plural}"
        status = 0
        try:
            async with self._session.get(
                path,
                params=query,
                headers={**headers, **await self._credentials.headers()},
                server_hostname=self._credentials.server_hostname,
                proxy=self._credentials.proxy,
                timeout=WATCH_TIMEOUT,
                trace_request_ctx="GET",
            ) as response:
                status = response.status
                if status >= 300:
                    raise _failure(status, await response.read(), None, what)
                on_open()
                async for line in _lines(response.content):
                    event: Object = json.loads(line)
                    if event["type"] == "ERROR":
                        found = event["object"]
                        raise _failure(int(found.get("code") or 500), json.dumps(found).encode(), None, what)
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"{what}: {error or type(error).__name__}") from error
        finally:
            if self._on_request:
                self._on_request("watch", kind.kind, status)

    async def _request(
        self,
        verb: str,
        target: Ref | str,
        method: str,
        path: str,
        *,
        kind: str = "",
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> Object:
        kind = kind or (target.kind if isinstance(target, Ref) else target.split(" ", 1)[0])
        data = None if body is None else as_yaml(body).encode()  # an apply is read as YAML
        all_headers = {"Content-Type": content_type} if data else {}
        all_headers.update(headers or {})
        text = await self._send(
            verb, target, method, path, kind, query, data=data, headers=all_headers, idempotent=idempotent
        )
        try:
            result: Object = json.loads(text)
        except ValueError as error:
            raise ApiError(502, "BadGateway", f"{verb} {target}: the answer is not JSON: {text[:200]!r}") from error
        return result

    async def _send(
        self,
        verb: str,
        target: Ref | str,
        method: str,
        path: str,
        kind: str,
        query: Mapping[str, str] | None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool,
    ) -> bytes:
        """Send a request, again where that is safe and promising, and give back the body of a 2xx."""
        if self._session is None:
            raise RuntimeError("KubeClient is used outside of its `async with` block")
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            status = 0
            try:
                async with self._session.request(
                    method,
                    path,
                    params=query,
                    data=data,
                    headers={**(headers or {}), **await self._credentials.headers()},
                    server_hostname=self._credentials.server_hostname,
                    proxy=self._credentials.proxy,
                    allow_redirects=False,
                    trace_request_ctx=method,
                ) as response:
                    status = response.status
                    text = await self._body(response, f"{verb} {target}")
                    retry_after = _seconds(response.headers.get("Retry-After"))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if last or not idempotent:
                    raise ApiUnavailable(f"{verb} {target}: no answer: {error or type(error).__name__}") from error
                delay = 0.1 * 2**attempt
            else:
                if status < 300:
                    return text
                failure = _failure(status, text, retry_after, f"{verb} {target}")
                # With 503 the header says that the request was not begun: a server that starts, or shuts down.
                asked_to_wait = status == 429 or (status == 503 and retry_after is not None)
                delay = 0.5 * 2**attempt if retry_after is None else retry_after
                if last or not asked_to_wait or delay > MAX_PATIENCE:
                    raise failure
            finally:
                if self._on_request:
                    self._on_request(verb.split(" ", 1)[0], kind, status)
            await asyncio.sleep(delay * random.uniform(1, 1.5))  # noqa: S311 - jitter
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    async def _body(self, response: aiohttp.ClientResponse, what: str) -> bytes:
        if not self._longest:
            return await response.read()
        text = bytearray()
        async for chunk in response.content.iter_any():
            text += chunk
            if len(text) > self._longest:
                raise ApiError(502, "TooLong", f"{what}: an answer of more than {self._longest} bytes")
        return bytes(text)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, however long: a ConfigMap of a megabyte is one."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _before_writes(check: Callable[[], None]) -> aiohttp.TraceConfig:
    """Calls `check` as late as possible: a request may have waited long for a free connection."""

    async def connected(_: object, context: SimpleNamespace, __: object) -> None:
        if context.trace_request_ctx != "GET":
            check()

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(connected)
    tracing.on_connection_reuseconn.append(connected)
    return tracing


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:  # the header's other form, a date, is not one that API servers send
        return None


def _failure(status: int, body: bytes, retry_after: float | None, what: str) -> ApiError:
    """The error in a Status object, or in whatever a proxy on the way answered."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        parsed = {"message": body[:500].decode(errors="replace").strip()}
    message, reason = parsed.get("message") or "no message", parsed.get("reason") or f"HTTP{status}"
    text = f"{what}: {message} (HTTP {status})"
    if status == 500 and _BAD_PATCH in message:
        # A server-side apply that breaks the schema is the client's fault, whatever the API server calls it.
        status, reason = 422, "Invalid"
    return ApiError(status, reason, text, retry_after)
