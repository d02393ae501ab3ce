"""The end of an environment when the API server refuses what it takes: it is waited for, but not for ever."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airfield.environment.ensure.deleted import Farewell, ensure_deleted
from airfield.environment.outcome import Done, Wait
from airfield.kube.errors import ApiError
from airfield.kube.inventory import Inventory
from airfield.kube.kinds import Kind
from builders import environment

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Refusing:
    """An API server that lists nothing."""

    def __init__(self, status: int) -> None:
        self._status = status

    async def list(self, kind: Kind, namespace: str, selector: str) -> list[Any]:
        raise ApiError(self._status, "Forbidden", f"list {kind.plural} in {namespace}: no ({selector})")


def farewell(status: int, minutes: float) -> Farewell:
    doors: Any = SimpleNamespace(kube=Refusing(status), inventory=Inventory(), clock=lambda: NOW)
    found = environment()
    metadata = found.metadata.model_copy(update={"deletion_timestamp": NOW - timedelta(minutes=minutes)})
    return Farewell(doors, found.model_copy(update={"metadata": metadata}), None)


async def test_a_refusal_is_told_and_waited_for() -> None:
    outcome = await ensure_deleted(farewell(403, 1))
    assert isinstance(outcome, Wait)
    assert outcome.message.startswith("the API server refuses: list secrets in team-a")


async def test_in_the_end_it_is_left_behind() -> None:
    assert isinstance(await ensure_deleted(farewell(403, 11)), Done)


async def test_what_passes_by_itself_is_tried_again() -> None:
    with pytest.raises(ApiError):
        await ensure_deleted(farewell(503, 11))
