"""What Kubernetes' probes are told, over HTTP."""

import asyncio
import socket
from time import monotonic
from typing import Any

import aiohttp
import pytest

from airfield.kube.inventory import Inventory
from airfield.kube.kinds import CONFIG_MAP, POD
from airfield.kube.reflector import Reflector
from airfield.kube.resources import Resources
from airfield.kube.secrets import SecretVersions
from airfield.probes import Progress, serve
from airfield.runtime.leadership import Fence
from airfield.runtime.metrics import Metrics
from airfield.runtime.queue import WorkQueue
from airfield.settings import Settings
from airfield.watches import Watches

OLD = 100_000.0


class Ignorant:
    """A sink that takes nothing in."""

    def seen(self, obj: object) -> None: ...
    def gone(self, obj: object) -> None: ...
    def listed(self, *about: object) -> None: ...


class Replica:
    """The parts of the operator that its probes ask; seconds pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.environments: WorkQueue[tuple[str, str]] = WorkQueue(clock=lambda: self.now)
        inventory, secrets = Inventory(), SecretVersions()
        self.watches = Watches(Resources(), inventory, secrets, self.environments, WorkQueue(), WorkQueue())
        self.progress = Progress(relisted=monotonic())
        self.fence = Fence(pytest.fail)

    async def ask(self, path: str) -> tuple[int, Any]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = Settings(metrics_port=port)
        async with (
            serve(settings, Metrics(), self.watches, self.progress, self.fence),
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/{path}") as answer,
        ):
            return answer.status, await answer.json()


@pytest.fixture
def replica() -> Replica:
    return Replica()


async def test_a_process_that_gets_on(replica: Replica) -> None:
    status, said = await replica.ask("healthz")
    assert (status, said["problems"], said["leading"]) == (200, [], False)


async def test_one_that_lists_nothing_any_more(replica: Replica) -> None:
    replica.progress.relisted = monotonic() - OLD
    status, said = await replica.ask("healthz")
    assert status == 503
    assert "nothing could be listed" in said["problems"][0]


async def test_one_of_whose_watches_nothing_is_heard(replica: Replica) -> None:
    quiet, lively = (Reflector(None, kind, Ignorant()) for kind in (CONFIG_MAP, POD))  # type: ignore[arg-type]
    replica.progress.reflectors = (lively, quiet)
    assert (await replica.ask("healthz"))[0] == 200
    quiet.heard_at -= OLD
    status, said = await replica.ask("healthz")
    assert status == 503
    assert "a watch has said nothing" in said["problems"][0]


async def test_one_whose_handlers_do_not_come_to_an_end(replica: Replica) -> None:
    async def hang(_: tuple[str, str]) -> None:
        await asyncio.Event().wait()

    replica.environments.add(("team", "first"))
    replica.environments.add(("team", "second"))
    running = asyncio.create_task(replica.environments.run(hang, workers=1))
    await asyncio.sleep(0)
    assert (await replica.ask("healthz"))[0] == 200
    replica.environments.add(("team", "first"))
    replica.now = OLD
    status, said = await replica.ask("healthz")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert status == 503
    assert said["seconds"]["blocked"] == said["seconds"]["stalled"] == OLD
    assert [
        "nothing has come to an end" in said["problems"][0],
        "a key has waited for its own handler" in said["problems"][1],
    ] == [True] * 2


async def test_a_queue_that_does_not_run_is_no_reason(replica: Replica) -> None:
    replica.environments.add(("team", "first"))
    replica.now = OLD
    assert (await replica.ask("healthz"))[0] == 200


async def test_a_replica_with_cold_caches_is_not_ready(replica: Replica) -> None:
    assert await replica.ask("readyz") == (503, {"ready": False})
