"""What a pass goes by when something happens while it waits."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airfield.api import meta
from airfield.api.conditions import Condition, ConditionType
from airfield.api.environment import AirflowEnvironment, AirflowEnvironmentStatus
from airfield.environment import controller as module
from airfield.environment.controller import Controller
from airfield.environment.ensure.deleted import Farewell
from airfield.environment.outcome import Done, Outcome, Wait
from airfield.environment.reasons import Reason
from airfield.kube.errors import ApiError
from airfield.kube.inventory import Inventory
from airfield.kube.kinds import Ref
from airfield.kube.resources import Resources
from airfield.kube.secrets import SecretVersions
from builders import environment

KEY = ("team-a", "demo")
Body = dict[str, Any]


def body(version: int, **metadata: Any) -> Body:
    """As the API server tells of it: with each version somebody has changed what is wanted."""
    found = environment().model_dump(mode="json", by_alias=True, exclude_none=True)
    of_server = {"uid": "uid", "resourceVersion": str(version), "generation": version, **metadata}
    return {**found, "metadata": {**found["metadata"], **of_server}}


class World:
    """The controller, and an API server whose answers are late: what is in `news` is known before them."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.resources = Resources()
        self.news: list[Body] = []
        self.ends = self.strips = False
        doors: Any = SimpleNamespace(
            resources=self.resources,
            inventory=Inventory(),
            secrets=SecretVersions(),
            kube=self,
            clock=lambda: self.now,
            tell=lambda *_, **__: None,
        )
        self.controller = Controller(doors)

    async def set_finalizers(self, ref: Ref, uid: str, version: str, finalizers: list[str]) -> Body:
        assert (ref.name, uid) == ("demo", "uid")
        for told in self.news:
            self.resources.observe(self.resources.environments, KEY, told)
        if self.ends:
            self.resources.forget(self.resources.environments, KEY, uid)
        return body(int(version) + 1, generation=int(version), finalizers=[] if self.strips else finalizers)


async def test_what_is_changed_while_the_finalizer_is_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the change would be taken for what was done already."""
    world, seen = World(), []

    async def ensure(_: Controller, environment: AirflowEnvironment, found: Body) -> float:
        seen.append((environment.metadata.generation, found["metadata"]["generation"]))
        return 60.0

    monkeypatch.setattr(Controller, "_ensure", ensure)
    world.resources.observe(world.resources.environments, KEY, body(1))
    world.news = [body(3, finalizers=[meta.FINALIZER])]
    assert await world.controller.reconcile(KEY) == 60.0
    assert seen == [(3, 3)]


async def test_a_deletion_lasts_as_long_as_somebody_works_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody waited for, since there was no operator, is not given up at the first look."""
    world, lasted = World(), []

    async def ensure_deleted(farewell: Farewell) -> Wait:
        lasted.append(farewell.lasted)
        return Wait(Reason.DELETING, "the database does not answer", after=10)

    async def report(*_: object) -> None:
        pass

    monkeypatch.setattr(module, "ensure_deleted", ensure_deleted)
    monkeypatch.setattr(module, "report", report)
    going = {"finalizers": [meta.FINALIZER], "deletionTimestamp": "2025-12-31T00:00:00Z"}
    for uid, minutes in (("uid", 0), ("uid", 9), ("uid", 2), ("of-the-next-one", 5), ("of-the-next-one", 1)):
        world.now += timedelta(minutes=minutes)
        world.resources.environments[KEY] = body(1, **{**going, "uid": uid})
        await world.controller.reconcile(KEY)
    assert lasted == [timedelta(minutes=minutes) for minutes in (0, 9, 11, 0, 1)]


async def test_an_end_that_is_told_before_the_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made for an environment that is gone."""
    world = World()
    monkeypatch.setattr(Controller, "_ensure", None)
    world.resources.observe(world.resources.environments, KEY, body(1))
    world.ends = True
    assert await world.controller.reconcile(KEY) is None
    assert not world.resources.environments


async def test_a_finalizer_that_somebody_takes_off_at_once_is_not_set_all_the_time() -> None:
    world = World()
    world.strips = True
    world.resources.observe(world.resources.environments, KEY, body(1))
    with pytest.raises(ApiError, match="does not let the finalizers be"):
        await world.controller.reconcile(KEY)


def test_what_is_not_answered_is_told_when_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer that is usable begins it anew; and what could not be written is not believed once more."""
    silence, answer = Wait(Reason.UNREACHABLE, "no answer", 1), Done()
    now, controller = 1000.0, World().controller
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    ready = Condition(type="Ready", status="True", reason="x", message="", last_transition_time="2026-01-01T00:00:00Z")
    previous = AirflowEnvironmentStatus(conditions=[ready.model_copy(update={"observed_generation": 1})], applied="a")
    resource = AirflowEnvironment.model_validate(body(1))
    run: Any = SimpleNamespace(key=KEY, previous=previous, environment=resource, applied="a")
    for seconds, outcome, said in (
        (0.0, silence, Done(again=3.0)),
        (1.0, silence, Done(again=2.0)),
        (1.0, answer, answer),
        (9.0, silence, Done(again=3.0)),
        (3.0, silence, silence),
        (0.5, silence, silence),
    ):
        now += seconds
        outcomes: dict[ConditionType, Outcome] = {ConditionType.HEALTHY: outcome}
        controller._look_twice(run, outcomes)
        assert outcomes == {ConditionType.HEALTHY: said}
