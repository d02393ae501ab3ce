"""Kubelets against small servers that stand in for them; a real one is asked in tests/e2e/test_5_metrics.py."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

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
    ],
)
def test_what_a_kubelet_says(said: Json, expected: dict[Ref, int]) -> None:
    assert dict(filled_of(said)) == expected


@dataclass
class Kubelet:
    """Answers whoever shows the token."""

    volumes: list[Json] = field(default_factory=list)
    token: str = "t-1"
    asked: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        assert request.path == "/stats/summary"
        self.asked += 1
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="Unauthorized")
        return web.json_response(summary(*self.volumes))


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
        certificates = ssl.create_default_context(cadata=self.authority.pem) if verified else None
        return Kubelets(
            cast("Any", self.cluster),
            namespace="airfield-system",
            account="airfield-statistics",
            certificates=certificates,
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
    kubelets = world.client()
    assert await kubelets.filled() == ({claim("logs"): 8, claim("own"): 1}, [])
    world.now = RENEWAL - 1
    assert await kubelets.filled() == ({claim("logs"): 8, claim("own"): 1}, [])
    assert world.cluster.tokens == 1
    world.now = RENEWAL
    first.token = second.token = "t-2"
    assert await kubelets.filled() == ({claim("logs"): 8, claim("own"): 1}, [])


async def test_one_that_refuses_the_token_keeps_nobody_from_answering(world: World) -> None:
    """And the next look has another token: the keys that they are signed with may have changed."""
    first, second = world.kubelets
    first.volumes, second.volumes = [volume("logs", 7)], [volume("own", 1)]
    second.token = "t-2"
    kubelets = world.client()
    filled, (failure,) = await kubelets.filled()
    assert filled == {claim("logs"): 7}
    assert failure.message.startswith("read statistics of node n1: Unauthorized")
    first.token = "t-2"
    assert await kubelets.filled() == ({claim("logs"): 7, claim("own"): 1}, [])


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
