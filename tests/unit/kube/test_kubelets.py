"""Kubelets against small servers that stand in for them; a real one is asked in tests/e2e/test_5_metrics.py."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from airfield.kube import kubelets
from airfield.kube.errors import ApiError
from airfield.kube.kinds import NODE, Kind, Ref
from airfield.kube.kubelets import RENEWAL, Kubelets, filled_of
from certificates import Authority

Json = dict[str, Any]


def claim(name: str, namespace: str = "team-a") -> Ref:
    return Ref("v1", "PersistentVolumeClaim", namespace, name)


def volume(name: str, size: int | None, namespace: str = "team-a") -> Json:
    found: Json = {"name": "x", "pvcRef": {"name": name, "namespace": namespace}}
    return found if size is None else {**found, "usedBytes": size}


def summary(*volumes: Json) -> Json:
    return {"node": {}, "pods": [{"podRef": {}, "volume": list(volumes)}, {"podRef": {}}]}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {}),
        ({"pods": None}, {}),
        (summary(), {}),
        (summary({"name": "tmp", "usedBytes": 7}), {}),
        (summary(volume("logs", None)), {}),
        (summary(volume("logs", 0), volume("db", 5, "team-b")), {claim("logs"): 0, claim("db", "team-b"): 5}),
        (summary(volume("logs", 7), volume("logs", 6)), {claim("logs"): 7}),
    ],
)
def test_what_a_kubelet_says(said: Json, expected: dict[Ref, int]) -> None:
    assert filled_of(said) == expected


@dataclass
class Kubelet:
    """Answers whoever shows the token."""

    volumes: list[Json] = field(default_factory=list)
    token: str = "t-1"
    asked: int = 0
    text: str = ""
    """What it says in the place of that."""
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        assert request.path == "/stats/summary"
        self.asked += 1
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="Unauthorized")
        await self.answers.wait()
        return web.Response(text=self.text) if self.text else web.json_response(summary(*self.volumes))


@dataclass
class Cluster:
    """The part of the API server that says which nodes there are, and gives tokens."""

    nodes: list[Json] = field(default_factory=list)
    tokens: int = 0

    async def list(self, kind: Kind, *, boil: Any) -> list[Json]:
        assert kind == NODE
        return [boil(node) for node in self.nodes]

    async def token(self, namespace: str, account: str, seconds: int) -> str:
        assert (namespace, account, seconds) == ("airfield-system", "airfield-statistics", 3600)
        self.tokens += 1
        return f"t-{self.tokens}"


@dataclass
class World:
    cluster: Cluster
    kubelets: list[Kubelet]
    authority: Authority
    now: float = 0.0

    def client(self, *, verified: bool = True) -> Kubelets:
        verified_by = ssl.create_default_context(cadata=self.authority.pem) if verified else None
        return Kubelets(
            cast("Any", self.cluster),
            "airfield-system",
            "airfield-statistics",
            verified_by=verified_by,
            clock=lambda: self.now,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two nodes whose kubelets have certificates for `localhost`, and a node that has no address yet."""
    world = World(Cluster(), [Kubelet(), Kubelet()], Authority())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for name, text in world.authority.issue("localhost").items():
        (tmp_path / name).write_text(text)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    async with AsyncExitStack() as stack:
        for number, kubelet in enumerate(world.kubelets):
            kubelet.answers.set()
            app = web.Application()
            app.router.add_get("/{path:.*}", kubelet.handle)
            server = TestServer(app, scheme="https")
            await server.start_server(ssl=context)
            stack.push_async_callback(server.close)
            addresses = [{"type": "Hostname", "address": "localhost"}]
            status = {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": server.port}}}
            world.cluster.nodes.append({"metadata": {"name": f"n{number}"}, "status": status})
        world.cluster.nodes.append({"metadata": {"name": "new"}})
        yield world


async def test_everybody_is_asked_with_the_same_token_until_it_is_old(world: World) -> None:
    """A volume of two nodes is as full as the one says that says most."""
    first, second = world.kubelets
    first.volumes = [volume("logs", 7), volume("own", 1)]
    second.volumes = [volume("logs", 8)]
    client = world.client()
    assert await client.filled() == ({claim("logs"): 8, claim("own"): 1}, [])
    world.now = RENEWAL - 1
    assert await client.filled() == ({claim("logs"): 8, claim("own"): 1}, [])
    assert world.cluster.tokens == 1
    world.now = RENEWAL
    first.token = second.token = "t-2"
    assert await client.filled() == ({claim("logs"): 8, claim("own"): 1}, [])


async def test_one_that_refuses_the_token_keeps_nobody_from_answering(world: World) -> None:
    """And the next look has another token: the keys that they are signed with may have changed."""
    first, second = world.kubelets
    first.volumes, second.volumes = [volume("logs", 7)], [volume("own", 1)]
    second.token = "t-2"
    client = world.client()
    filled, (failure,) = await client.filled()
    assert filled == {claim("logs"): 7}
    assert failure.message.startswith("read statistics of node n1: Unauthorized")
    first.token = "t-2"
    assert await client.filled() == ({claim("logs"): 7, claim("own"): 1}, [])


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"pods": [7]}',
        '{"pods": 7}',
        '{"pods": [{"volume": [{"pvcRef": {"name": "x"}, "usedBytes": 1}]}]}',
        json.dumps(summary(volume("logs", -1))),
        json.dumps(summary({**volume("logs", 1), "usedBytes": float("inf")})),
        json.dumps(summary({**volume("logs", 1), "usedBytes": "many"})),
        " " * 2**17 + "{}",
    ],
)
async def test_one_that_talks_nonsense_keeps_nobody_from_answering(
    world: World, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubelets, "LONGEST", 2**16)
    world.kubelets[0].text, world.kubelets[1].volumes = text, [volume("own", 1)]
    filled, (failure,) = await world.client().filled()
    assert filled == {claim("own"): 1}
    assert "node n0" in failure.message


async def test_one_that_does_not_answer_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubelets, "PATIENCE", 0.5)
    hanging, other = world.kubelets
    hanging.answers.clear()
    other.volumes = [volume("own", 1)]
    filled, (failure,) = await world.client().filled()
    hanging.answers.set()
    assert (filled, failure.message) == ({claim("own"): 1}, "node n0: no answer in 0.5 s")


async def test_the_first_address_of_a_type_is_the_nodes(world: World) -> None:
    node = world.cluster.nodes[0]
    node["status"]["addresses"].append({"type": "Hostname", "address": "elsewhere.invalid"})
    world.kubelets[0].volumes = [volume("logs", 7)]
    assert await world.client().filled() == ({claim("logs"): 7}, [])


async def test_a_token_is_shown_to_nobody_who_is_not_the_kubelet(world: World) -> None:
    for node in world.cluster.nodes[:2]:
        node["status"]["addresses"].append({"type": "InternalIP", "address": "127.0.0.1"})
    filled, failures = await world.client().filled()
    assert (filled, len(failures)) == ({}, 2)
    assert "certificate" in failures[0].message
    assert [kubelet.asked for kubelet in world.kubelets] == [0, 0]


async def test_whoever_says_so_asks_without_looking_at_certificates(world: World) -> None:
    world.kubelets[0].volumes = [volume("logs", 7)]
    for node in world.cluster.nodes[:2]:
        node["status"]["addresses"].append({"type": "InternalIP", "address": "127.0.0.1"})
    assert await world.client(verified=False).filled() == ({claim("logs"): 7}, [])


async def test_without_nodes_nothing_is_known(world: World) -> None:
    def refused(*_: object, **__: object) -> list[Json]:
        raise ApiError(403, "Forbidden", "list nodes: no")

    world.cluster.list = refused  # type: ignore[assignment, method-assign]
    with pytest.raises(ApiError, match="list nodes"):
        await world.client().filled()
