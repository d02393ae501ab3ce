"""KubeClient against a small server that misbehaves on demand; good behaviour is tested on a real API server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from airfield.kube import kinds
from airfield.kube.client import KubeClient
from airfield.kube.credentials import Credentials
from airfield.kube.errors import ApiError, ApiUnavailable
from airfield.kube.kinds import Ref
from airfield.kube.transport import MAX_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

REF = Ref("v1", "ConfigMap", "team-a", "x")
OBJECT: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "team-a", "name": "x"}}


async def no_headers() -> dict[str, str]:
    return {"Authorization": "Bearer t"}


class Server:
    """Answers requests one after the other as scripted, the last answer for ever; notes what it was asked."""

    def __init__(self) -> None:
        self.script: list[Callable[[web.Request], Awaitable[web.Response]]] = []
        self.requests: list[web.Request] = []
        self.metrics: list[tuple[str, str, int]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        await request.read()
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return await answer(request)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[KubeClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running:
        url = str(running.make_url("")).rstrip("/")
        hook = lambda *seen: server.metrics.append(seen)  # noqa: E731
        async with KubeClient(Credentials(url, None, no_headers), on_request=hook) as client:
            yield client


def status(code: int, reason: str = "", message: str = "why", **headers: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        body = {"kind": "Status", "reason": reason, "message": message}
        return web.json_response(body, status=code, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def ok(body: object) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body)

    return answer


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport
    request.transport.close()
    return web.Response()


def raw(code: int, text: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=code, text=text)

    return answer


def get(client: KubeClient) -> Awaitable[object]:
    return client.get(REF)


def apply(client: KubeClient) -> Awaitable[object]:
    return client.apply(OBJECT)


def list_(client: KubeClient) -> Awaitable[object]:
    return client.list(kinds.CONFIG_MAP, "team-a")


def create(client: KubeClient) -> Awaitable[object]:
    return client.create(OBJECT)


def patch(client: KubeClient) -> Awaitable[object]:
    return client.patch(REF, {})


def delete(client: KubeClient) -> Awaitable[object]:
    return client.delete(REF)


BUSY = status(429, "TooManyRequests", Retry_After="0")


@pytest.mark.parametrize("call", [get, apply, list_, create, patch, delete])
@pytest.mark.parametrize("busy", [BUSY, status(503, "ServiceUnavailable", Retry_After="0")])
async def test_a_busy_server_is_asked_again(client: KubeClient, server: Server, call: Any, busy: Any) -> None:
    server.script = [busy, busy, ok(OBJECT)]
    await call(client)
    assert len(server.requests) == 3
    assert [code for _, _, code in server.metrics][2] == 200


async def test_patience_ends(client: KubeClient, server: Server) -> None:
    server.script = [BUSY]
    with pytest.raises(ApiError, match=r"get ConfigMap team-a/x: why \(HTTP 429\)") as caught:
        await get(client)
    assert len(server.requests) == 4
    assert (caught.value.transient, caught.value.retry_after, caught.value.reason) == (True, 0, "TooManyRequests")


async def test_a_long_wait_is_left_to_the_caller(client: KubeClient, server: Server) -> None:
    server.script = [status(429, Retry_After="60")]
    with pytest.raises(ApiError) as caught:
        await apply(client)
    assert (len(server.requests), caught.value.retry_after) == (1, 60)


@pytest.mark.parametrize("call", [get, apply, list_])
async def test_a_broken_connection_is_tried_again_where_that_is_safe(
    client: KubeClient, server: Server, call: Any
) -> None:
    server.script = [hang_up, hang_up, ok(OBJECT)]
    await call(client)
    assert len(server.requests) == 3
    # aiohttp itself repeats a GET once when a connection that it kept open turns out to be closed.
    assert {code for _, _, code in server.metrics} == {0, 200}


@pytest.mark.parametrize("call", [create, patch, delete])
async def test_a_broken_connection_ends_a_write_whose_fate_is_unknown(
    client: KubeClient, server: Server, call: Any
) -> None:
    server.script = [hang_up]
    with pytest.raises(ApiUnavailable, match=f"{call.__name__} ConfigMap team-a/x: no answer") as caught:
        await call(client)
    assert caught.value.transient


async def test_nobody_listens() -> None:
    credentials = Credentials(f"http://127.0.0.1:{unused_port()}", None, no_headers)
    async with KubeClient(credentials) as client:
        with pytest.raises(ApiUnavailable, match="get ConfigMap team-a/x: no answer: Cannot connect"):
            await client.get(REF)


@pytest.mark.parametrize(
    ("answer", "message", "flags"),
    [
        (status(403, "Forbidden"), r"apply ConfigMap team-a/x: why \(HTTP 403\)", {"forbidden"}),
        (status(404, "NotFound"), "HTTP 404", {"not_found"}),
        (status(409, "Conflict"), "HTTP 409", {"conflict"}),
        (status(410, "Expired"), "HTTP 410", {"gone"}),
        (status(422, "Invalid"), "HTTP 422", {"invalid"}),
        (status(400, "BadRequest", 'strict decoding error: unknown field "x"'), "unknown field", {"invalid"}),
        (
            status(500, "", "failed to create typed patch object (a): .spec.x: field not declared"),
            "spec.x",
            {"invalid"},
        ),
        (status(500, "InternalError"), "HTTP 500", set()),
        (status(503, "ServiceUnavailable"), "HTTP 503", {"transient"}),
        (raw(502, "<html>bad gateway</html>"), "bad gateway", {"transient"}),
        (raw(504, ""), "no message", {"transient"}),
        (raw(200, "<html>log in first</html>"), "not JSON.*log in first", {"transient"}),
        (raw(302, "over there"), "over there", set()),
    ],
)
async def test_refusals(client: KubeClient, server: Server, answer: Any, message: str, flags: set[str]) -> None:
    server.script = [answer]
    with pytest.raises(ApiError, match=message) as caught:
        await apply(client)
    all_flags = ("not_found", "conflict", "forbidden", "invalid", "gone", "transient")
    assert {flag for flag in all_flags if getattr(caught.value, flag)} == flags
    assert len(server.requests) == 1
    assert server.requests[0].headers["Authorization"] == "Bearer t"


def page(*names: str, token: str = "") -> Any:
    return ok({"metadata": {"continue": token}, "items": [{"metadata": {"name": name}} for name in names]})


async def test_a_list_whose_snapshot_is_gone_begins_again(client: KubeClient, server: Server) -> None:
    server.script = [page("a", "b", token="t1"), status(410, "Expired"), page("a", token="t2"), page("c")]
    items = await client.list(kinds.POD, label_selector="x=y")
    assert [(item["kind"], item["metadata"]["name"]) for item in items] == [("Pod", "a"), ("Pod", "c")]
    assert [r.query.get("continue") for r in server.requests] == [None, "t1", None, "t2"]
    assert {r.query["labelSelector"] for r in server.requests} == {"x=y"}
    assert [seen for seen in server.metrics if seen[2] == 200] == [("list", "Pod", 200)] * 3


async def test_a_list_that_is_always_gone_is_an_error(client: KubeClient, server: Server) -> None:
    server.script = [status(410, "Expired")]
    with pytest.raises(ApiError, match="list configmaps in team-a"):
        await list_(client)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        (status(404, "NotFound"), True),
        (status(409, "Conflict", "Precondition failed: UID in precondition: a, UID in object meta: b"), True),
        (status(409, "Conflict", "the UID in the precondition (a) does not match the UID in record (b)"), True),
        (status(409, "Conflict", "The system is ensuring all content is removed from this namespace"), False),
    ],
)
async def test_delete_of_what_is_gone(client: KubeClient, server: Server, answer: Any, *, gone: bool) -> None:
    server.script = [answer]
    if gone:
        assert await client.delete(REF, uid="a") is False
    else:
        with pytest.raises(ApiError, match="ensuring"):
            await client.delete(REF, uid="a")


@pytest.mark.parametrize(("answer", "exists"), [(status(409, "AlreadyExists"), True), (status(409, "Conflict"), False)])
async def test_create_of_what_exists(client: KubeClient, server: Server, answer: Any, *, exists: bool) -> None:
    server.script = [answer]
    if exists:
        assert await create(client) is None
    else:
        with pytest.raises(ApiError):
            await create(client)


@pytest.mark.parametrize(
    ("answer", "text"),
    [(raw(200, "one\ntwo\n"), "one\ntwo\n"), (status(404), ""), (status(400, message="waiting to start"), "")],
)
async def test_logs(client: KubeClient, server: Server, answer: Any, text: str) -> None:
    server.script = [answer]
    assert await client.logs("team-a", "x", "main", tail=5) == text
    request = server.requests[0]
    assert request.path == "/api/v1/namespaces/team-a/pods/x/log"
    assert (request.query["container"], request.query["tailLines"]) == ("main", "5")


async def test_a_namespaced_object_without_a_namespace_is_not_sent(client: KubeClient, server: Server) -> None:
    with pytest.raises(ValueError, match=r"ConfigMap x has no namespace; set metadata\.namespace"):
        await client.get(Ref("v1", "ConfigMap", "", "x"))
    assert server.requests == []


async def test_concurrency_is_bounded(client: KubeClient, server: Server) -> None:
    now, most, full = 0, 0, asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == MAX_CONNECTIONS:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        now -= 1
        return web.json_response(OBJECT)

    server.script = [slow]
    await asyncio.gather(*(get(client) for _ in range(3 * MAX_CONNECTIONS)))
    assert most == MAX_CONNECTIONS


async def test_use_outside_of_the_block() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await KubeClient(Credentials("http://127.0.0.1:1", None, no_headers)).get(REF)
