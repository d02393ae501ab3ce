"""What pods use, as a metrics server says it, and where there is none."""

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest

from airfield.costs.ledger import Spent
from airfield.costs.usage import Source, Usage, of_pods, of_volumes, used
from airfield.kube.errors import ApiError, ApiUnavailable
from airfield.kube.inventory import Inventory
from airfield.kube.kinds import Ref

KEY = ("team-a", "demo")
MIB = 1024**2


def pod(*usage: tuple[str, str], of: str | None = "demo") -> dict[str, Any]:
    labels = {"airfield.dev/environment": of} if of else {}
    containers = [{"name": "base", "usage": {"cpu": cpu, "memory": memory}} for cpu, memory in usage]
    return {"metadata": {"namespace": "team-a", "name": "x", "labels": labels}, "containers": containers}


def test_added_up() -> None:
    pods = [pod(("100m", "64Mi"), ("1500000n", "1024Ki")), pod(("1", "0")), pod(("1", "0"), of="b"), pod(of=None)]
    assert used(pods) == {
        KEY: Spent(cpu=Decimal("1.1015"), memory=Decimal(65 * MIB)),
        ("team-a", "b"): Spent(cpu=Decimal(1), memory=Decimal(0)),
    }


class Cluster:
    """Answers, or refuses."""

    def __init__(self, answer: Callable[[], list[dict[str, Any]]]) -> None:
        self.answer = answer

    async def list(self, *_: object, **__: object) -> list[dict[str, Any]]:
        return self.answer()


async def test_what_comes_together() -> None:
    now, source = iter([1000.0, 1062.0]), of_pods(cast("Any", Cluster(lambda: [pod(("500m", "1Mi"))])))
    usage = Usage([source], 60, clock=lambda: next(now))
    await usage.measure(source)
    await usage.measure(source)
    assert usage.now == {KEY: Spent(cpu=Decimal("0.5"), memory=Decimal(MIB))}
    assert usage.pending == {KEY: Spent(cpu=Decimal(61), memory=Decimal(122 * MIB))}


class Nodes:
    """Kubelets of which some do not answer."""

    def __init__(self, filled: dict[str, int], *failures: ApiError) -> None:
        self.filled_of, self.failures = filled, list(failures)

    async def filled(self) -> tuple[dict[Ref, int], list[ApiError]]:
        claims = {Ref("v1", "PersistentVolumeClaim", "team-a", name): size for name, size in self.filled_of.items()}
        return claims, self.failures


async def test_volumes_count_for_their_environment(caplog: pytest.LogCaptureFixture) -> None:
    """Also while some kubelets do not answer, which is said once."""
    inventory = Inventory()
    for name, of in (("demo-logs", "demo"), ("demo-db", "demo"), ("b-logs", "b")):
        metadata = {"namespace": "team-a", "name": name, "labels": {"airfield.dev/environment": of}}
        inventory.observe({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata})
    nodes = Nodes({"demo-logs": 3, "demo-db": 4, "b-logs": 5, "nobodys": 6}, ApiUnavailable("node n1: gone"))
    pods, volumes = of_pods(cast("Any", Cluster(lambda: [pod(("1", "2"))]))), of_volumes(cast("Any", nodes), inventory)
    usage = Usage([pods, volumes], 60, clock=lambda: 0.0)
    for source in (pods, volumes, volumes):
        await usage.measure(source)
    assert usage.now == {
        KEY: Spent(cpu=Decimal(1), memory=Decimal(2), storage=Decimal(7)),
        ("team-a", "b"): Spent(storage=Decimal(5)),
    }
    assert usage.pending[KEY].storage == 7 * 60
    assert [record.getMessage() for record in caplog.records] == ["what some volumes hold is not known: node n1: gone"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ApiError(404, "NotFound", "no such API"), 0),
        (ApiError(503, "ServiceUnavailable", "not running"), 0),
        (ApiError(403, "Forbidden", "may not"), 1),
        (ApiUnavailable("no answer"), 1),
    ],
)
async def test_nobody_who_knows(error: ApiError, said: int, caplog: pytest.LogCaptureFixture) -> None:
    """None at all is not worth a word; what is wrong is said once."""

    def refuse() -> list[dict[str, Any]]:
        raise error

    cluster = Cluster(lambda: [pod(("1", "1Mi"))])
    source = of_pods(cast("Any", cluster))
    usage = Usage([source], 60)
    await usage.measure(source)
    cluster.answer = refuse
    with caplog.at_level(logging.INFO):
        await usage.measure(source)
        await usage.measure(source)
    assert len(caplog.records) == said
    assert usage.now == {}
    assert usage.pending[KEY].cpu == 60


async def test_kubelets_that_cannot_be_asked_are_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the error is: somebody wanted them to be asked."""

    class Nobody:
        async def filled(self) -> tuple[dict[Ref, int], list[ApiError]]:
            raise ApiError(404, "NotFound", "create a token of ServiceAccount airfield-statistics: not found")

    source = of_volumes(cast("Any", Nobody()), Inventory())
    await Usage([source], 60).measure(source)
    assert "airfield-statistics: not found" in caplog.text


async def test_who_is_slow_or_talks_nonsense_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    async def nonsense() -> Any:
        raise KeyError("namespace")

    pods = of_pods(cast("Any", Cluster(lambda: [pod(("1", "1Mi"))])))
    usage = Usage([Source("a", never), Source("b", nonsense), pods], 0.01)
    running = asyncio.create_task(usage.run())
    async with asyncio.timeout(10):
        while caplog.text.count("b: the answer is not understood") < 3 or pods.measured is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.cancel()
    assert usage.now[KEY].cpu == 1


async def test_never() -> None:
    def fail() -> list[dict[str, Any]]:
        raise AssertionError

    await Usage([of_pods(cast("Any", Cluster(fail)))], 0).run()
