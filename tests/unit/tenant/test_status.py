"""The status of a tenant."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from airfield.api.tenant import AirflowTenant, AirflowTenantStatus
from airfield.tenant.status import tenant_status
from builders import tenant

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def seen(previous: AirflowTenantStatus | None = None, generation: int = 3) -> AirflowTenant:
    found = tenant()
    metadata = found.metadata.model_copy(update={"generation": generation})
    return found.model_copy(update={"metadata": metadata, "status": previous})


@pytest.mark.parametrize(
    ("contested", "status", "reason", "words"),
    [
        ({}, "True", "Succeeded", ()),
        (
            {"b": ["other"], "a": ["one", "two"]},
            "False",
            "NamespaceConflict",
            ("a (also claimed by one, two); b (also claimed by other)", "remove them from all tenants but one"),
        ),
    ],
)
def test_ready(contested: Mapping[str, Sequence[str]], status: str, reason: str, words: Sequence[str]) -> None:
    found = tenant_status(seen(), contested, 7, NOW)
    ready, *stalled = found.conditions
    assert [(c.type, c.status, c.reason, c.message) for c in stalled] == (
        [("Stalled", "True", reason, ready.message)] if contested else []
    )
    assert (ready.type, ready.status, ready.reason, ready.observed_generation) == ("Ready", status, reason, 3)
    assert (found.observed_generation, found.environments) == (3, 7)
    for word in words:
        assert word in ready.message


def test_the_same_gives_the_same_and_times_move_with_the_status() -> None:
    first = tenant_status(seen(), {}, 1, NOW)
    later = NOW + timedelta(hours=1)
    assert tenant_status(seen(first), {}, 1, later) == first
    clash = tenant_status(seen(first), {"a": ["other"]}, 1, later)
    assert clash.conditions[0].last_transition_time == "2026-01-01T01:00:00Z"


def test_a_message_that_is_too_long_is_cut() -> None:
    contested = {f"namespace-{number}": [f"tenant-{other}" for other in range(20)] for number in range(64)}
    for condition in tenant_status(seen(), contested, 0, NOW).conditions:
        assert len(condition.message) == 4096
