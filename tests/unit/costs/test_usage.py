"""What pods use, as a metrics server says it, and where there is none."""

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest

from airfield.costs.ledger import Spent
from airfield.costs.usage import Usage, of_pods, of_volumes, used
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
    now = iter([1000.0, 1062.0, 5000.0])
    usage = Usage([of_pods(cast("Any", Cluster(lambda: [pod(("500m", "1Mi"))])))], 60, clock=lambda: next(now))
    await usage.measure()
    await usage.measure()
    assert usage.now == {KEY: Spent(cpu=Decimal("0.5"), memory=Decimal(MIB))}
    assert usage.pending == {KEY: Spent(cpu=Decimal(61), memory=Decimal(122 * MIB))}
    await usage.measure()  # nobody looked for an hour
    assert usage.pending[KEY].cpu == 61 + 60


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
    pods = of_pods(cast("Any", Cluster(lambda: [pod(("1", "2"))])))
    usage = Usage([pods, of_volumes(cast("Any", nodes), inventory)], 60, clock=lambda: 0.0)
    await usage.measure()
    await usage.measure()
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
    usage = Usage([of_pods(cast("Any", cluster))], 60)
    await usage.measure()
    cluster.answer = refuse
    with caplog.at_level(logging.INFO):
        await usage.measure()
        await usage.measure()
    assert len(caplog.records) == said
    assert usage.now == {}
    assert usage.pending[KEY].cpu == 60


async def test_never() -> None:
    def fail() -> list[dict[str, Any]]:
        raise AssertionError

    await Usage([of_pods(cast("Any", Cluster(fail)))], 0).run()
