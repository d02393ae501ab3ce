"""What a pass tells: once, and again as soon as anything is different."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airfield.api.conditions import ConditionType
from airfield.api.environment import AirflowEnvironmentStatus, KeyStatus
from airfield.environment.ensure.run import Doors, Run
from airfield.environment.history import Wanted
from airfield.environment.outcome import Done, Outcome, Wait
from airfield.environment.reasons import Reason
from airfield.environment.report import Pass, report
from airfield.environment.status import PHASES, conditions
from airfield.kube.kinds import Ref
from airfield.kube.resources import Resources
from builders import effective, environment

Json = dict[str, Any]
WELL: dict[ConditionType, Outcome] = dict.fromkeys(PHASES, Done())


class World:
    """An API server that keeps one status, and how often what would be told was worked out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.body: Json = {"metadata": {}}
        self.writes = self.looks = 0
        settings = SimpleNamespace(airflow_url="http://{name}", changes_recorded=True)
        doors = {"kube": self, "resources": Resources(), "settings": settings}
        self.doors = cast("Doors", SimpleNamespace(**doors, clock=lambda: datetime(2026, 11, 29, tzinfo=UTC)))
        self.run = Run(self.doors, environment(), effective(), Wanted(1), AirflowEnvironmentStatus())

        def counting(*arguments: Any, **options: Any) -> Any:
            self.looks += 1
            return conditions(*arguments, **options)

        monkeypatch.setattr("airfield.environment.report.conditions", counting)

    async def apply_status(self, _: Ref, document: Json, *, uid: str) -> Json:
        del uid
        self.writes += 1
        self.body = {"metadata": {}, "status": document}
        return self.body

    async def create(self, _: Json) -> None:
        pass

    async def tell(self, outcomes: dict[ConditionType, Outcome] = WELL, **changes: Any) -> None:
        status = AirflowEnvironmentStatus.model_validate(self.body.get("status") or {})
        wanted = environment().model_copy(update={"status": status})
        self.run.environment, self.run.previous = wanted, status
        await report(self.doors, replace(Pass(wanted, self.body, dict(outcomes), self.run), **changes))


async def test_what_was_told_is_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.tell()
    await world.tell()
    assert (world.writes, world.looks) == (1, 2)
    for _ in range(3):
        await world.tell()
    assert (world.writes, world.looks) == (1, 2)


async def test_whatever_is_different_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)

    async def rest() -> int:
        for _ in range(2):
            await world.tell()
        return world.writes

    before = await rest()
    await world.tell(WELL | {ConditionType.HEALTHY: Wait(Reason.UNHEALTHY, "the scheduler is silent")})
    assert world.writes == before + 1
    before = await rest()
    await world.tell(paused=True)
    assert world.writes == before + 1
    before = await rest()
    world.run.keys = {"admin": KeyStatus(name="admin", secret="demo-admin", fingerprint="0123456789abcdef")}
    await world.tell()
    assert world.writes == before + 1
    before = await rest()
    world.body = {"metadata": {}, "status": {**world.body["status"], "version": "9.9.9"}}
    await world.tell()
    assert world.writes == before + 1
    assert world.body["status"]["version"] == world.run.effective.version
