"""What stands before a write, and the namespaces that a client is restricted to."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from airfield.kube import kinds
from airfield.kube.client import KubeClient
from airfield.kube.credentials import Credentials
from airfield.kube.kinds import Ref

REF = Ref("v1", "ConfigMap", "team-a", "x")
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "team-a", "name": "x"}}


class Closed(Exception):  # noqa: N818
    pass


class Server:
    """Answers everything with the same object; GETs only when it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        if request.method == "GET":
            await self.may_answer.wait()
        return web.json_response({**OBJECT, "items": [OBJECT]})


async def _headers() -> dict[str, str]:
    return {}


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Credentials]]:
    server, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running:
        yield server, Credentials(str(running.make_url("")).rstrip("/"), None, _headers)


def _closed() -> None:
    raise Closed


async def test_nothing_is_written_behind_a_closed_fence(server: tuple[Server, Credentials]) -> None:
    async with KubeClient(server[1], before_write=_closed) as kube:
        await kube.get(REF)  # also opens the connection that the next ones use
        for write in (
            kube.apply(OBJECT),
            kube.create(OBJECT),
            kube.patch(REF, {}),
            kube.apply_status(REF, {}),
            kube.delete(REF),
        ):
            with pytest.raises(Closed):
                await write
        await kube.list(kinds.CONFIG_MAP)
    assert {asked.split(" ")[0] for asked in server[0].asked} == {"GET"}


async def test_who_waited_for_a_connection_is_asked_afterwards(server: tuple[Server, Credentials]) -> None:
    """The fence may have closed while a write waited for its turn."""
    found, access = server
    closed = False

    def check() -> None:
        if closed:
            raise Closed

    async with KubeClient(access, before_write=check, connections=1) as kube:
        found.may_answer.clear()
        reading = asyncio.create_task(kube.get(REF))
        while not found.asked:  # noqa: ASYNC110 - the server is another's
            await asyncio.sleep(0.01)
        writing = asyncio.create_task(kube.apply(OBJECT))
        await asyncio.sleep(0)
        closed = True
        found.may_answer.set()
        await reading
        with pytest.raises(Closed):
            await writing
    assert len(found.asked) == 1


async def test_all_namespaces_are_the_chosen_ones(server: tuple[Server, Credentials]) -> None:
    async with KubeClient(server[1], namespaces=("team-a", "team-b")) as kube:
        assert len(await kube.list(kinds.CONFIG_MAP)) == 2
        await kube.list(kinds.CONFIG_MAP, "team-c")
        await kube.list(kinds.AIRFLOW_TENANT)
    assert server[0].asked == [
        "GET /api/v1/namespaces/team-a/configmaps",
        "GET /api/v1/namespaces/team-b/configmaps",
        "GET /api/v1/namespaces/team-c/configmaps",
        "GET /apis/airfield.dev/v1alpha1/airflowtenants",
    ]
