"""The proxy of the fault tests, between a plain client and a plain server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from airfield.kube.credentials import Credentials
from faultproxy import Answer, Call, Cut, Drop, End, FaultProxy, Hold, Late, Request, Rule, Script, Stale
from faultproxy.rules import READS, WRITES, Action

PODS = "/api/v1/namespaces/here/pods"
EVENT = frozenset({"event"})


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "expected"),
    [
        ("GET", "/version", {}, b"", Request("get")),
        ("GET", "/apis/apps/v1", {}, b"", Request("get")),
        ("GET", "/api/v1/nodes", {}, b"", Request("list", "nodes")),
        ("GET", "/api/v1/namespaces", {}, b"", Request("list", "namespaces")),
        ("GET", "/api/v1/namespaces/a", {}, b"", Request("get", "namespaces", name="a")),
        ("GET", "/api/v1/namespaces/a/pods?limit=500", {}, b"", Request("list", "pods", "a")),
        ("GET", "/api/v1/pods?watch=true", {}, b"", Request("watch", "pods")),
        ("GET", "/api/v1/pods?watch=false", {}, b"", Request("list", "pods")),
        ("GET", "/apis/apps/v1/namespaces/a/deployments/b", {}, b"", Request("get", "deployments", "a", "b")),
        ("POST", "/api/v1/namespaces/a/pods", {}, b'{"metadata":{"name":"b"}}', Request("create", "pods", "a", "b")),
        ("PUT", "/api/v1/namespaces/a/pods/b", {}, b"{}", Request("update", "pods", "a", "b")),
        ("DELETE", "/api/v1/namespaces/a/pods/b", {}, b"", Request("delete", "pods", "a", "b")),
        (
            "PATCH",
            "/api/v1/namespaces/a/pods/b",
            {"Content-Type": "application/apply-patch+yaml"},
            b"{}",
            Request("apply", "pods", "a", "b"),
        ),
        (
            "PATCH",
            "/apis/airfield.dev/v1alpha1/airflowtenants/t/status",
            {"Content-Type": "application/json-patch+json", "User-Agent": "airfield"},
            b"[]",
            Request("patch", "airflowtenants", "", "t", "status", "airfield"),
        ),
    ],
)
def test_requests_are_understood(
    method: str, path: str, headers: dict[str, str], body: bytes, expected: Request
) -> None:
    where, _, query = path.partition("?")
    parsed = Request.parse(method, where, dict(part.split("=") for part in query.split("&") if part), headers, body)
    assert parsed == Request(**{**vars(expected), "client": expected.client or "kopf"})


POD = Request("apply", "pods", "a", "demo-x")


@pytest.mark.parametrize(
    ("rule", "request_", "matches"),
    [
        (Rule(Cut()), POD, True),
        (Rule(Cut(), WRITES), POD, True),
        (Rule(Cut(), READS), POD, False),
        (Rule(Cut(), kind="pods", namespace="a", name="demo-*"), POD, True),
        (Rule(Cut(), kind="jobs"), POD, False),
        (Rule(Cut(), namespace="b"), POD, False),
        (Rule(Cut(), name="other-*"), POD, False),
        (Rule(Cut(), client="kopf"), Request("list", "pods", client="airfield"), False),
        (Rule(Cut(), WRITES), Request("patch", "leases", "a", "b"), False),
        (Rule(Cut(), WRITES, kind="leases"), Request("patch", "leases", "a", "b"), True),
        (Rule(Cut()), Request("event", "pods"), False),
        (Rule(Cut(), EVENT), Request("event", "pods"), True),
    ],
)
def test_what_a_rule_matches(rule: Rule, request_: Request, matches: bool) -> None:
    assert rule.matches(request_) is matches


def test_rules_count_what_they_match() -> None:
    script = Script((Rule(Cut(), first=2, times=2), Rule(Drop(), READS, first=1, times=9), Rule(Late(1), first=5)))
    read = Request("get", "pods")
    decided = [script.decide(each) for each in (POD, POD, read, read, POD, POD)]
    assert decided == [None, Cut(), Cut(), Drop(), Late(1), None]
    assert script.taken == [POD, read, read, POD]


class Upstream:
    """A server that knows what it was asked, counts its answers, and has three events for every watch."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.method)
        if "watch" not in request.query:
            return web.json_response({"count": len(self.asked)})
        response = web.StreamResponse()
        await response.prepare(request)
        for name in "abc":
            await response.write(json.dumps(event(name)).encode() + b"\n")
        return response


def event(name: str) -> dict[str, Any]:
    return {"type": "ADDED", "object": {"metadata": {"namespace": "here", "name": name}}}


@asynccontextmanager
async def connected(*rules: Rule) -> AsyncIterator[tuple[Upstream, FaultProxy, aiohttp.ClientSession]]:
    upstream = Upstream()
    runner = web.ServerRunner(web.Server(upstream.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async def headers() -> dict[str, str]:
        return {}

    proxy = FaultProxy(Credentials(f"http://127.0.0.1:{runner.addresses[0][1]}", None, headers))
    proxy.script = Script(rules)
    with proxy.running():
        async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as session:
            yield upstream, proxy, session
    await runner.cleanup()


async def ask(session: aiohttp.ClientSession, method: str = "GET", path: str = f"{PODS}/x") -> int:
    """The status of the answer; 0 when there was none."""
    try:
        async with session.request(method, path) as response:
            await response.read()
            return response.status
    except aiohttp.ClientError:
        return 0


async def test_without_rules_all_is_passed_on_and_written_down() -> None:
    async with connected() as (upstream, proxy, session):
        assert [await ask(session, method) for method in ("GET", "DELETE")] == [200, 200]
        assert upstream.asked == ["GET", "DELETE"]
        assert [(seen.request.verb, seen.status) for seen in proxy.seen] == [("get", 200), ("delete", 200)]
        assert [seen.request.name for seen in proxy.writes("here")] == ["x"]
        assert proxy.writes("elsewhere") == []


@pytest.mark.parametrize(("after", "reached"), [(False, []), (True, ["POST"])])
async def test_cut(after: bool, reached: list[str]) -> None:
    async with connected(Rule(Cut(after=after), WRITES)) as (upstream, _, session):
        assert await ask(session, "POST") == 0
        assert upstream.asked == reached
        assert await ask(session, "POST") == 200


@pytest.mark.parametrize(("after", "reached"), [(False, []), (True, ["POST"])])
async def test_call(after: bool, reached: list[str]) -> None:
    called: list[int] = []
    async with connected(Rule(Call(lambda: called.append(1), after=after), WRITES)) as (upstream, _, session):
        assert await ask(session, "POST") == 0
        assert (called, upstream.asked) == ([1], reached)


async def test_answer() -> None:
    async with (
        connected(Rule(Answer(429, "TooManyRequests", 1.5))) as (upstream, _, session),
        session.get(PODS) as response,
    ):
        assert (response.status, response.headers["Retry-After"], (await response.json())["code"]) == (429, "1.5", 429)
        assert upstream.asked == []


async def test_late() -> None:
    async with connected(Rule(Late(0.3))) as (_, __, session):
        began = time.monotonic()
        assert await ask(session) == 200
        assert time.monotonic() - began >= 0.3


async def test_stale() -> None:
    async with connected(Rule(Stale(), READS, first=2)) as (_, __, session):
        counts = []
        for _ in range(3):
            async with session.get(PODS) as response:
                counts.append((await response.json())["count"])
        assert counts == [1, 1, 2]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (None, "abc"),
        (Drop(), "bc"),
        (Hold(1), "bac"),
        (Hold(2), "bca"),
        (Hold(9), "bca"),
        (Cut(), ""),
        (End(500, "InternalError"), "!500"),
    ],
)
async def test_events(action: Action | None, expected: str) -> None:
    rules = [Rule(action, EVENT, kind="pods", name="a")] if action else []
    async with connected(*rules) as (_, __, session), session.get("/api/v1/pods?watch=true") as response:
        events = [json.loads(line) for line in (await response.read()).splitlines()]
    names = [e["object"]["metadata"]["name"] if e["type"] == "ADDED" else f"!{e['object']['code']}" for e in events]
    assert "".join(names) == expected


async def test_requests_do_not_wait_for_one_another() -> None:
    async with connected(Rule(Late(1.0), name="x")) as (_, __, session):
        slow = asyncio.create_task(ask(session))
        assert await ask(session, path=f"{PODS}/y") == 200
        assert not slow.done()
        await slow
