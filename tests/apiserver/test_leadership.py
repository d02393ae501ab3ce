"""Two replicas of the operator: one of them writes, whatever happens to it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from airfield.costs import store
from airfield.costs.ledger import Page, Segments
from airfield.kube import credentials, kinds
from airfield.kube.client import KubeClient
from airfield.kube.kinds import Ref
from clusters import PREFIX, kubectl
from demo.platform import REPOSITORY, Platform
from localcluster import Cluster, Options, tool
from operated_cluster import SYSTEM, eventually
from operator_process import Operator
from relay import Relay, relayed

LEASE = Ref(kinds.LEASE.api_version, kinds.LEASE.kind, SYSTEM, "airfield")
LEASE_SECONDS = 10
TAKEOVER_SECONDS = 15


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(f"{PREFIX}lead-{os.getpid()}", Options("control-plane"))
    try:
        cluster.up()
        kubectl(cluster, "apply", "--server-side", "-f", str(REPOSITORY / "crds"))
        Platform(cluster).await_crds()
        kubectl(cluster, "create", "namespace", SYSTEM)
        yield cluster
    finally:
        cluster.down()


@dataclass(frozen=True)
class Replica:
    """An operator with a name and a way of its own to the API server."""

    identity: str
    process: Operator
    relay: Relay

    def revive(self) -> None:
        """Have it run, whatever became of it; returns when it is ready, which it also is when it does not lead."""
        if not self.process.running or not self.relay.whole:
            self.process.kill()  # it may have ended by itself
            self.relay.mend()
            self.process.start()


@dataclass(frozen=True)
class Pair:
    """The one that leads, and the one that stands by, as a test begins."""

    kube: KubeClient
    first: Replica
    second: Replica

    async def until_held_by(self, replica: Replica, seconds: float = 40) -> float:
        """Wait until a replica leads; the seconds that it took."""
        began = time.monotonic()

        async def held() -> bool:
            return await _holder(self.kube) == replica.identity

        await eventually(held, seconds)
        return time.monotonic() - began

    async def make(self, name: str) -> None:
        """An environment that only needs to be told that its class does not exist."""
        await self.kube.create(_environment(name))

    async def told(self, name: str) -> bool:
        live = await self.kube.get(Ref.of(_environment(name)))
        assert live is not None
        return bool(live.get("status", {}).get("conditions"))

    async def until_told(self, *names: str, seconds: float = 40) -> None:
        async def told() -> bool:
            return all([await self.told(name) for name in names])

        await eventually(told, seconds)


async def _holder(kube: KubeClient) -> str:
    lease = await kube.get(LEASE)
    return str((lease or {}).get("spec", {}).get("holderIdentity", ""))


def _environment(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    body = {"apiVersion": kinds.AIRFLOW_ENVIRONMENT.api_version, "kind": "AirflowEnvironment", "metadata": metadata}
    return {**body, "spec": {"className": "none", "stage": "dev"}}


@pytest.fixture(scope="module")
def replicas(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """Two replicas that are not started yet."""
    folder = tmp_path_factory.mktemp("replicas")
    found: list[Replica] = []
    with ExitStack() as stack:
        for name in ("one", "two"):
            relay = stack.enter_context(relayed(cluster.kubeconfig, folder / f"{name}.kubeconfig"))
            settings = {"HELM": str(tool("helm")), "LEASE_SECONDS": str(LEASE_SECONDS), "IDENTITY": name}
            process = Operator(folder / f"{name}.kubeconfig", folder / f"{name}.log", settings)
            stack.callback(process.kill)
            found.append(Replica(name, process, relay))
        yield found


@pytest.fixture
async def pair(cluster: Cluster, replicas: list[Replica]) -> AsyncIterator[Pair]:
    """Both run, whatever the last test did to them, and one of them leads."""
    await asyncio.gather(*(asyncio.to_thread(replica.revive) for replica in replicas))
    async with KubeClient(credentials.from_kubeconfig(path=str(cluster.kubeconfig))) as kube:

        async def led() -> list[Replica]:
            return [replica for replica in replicas if replica.process.leading()]

        (first,) = await eventually(led)
        (second,) = (replica for replica in replicas if replica is not first)
        pair = Pair(kube, first, second)
        await pair.until_held_by(first)
        yield pair
        for found in await kube.list(kinds.AIRFLOW_ENVIRONMENT):
            await kube.patch(Ref.of(found), {"metadata": {"finalizers": None}})
            await kube.delete(Ref.of(found))

        async def gone() -> bool:
            return not await kube.list(kinds.AIRFLOW_ENVIRONMENT)

        await eventually(gone)


async def test_one_writes(pair: Pair) -> None:
    before = pair.first.process.writes(), pair.second.process.writes()
    for name in ("a", "b", "c"):
        await pair.make(name)
    await pair.until_told("a", "b", "c")
    assert (pair.first.process.leading(), pair.second.process.leading()) == (True, False)

    async def counted() -> bool:  # when the answer has come, which others may see before
        return pair.first.process.writes() - before[0] >= 6  # a finalizer and a status each

    await eventually(counted)
    assert pair.second.process.writes() == before[1]


async def test_killed(pair: Pair) -> None:
    await pair.make("before")
    await pair.until_told("before")
    pair.first.process.kill()
    await pair.make("between")
    assert await pair.until_held_by(pair.second) <= TAKEOVER_SECONDS
    await pair.until_told("between", seconds=5)


async def test_one_keeps_the_ledger(pair: Pair) -> None:
    """Who leads next goes on where the other one stopped; and who does not lead writes nothing of it."""

    async def page() -> Page:
        names = (await store.names(pair.kube, SYSTEM)).get("team", set())
        assert names
        found = await store.load(pair.kube, SYSTEM, "team", max(names))
        assert found is not None
        return found[0]

    async def recorded(name: str, *, lasting: bool) -> Segments:
        found = (await page()).entries.get(("default", name), ())
        assert [each.until is None for each in found] == [lasting], found
        return found

    async def grant(name: str) -> None:
        await pair.make(name)
        await pair.until_told(name)
        granted = {"stage": "dev", "cpu": "1", "memory": "1Gi", "storage": "1Gi"}
        status = {"tenant": "team", "granted": {**granted, "cpuLimit": "1", "memoryLimit": "1Gi", "volume": "1Gi"}}
        await pair.kube.patch(Ref.of(_environment(name)), {"status": status}, subresource="status")

    before = pair.second.process.writes()
    await grant("a")
    (first,) = await eventually(lambda: recorded("a", lasting=True))
    assert pair.second.process.writes() == before
    pair.first.process.kill()
    await pair.until_held_by(pair.second)
    await grant("b")
    await eventually(lambda: recorded("b", lasting=True))
    assert await recorded("a", lasting=True) == (first,)
    await pair.kube.delete(Ref.of(_environment("a")))
    (closed,) = await eventually(lambda: recorded("a", lasting=False))
    assert closed.since == first.since


async def test_ended_in_good_order(pair: Pair) -> None:
    assert pair.first.process.stop() == 0
    assert await pair.until_held_by(pair.second) < LEASE_SECONDS / 2
    await pair.make("after")
    await pair.until_told("after", seconds=5)


async def test_stopped_and_continued(pair: Pair) -> None:
    await pair.make("before")
    await pair.until_told("before")
    os.kill(pair.first.process.pid, signal.SIGSTOP)
    try:
        await pair.until_held_by(pair.second)
        pair.second.process.kill()
        await pair.make("nobodys")  # the first one hears of it as soon as it goes on
    finally:
        os.kill(pair.first.process.pid, signal.SIGCONT)
    assert pair.first.process.wait() == 1
    assert not await pair.told("nobodys")
    assert (await pair.kube.get(Ref.of(_environment("nobodys"))) or {})["metadata"].get("finalizers") is None


async def test_cut_off(pair: Pair) -> None:
    pair.first.relay.cut()
    assert pair.first.process.wait() == 1
    assert await _holder(pair.kube) == pair.first.identity, "it ended before another one could lead"
    await pair.make("after")
    await pair.until_held_by(pair.second)
    await pair.until_told("after", seconds=5)


async def test_the_lease_is_removed(pair: Pair) -> None:
    for _ in range(3):
        await pair.kube.delete(LEASE)
        await pair.until_held_by(pair.first)
    assert (pair.first.process.leading(), pair.second.process.leading()) == (True, False)


async def test_the_lease_is_taken_by_force(pair: Pair) -> None:
    await pair.kube.patch(LEASE, {"spec": {"holderIdentity": pair.second.identity}})
    assert pair.first.process.wait() == 1
    await pair.make("after")
    await pair.until_told("after")
