"""The client against a server that answers as Airflow 3.3.2 does; the real one is met in the end-to-end tests."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from airfield.airflow.rest import Airflow, RestError

RUN = "/api/v2/dags/{dag}/dagRuns/{run}"


class FakeAirflow:
    def __init__(self) -> None:
        self.paused = True
        self.states = iter(["queued", "running", "success"])
        self.triggered: Any = None

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self.authorise])
        application.add_routes(
            [
                web.post("/auth/token", self.token),
                web.get("/api/v2/dags/{dag}", self.dag),
                web.patch("/api/v2/dags/{dag}", self.patch),
                web.post("/api/v2/dags/{dag}/dagRuns", self.trigger),
                web.get(RUN, self.run),
                web.get(RUN + "/taskInstances", self.tasks),
                web.get(RUN + "/taskInstances/{task}/logs/{attempt}", self.log),
                web.get("/api/v2/importErrors", self.import_errors),
            ]
        )
        return application

    @web.middleware
    async def authorise(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path != "/auth/token" and request.headers.get("Authorization") != "Bearer the-token":
            return web.json_response({"detail": "Invalid JWT token"}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    async def token(self, request: web.Request) -> web.Response:
        if await request.json() != {"username": "admin", "password": "secret"}:
            return web.json_response({"detail": "Invalid credentials"}, status=401)
        return web.json_response({"access_token": "the-token"}, status=201)

    async def dag(self, request: web.Request) -> web.Response:
        if request.match_info["dag"] != "my/dag":
            return web.json_response({"detail": "not found"}, status=404)
        return web.json_response({"dag_id": "my/dag", "is_paused": self.paused})

    async def patch(self, request: web.Request) -> web.Response:
        self.paused = (await request.json())["is_paused"]
        return await self.dag(request)

    async def trigger(self, request: web.Request) -> web.Response:
        self.triggered = await request.json()
        return web.json_response({"dag_run_id": "manual__2026-11-21T08:00:00+00:00", "state": "queued"})

    async def run(self, request: web.Request) -> web.Response:
        assert request.match_info["run"] == "manual__2026-11-21T08:00:00+00:00"
        return web.json_response({"state": next(self.states)})

    async def tasks(self, _request: web.Request) -> web.Response:
        return web.json_response({"task_instances": [{"task_id": "hello", "state": "success"}], "total_entries": 1})

    async def log(self, request: web.Request) -> web.Response:
        assert request.query["full_content"] == "true"
        events = [{"event": "Hello", "timestamp": "2026-11-21T08:00:00Z", "level": "info"}, {"event": "world"}]
        return web.json_response({"content": events, "continuation_token": None})

    async def import_errors(self, _request: web.Request) -> web.Response:
        return web.json_response({"import_errors": [{"filename": "bad.py", "stack_trace": "SyntaxError"}]})


@pytest.fixture
async def fake() -> FakeAirflow:
    return FakeAirflow()


@pytest.fixture
async def url(fake: FakeAirflow) -> AsyncIterator[str]:
    runner = web.AppRunner(fake.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_run(url: str, session: aiohttp.ClientSession, fake: FakeAirflow) -> None:
    airflow = await Airflow.login(session, url, "admin", "secret")
    assert (await airflow.dag("my/dag"))["is_paused"]
    await airflow.pause("my/dag", paused=False)
    assert not (await airflow.dag("my/dag"))["is_paused"]
    run = await airflow.trigger("my/dag", {"key": "value"})
    assert fake.triggered == {"logical_date": None, "conf": {"key": "value"}}
    assert await airflow.wait_for_run("my/dag", run, seconds=10, every=0.001) == "success"
    assert await airflow.task_states("my/dag", run) == {"hello": "success"}
    assert await airflow.task_log("my/dag", run, "hello") == "Hello\nworld"
    assert await airflow.import_errors() == {"bad.py": "SyntaxError"}


async def test_refusals(url: str, session: aiohttp.ClientSession) -> None:
    with pytest.raises(RestError, match="Invalid credentials") as caught:
        await Airflow.login(session, url, "admin", "wrong-secret")
    assert caught.value.status == 401
    assert "wrong-secret" not in str(caught.value)
    airflow = await Airflow.login(session, url, "admin", "secret")
    with pytest.raises(RestError, match="GET /api/v2/dags/other") as caught:
        await airflow.dag("other")
    assert caught.value.status == 404
    with pytest.raises(RestError, match="no answer") as caught:
        await Airflow.login(session, "http://127.0.0.1:1", "admin", "secret")
    assert caught.value.status == 0
