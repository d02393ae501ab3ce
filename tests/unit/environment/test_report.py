"""What a pass tells: once, and again as soon as anything is different."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airfield.api.conditions import ConditionType
from airfield.api.environment import AirflowEnvironmentStatus, KeyStatus, Stage
from airfield.environment.certificate import Verdict
from airfield.environment.ensure.run import Doors, Run
from airfield.environment.history import Wanted
from airfield.environment.outcome import Done, Outcome, Wait
from airfield.environment.quota import Ask, grant_of
from airfield.environment.reasons import Reason
from airfield.environment.report import Pass, report
from airfield.environment.status import PHASES, conditions
from airfield.kube.kinds import Ref
from builders import effective, environment

Json = dict[str, Any]
WELL: dict[ConditionType, Outcome] = dict.fromkeys(PHASES, Done())


class World:
    """An API server that keeps one status, and how often what would be told was worked out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.body: Json = {"metadata": {"resourceVersion": "0"}}
        self.writes = self.looks = self.versions = 0
        self.gone = False
        settings = SimpleNamespace(airflow_url="http://{name}", changes_recorded=True)
        doors = {"kube": self, "tell": lambda *_, **__: None, "settings": settings}
        self.doors = cast("Doors", SimpleNamespace(**doors, clock=lambda: datetime(2026, 11, 29, tzinfo=UTC)))
        self.run = Run(self.doors, environment(), effective(), Wanted(1), AirflowEnvironmentStatus())

        def counting(*arguments: Any, **options: Any) -> Any:
            self.looks += 1
            return conditions(*arguments, **options)

        monkeypatch.setattr("airfield.environment.report.conditions", counting)

    async def apply_status(self, _: Ref, document: Json, *, uid: str) -> Json | None:
        del uid
        self.writes += 1
        if self.gone:
            return None
        self.see(document)
        return self.body

    def see(self, status: Json) -> None:
        """There is another status."""
        self.versions += 1
        self.body = {"metadata": {"resourceVersion": str(self.versions)}, "status": status}

    async def create(self, _: Json) -> None:
        pass

    async def tell(self, outcomes: dict[ConditionType, Outcome] = WELL, **changes: Any) -> None:
        status = AirflowEnvironmentStatus.model_validate(self.body.get("status") or {})
        wanted = environment().model_copy(update={"status": status})
        self.run.environment, self.run.previous = wanted, status
        nothing_beside = {ConditionType.CERTIFICATE_VALID: None}
        came_to = Pass(wanted, self.body, dict(outcomes), self.run, beside=nothing_beside)
        await report(self.doors, replace(came_to, **changes))


async def test_what_was_told_is_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.tell()
    await world.tell()
    assert (world.writes, world.looks) == (1, 2)
    for _ in range(3):
        await world.tell()
    assert (world.writes, world.looks) == (1, 2)


GRANTED = grant_of(Ask(Stage.DEV, Decimal(1), Decimal(2), Decimal(3)))
EXPIRES = {ConditionType.CERTIFICATE_VALID: Verdict(False, Reason.CERTIFICATE_EXPIRING, "it expires tomorrow")}
SILENT = WELL | {ConditionType.HEALTHY: Wait(Reason.UNHEALTHY, "the scheduler is silent")}
KEY = KeyStatus(name="admin", secret="demo-admin", fingerprint="0123456789abcdef")


@pytest.mark.parametrize(
    ("outcomes", "changes"),
    [
        (SILENT, {}),
        (WELL, {"paused": True}),
        (WELL, {"deleting": True}),
        (WELL, {"beside": EXPIRES}),
        (WELL, {"granted": GRANTED}),
    ],
)
async def test_whatever_is_different_is_told(
    monkeypatch: pytest.MonkeyPatch, outcomes: dict[ConditionType, Outcome], changes: Json
) -> None:
    world = World(monkeypatch)
    for _ in range(3):
        await world.tell()
    await world.tell(outcomes, **changes)
    assert world.writes == 2
    for _ in range(3):
        await world.tell()
    assert world.writes == 3


async def test_what_is_found_or_written_by_others_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    for _ in range(3):
        await world.tell()
    world.run.keys = {"admin": KEY}
    for _ in range(3):
        await world.tell()
    assert world.writes == 2
    world.see({**world.body["status"], "version": "9.9.9"})
    await world.tell()
    assert world.writes == 3
    assert world.body["status"]["version"] == world.run.effective.version


async def test_what_could_not_be_told_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    for _ in range(3):
        await world.tell()
    world.gone = True
    await world.tell(SILENT)
    looks = world.looks
    await world.tell()
    assert world.looks == looks + 1
