"""Two replicas of the operator: one of them writes, whatever happens to it."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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


@dataclass
class Pair:
    """The one that leads, and the one that stands by."""

    kube: KubeClient
    first: Operator
    second: Operator
    relay: Relay
    """The first one's way to the API server."""

    async def holder(self) -> str:
        lease = await self.kube.get(LEASE)
        return str((lease or {}).get("spec", {}).get("holderIdentity", ""))

    async def until_held_by(self, identity: str, seconds: float = 40) -> float:
        """Wait until a replica leads; the seconds that it took."""
        began = time.monotonic()

        async def held() -> bool:
            return await self.holder() == identity

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


def _environment(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    body = {"apiVersion": kinds.AIRFLOW_ENVIRONMENT.api_version, "kind": "AirflowEnvironment", "metadata": metadata}
    return {**body, "spec": {"className": "none", "stage": "dev"}}


@pytest.fixture
async def pair(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Pair]:
    settings = {"HELM": str(tool("helm")), "LEASE_SECONDS": str(LEASE_SECONDS)}
    through = tmp_path / "relayed.kubeconfig"
    async with KubeClient(credentials.from_kubeconfig(path=str(cluster.kubeconfig))) as kube:
        with relayed(cluster.kubeconfig, through) as relay:
            first = Operator(through, tmp_path / "first.log", {**settings, "IDENTITY": "first"})
            second = Operator(cluster.kubeconfig, tmp_path / "second.log", {**settings, "IDENTITY": "second"})
            pair = Pair(kube, first, second, relay)
            try:
                first.start()
                await pair.until_held_by("first")
                second.start()  # returns when it is ready, though it does not lead
                yield pair
            finally:
                first.kill()
                second.kill()
        for found in await kube.list(kinds.AIRFLOW_ENVIRONMENT):
            await kube.patch(Ref.of(found), {"metadata": {"finalizers": None}})
            await kube.delete(Ref.of(found))
        await kube.delete(LEASE)


async def test_one_writes(pair: Pair) -> None:
    for name in ("a", "b", "c"):
        await pair.make(name)
    await pair.until_told("a", "b", "c")
    assert (pair.first.leading(), pair.second.leading()) == (True, False)
    assert pair.first.writes() >= 6  # a finalizer and a status each
    assert pair.second.writes() == 0


async def test_killed(pair: Pair) -> None:
    await pair.make("before")
    await pair.until_told("before")
    pair.first.kill()
    await pair.make("between")
    assert await pair.until_held_by("second") <= TAKEOVER_SECONDS
    await pair.until_told("between", seconds=5)


async def test_ended_in_good_order(pair: Pair) -> None:
    assert pair.first.stop() == 0
    assert await pair.until_held_by("second") < LEASE_SECONDS / 2
    await pair.make("after")
    await pair.until_told("after", seconds=5)


async def test_stopped_and_continued(pair: Pair) -> None:
    await pair.make("before")
    await pair.until_told("before")
    os.kill(pair.first.pid, signal.SIGSTOP)
    await pair.until_held_by("second")
    pair.second.kill()
    await pair.make("nobodys")  # the first one hears of it as soon as it goes on
    os.kill(pair.first.pid, signal.SIGCONT)
    assert pair.first.wait() == 1
    assert not await pair.told("nobodys")
    assert (await pair.kube.get(Ref.of(_environment("nobodys"))) or {})["metadata"].get("finalizers") is None


async def test_cut_off(pair: Pair) -> None:
    pair.relay.cut()
    assert pair.first.wait() == 1
    assert await pair.holder() == "first", "it ended before another one could lead"
    await pair.make("after")
    await pair.until_held_by("second")
    await pair.until_told("after", seconds=5)


async def test_the_lease_is_removed(pair: Pair) -> None:
    for _ in range(3):
        await pair.kube.delete(LEASE)
        await pair.until_held_by("first")
    assert (pair.first.leading(), pair.second.leading()) == (True, False)


async def test_the_lease_is_taken_by_force(pair: Pair) -> None:
    await pair.kube.patch(LEASE, {"spec": {"holderIdentity": "second"}})
    assert pair.first.wait() == 1
    await pair.make("after")
    await pair.until_told("after")
