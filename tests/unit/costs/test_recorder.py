"""The recorder against an API server that loses answers, and with operators that end at any time."""

import asyncio
import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.costs.fleet import Charge
from airfield.costs.ledger import Key, Page, Segment, Spent, Terms, read
from airfield.costs.recorder import Recorder
from airfield.costs.usage import Usage
from airfield.kube.errors import ApiError, ApiUnavailable
from airfield.kube.kinds import Ref
from airfield.kube.task_pods import TaskPods

Json = dict[str, Any]
Segments = list[Segment]
DEMO: Key = ("team-a", "demo")
START = datetime(2026, 11, 12, 8, 20, tzinfo=UTC)
MONTHS_END = datetime(2026, 11, 30, 23, tzinfo=UTC)


class Server:
    """ConfigMaps in memory, with versions; `trouble` is what becomes of the next write: "lost", "refused", or ""."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[str] = []
        self.trouble = ""

    async def list(self, _: object, __: str, selector: str, *, metadata_only: bool) -> Any:
        assert metadata_only
        tenant = selector.partition("=")[2]
        labelled = [
            each for each in self.objects.values() if tenant in {"", each["metadata"]["labels"]["airfield.dev/tenant"]}
        ]
        return copy.deepcopy(labelled)

    async def get(self, ref: Ref) -> Json | None:
        return copy.deepcopy(self.objects.get(ref.name))

    async def create(self, manifest: Json) -> Json | None:
        name = manifest["metadata"]["name"]
        return None if name in self.objects else self._commit(name, copy.deepcopy(manifest))

    async def patch(self, ref: Ref, patch: Json) -> Json | None:
        found = copy.deepcopy(self.objects.get(ref.name))
        if found is None:
            return None
        if found["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "somebody was faster")
        found["data"] |= patch["data"]
        return self._commit(ref.name, found)

    def _commit(self, name: str, obj: Json) -> Json:
        trouble, self.trouble = self.trouble, ""
        self.writes.append(name)
        if trouble == "refused":
            raise ApiError(403, "Forbidden", "no")
        obj["metadata"]["resourceVersion"] = str(len(self.writes))
        self.objects[name] = obj
        if trouble == "lost":
            raise ApiUnavailable("no answer")
        return copy.deepcopy(obj)

    def pages(self) -> dict[str, dict[Key, tuple[Segment, ...]]]:
        return {
            name: {cast("Key", tuple(key.split("."))): read(entry) for key, entry in obj["data"].items()}
            for name, obj in sorted(self.objects.items())
        }

    def segments(self, key: Key = DEMO) -> Segments:
        return [*{each.since: each for page in self.pages().values() for each in page.get(key, ())}.values()]


class World:
    """What there is, whoever looks at it."""

    def __init__(self) -> None:
        self.server, self.now = Server(), START
        self.wanted: dict[Key, Charge] = {}
        self._told: Mapping[Key, Charge] = {}
        self.tasks = TaskPods(lambda: self.now)
        self.start()

    def start(self) -> None:
        """An operator that knows nothing."""
        self.usage = Usage([], 60)
        fleet = cast("Any", self)
        self.recorder = Recorder(
            cast("Any", self.server), fleet, self.tasks, self.usage, namespace="system", clock=lambda: self.now
        )

    def look(self) -> Mapping[Key, Charge]:
        """The very same as long as nothing has changed, as a Fleet says it."""
        if self._told != self.wanted:
            self._told = dict(self.wanted)
        return self._told

    def fitted(self, charge: Charge, _: Terms | None) -> Terms:
        return charge.terms

    def want(self, cpu: str = "1", *, key: Key = DEMO, tenant: str = "a", uid: str = "1") -> None:
        terms = Terms.model_validate(
            {"uid": uid, "cpu": cpu, "memory": 0, "storage": 0, "class_name": "c", "stage": "dev"}
        )
        self.wanted[key] = Charge(tenant, terms)

    async def turn(self, **time: float) -> None:
        """Time passes, somebody looks, and what is due is written."""
        self.now += timedelta(**time)
        await self.recorder._turn()
        for book in self.recorder._books.values():
            book.at = 0
        await self.recorder._write()

    async def settle(self) -> None:
        for _ in range(3):
            await self.turn(seconds=1)


async def ran_for_five_minutes(world: World) -> None:
    """A task did, on two cores, and its pod is gone; nothing of it is written yet."""
    world.want()
    await world.turn()
    metadata = {"namespace": "team-a", "name": "task", "uid": "t", "labels": {"airfield.dev/environment": "demo"}}
    containers = [{"resources": {"requests": {"cpu": "2"}}}]
    pod = {"metadata": metadata, "spec": {"containers": containers}, "status": {"startTime": world.now.isoformat()}}
    world.tasks.seen(pod)
    await world.turn(minutes=5)
    world.tasks.gone(pod)


@pytest.fixture
def world() -> World:
    return World()


async def test_changes_are_gathered(world: World) -> None:
    """A hundred that come within seconds are one write; each is recorded as of when it was seen."""
    await world.recorder._turn()
    for number in range(100):
        world.want(key=("team-a", f"env-{number}"))
        world.now += timedelta(seconds=1)
        await world.recorder._turn()
    assert world.server.writes == []
    await world.turn(seconds=1)
    assert world.server.writes == ["airfield-costs.a.2026-11.1"]
    assert len({each[0].since for each in world.server.pages()["airfield-costs.a.2026-11.1"].values()}) == 100
    await world.turn(seconds=10)
    assert len(world.server.writes) == 1


async def test_nothing_is_written_for_nothing(world: World) -> None:
    world.want()
    await world.turn()
    for days in range(70):
        await world.turn(days=days)
    world.start()
    await world.turn()
    assert len(world.server.writes) == 1


@pytest.mark.parametrize("trouble", ["lost", "refused"])
async def test_a_write_that_fails(world: World, trouble: str) -> None:
    world.want()
    await world.turn()
    world.want("2")
    world.server.trouble = trouble
    await world.turn(hours=2)
    changed = world.now
    await world.settle()
    first, second = world.server.segments()
    assert (first.until, second.since) == (changed, changed)


async def test_a_tenant_of_which_nothing_is_left(world: World) -> None:
    """What lasts in the ledger, and is not there any more, ends: for ever would be too long."""
    world.want()
    await world.turn()
    world.wanted.clear()
    world.start()
    await world.turn(seconds=7)
    (segment,) = world.server.segments()
    assert segment.until == world.now


async def test_another_tenants_now(world: World) -> None:
    world.now = MONTHS_END
    world.want()
    await world.turn()
    world.want(tenant="b")
    await world.turn(hours=3)
    closed, opened = world.server.segments()
    assert closed.until == opened.since == world.now
    pages = ["airfield-costs.a.2026-11.1", "airfield-costs.a.2026-12.1", "airfield-costs.b.2026-12.1"]
    assert sorted(world.server.objects) == pages


async def test_two_that_believe_to_lead(world: World) -> None:
    """Whoever is late reads anew, and nothing is written twice."""
    world.want()
    await world.turn()
    late = world.recorder
    world.start()
    world.want("2")
    await world.turn(seconds=5)
    world.recorder = late
    await world.settle()
    assert [each.terms.cpu for each in world.server.segments()] == [1, 2]


async def test_what_was_used_is_written_every_hour(world: World) -> None:
    world.want()
    await world.turn()
    for _ in range(100):
        world.usage.pending[DEMO] = world.usage.pending.get(DEMO, Spent()) + Spent(cpu=Decimal(60))
        await world.turn(minutes=1)
    assert len(world.server.writes) <= 3
    assert sum(each.used.cpu for page in world.server.pages().values() for each in page[DEMO]) == 6000


async def test_who_begins_to_lead_writes_at_the_next_full_hour(world: World) -> None:
    """What tasks requested is not lost by that, and a restart writes nothing."""
    await ran_for_five_minutes(world)
    for _ in range(3):
        world.start()
        await world.turn(minutes=10)
    assert len(world.server.writes) == 1
    await world.turn(minutes=30)
    assert len(world.server.writes) == 2
    assert world.server.segments()[0].tasks.cpu == 2 * 300


async def test_nothing_is_lost_when_nobody_leads_at_a_full_hour(world: World) -> None:
    await ran_for_five_minutes(world)
    world.start()
    await world.turn(minutes=40)
    for _ in range(59):
        await world.turn(minutes=1)
        world.tasks.retain("", ())
    assert world.server.segments()[0].tasks.cpu == 2 * 300


async def test_what_was_used_before_a_month_began_is_of_the_last_one(world: World) -> None:
    """Also when nothing is written but that, and then of the new one."""
    world.now = MONTHS_END
    world.want()
    await world.turn()
    for used in (5, 7, 11):
        await world.turn(minutes=59, seconds=59)
        world.usage.pending[DEMO] = Spent(cpu=Decimal(used))
        await world.turn(seconds=1)
    pages = world.server.pages()
    assert [sum(each.used.cpu for each in page[DEMO]) for page in pages.values()] == [5, 18]


async def test_the_last_writes(world: World) -> None:
    """Told to end, it writes what it has seen, without waiting for its time."""
    world.want()
    await world.recorder._turn()
    running = asyncio.create_task(world.recorder.run())
    await asyncio.sleep(0)
    world.usage.pending[DEMO] = Spent(cpu=Decimal(5))
    assert world.server.writes == []
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.server.segments()[0].used.cpu == 5


async def test_what_environments_used_that_are_gone_is_nobodys(world: World) -> None:
    world.want()
    await world.turn()
    world.usage.pending["team-a", "gone"] = Spent(cpu=Decimal(5))
    await world.turn(hours=1)
    assert world.usage.pending == {}


STEP = st.tuples(
    st.sampled_from(["want", "unwant", "again", "wait", "crash", "lost", "refused", "edit"]),
    st.sampled_from("123"),
    st.integers(1, 3 * 86400),
)


@given(st.lists(STEP, max_size=25))
def test_whatever_happens(steps: list[tuple[str, str, int]]) -> None:
    """No overlap, nothing negative, what has an end stays as it is, and in the end what lasts is what there is."""
    asyncio.run(_whatever_happens(steps))


async def _whatever_happens(steps: list[tuple[str, str, int]]) -> None:
    world = World()
    ended: dict[tuple[Key, datetime], Segment] = {}
    for number, (what, cpu, seconds) in enumerate(steps):
        match what:
            case "want":
                world.want(cpu)
            case "unwant":
                world.wanted.pop(DEMO, None)
            case "again":
                world.want(cpu, uid=str(number))
            case "crash":
                world.start()
            case "lost" | "refused":
                world.server.trouble = what
            case "edit":
                for obj in world.server.objects.values():
                    obj["metadata"]["resourceVersion"] += "0"
        await world.turn(seconds=seconds)
        found = world.server.segments()
        for before, after in pairwise(found):
            assert before.until is not None
            assert before.since < before.until <= after.since
        now = {(DEMO, each.since): each for each in found}
        assert ended.items() <= now.items()
        ended = {name: each for name, each in now.items() if each.until}
    world.server.trouble = ""
    await world.settle()
    lasting = [each.terms for each in world.server.segments() if each.until is None]
    assert lasting == [charge.terms for charge in world.wanted.values()]


def test_a_page_sorts_by_month_and_number() -> None:
    assert Page("a", "2026-09", 10, {}).name > Page("a", "2026-09", 9, {}).name
