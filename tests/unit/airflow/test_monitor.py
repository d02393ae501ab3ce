import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from airfield.airflow.monitor import PATH, ComponentHealth, Health, health, judge, parse

BEAT = "2026-11-21T08:00:00.123456+00:00"
REPORT = {
    "metadatabase": {"status": "healthy"},
    "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": BEAT},
    "triggerer": {"status": None, "latest_triggerer_heartbeat": None},
    "dag_processor": {"status": "unhealthy", "latest_dag_processor_heartbeat": BEAT},
}
COMPONENTS = {"scheduler", "triggerer", "dag-processor"}


def test_a_report() -> None:
    assert parse(REPORT) == Health(
        {
            "metadatabase": ComponentHealth("healthy"),
            "scheduler": ComponentHealth("healthy", datetime(2026, 11, 21, 8, 0, 0, 123456, UTC)),
            "triggerer": ComponentHealth(None),
            "dag_processor": ComponentHealth("unhealthy", datetime(2026, 11, 21, 8, 0, 0, 123456, UTC)),
        }
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["metadatabase", "status", "scheduler"]), inner),
)


@given(json_values)
def test_any_document_is_a_report_or_a_value_error(document: Any) -> None:
    try:
        healthy, message = judge(parse(document), COMPONENTS)
    except ValueError:
        return
    assert not healthy
    assert message


def all_healthy(**changed: str | None) -> Health:
    names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
    return Health({name: ComponentHealth(changed.get(name, "healthy")) for name in names})


@pytest.mark.parametrize(
    ("report", "expected", "verdict"),
    [
        (all_healthy(), COMPONENTS | {"api-server"}, (True, "all components report healthy")),
        (all_healthy(triggerer=None), {"scheduler"}, (True, "all components report healthy")),
        (all_healthy(triggerer=None), COMPONENTS, (False, "the triggerer has not reported yet")),
        (all_healthy(scheduler="unhealthy"), COMPONENTS, (False, "the scheduler sends no heartbeat")),
        (
            all_healthy(scheduler="unhealthy", dag_processor="unhealthy"),
            {"dag_processor", "scheduler"},
            (False, "the dag-processor sends no heartbeat; the scheduler sends no heartbeat"),
        ),
        (all_healthy(metadatabase="unhealthy"), set(), (False, "the api-server cannot use the metadata database")),
        (all_healthy(scheduler="tired"), COMPONENTS, (False, "the scheduler reports an unknown status")),
        (Health(), set(), (False, "the metadata database has not reported yet")),
        (all_healthy(), {"worker"}, (False, "the worker has not reported yet")),
        (Health.unreachable("gone"), COMPONENTS, (False, "gone")),
    ],
)
def test_judgement(report: Health, expected: set[str], verdict: tuple[bool, str]) -> None:
    assert judge(report, expected) == verdict


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get(PATH, handler)
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def report(_request: web.Request) -> web.StreamResponse:
    return web.json_response(REPORT)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 10_000)


async def silent(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def elsewhere(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://127.0.0.1:1/")


async def nonsense(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>")


async def deep(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="[" * 60_000)


async def test_a_report_over_http() -> None:
    async with serving(report) as url, aiohttp.ClientSession() as session:
        assert await health(session, url, 60) == parse(json.loads(json.dumps(REPORT)))


@pytest.mark.parametrize(
    ("handler", "timeout", "reason"),
    [
        (endless, 60, "too long"),
        (silent, 0.05, "within 0.05 s"),
        (elsewhere, 60, "HTTP status 302"),
        (nonsense, 60, "not a health report"),
        (deep, 60, "not a health report"),
    ],
)
async def test_what_is_no_report(handler: Handler, timeout: float, reason: str) -> None:  # noqa: ASYNC109
    async with serving(handler) as url, aiohttp.ClientSession() as session:
        answer = await health(session, url, timeout)
    assert answer.error is not None
    assert reason in answer.error
    assert answer.silent == (handler is silent)
    assert not answer.components


async def test_nobody_there() -> None:
    async with aiohttp.ClientSession() as session:
        answer = await health(session, "http://127.0.0.1:1", 60)
    assert answer == Health.unreachable("the api-server cannot be reached (ClientConnectorError)")
