"""The status of a tenant."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from airfield.api.environment import Stage
from airfield.api.tenant import AirflowTenant, AirflowTenantStatus
from airfield.environment.checks import Problem
from airfield.environment.quota import Ask
from airfield.environment.reasons import Reason
from airfield.tenant.status import in_use, tenant_status
from builders import tenant

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLASH = Problem(Reason.NAMESPACE_CONFLICT, "spec.namespaces: 'a' belongs to tenant 'other'")
RESERVED = Problem(Reason.NAMESPACE_RESERVED, "spec.namespaces: 'b' is the operator's")


def seen(previous: AirflowTenantStatus | None = None, generation: int = 3) -> AirflowTenant:
    found = tenant()
    metadata = found.metadata.model_copy(update={"generation": generation})
    return found.model_copy(update={"metadata": metadata, "status": previous})


def many(number: int) -> dict[tuple[str, str], str]:
    return {("team-a", f"e{each:03}"): "prod" if each % 5 == 4 else "dev" for each in range(number)}


@pytest.mark.parametrize(
    ("problems", "status", "reason", "message"),
    [
        ((), "True", "Succeeded", ""),
        (
            (CLASH, RESERVED),
            "False",
            "NamespaceConflict",
            "spec.namespaces: 'a' belongs to tenant 'other'; spec.namespaces: 'b' is the operator's",
        ),
    ],
)
def test_ready(problems: Sequence[Problem], status: str, reason: str, message: str) -> None:
    found = tenant_status(seen(), problems, many(7), many(6), [], "abc", NOW)
    ready, *stalled = found.conditions
    assert [(c.type, c.status, c.reason, c.message) for c in stalled] == (
        [("Stalled", "True", reason, message)] if problems else []
    )
    assert (ready.type, ready.status, ready.reason, ready.observed_generation) == ("Ready", status, reason, 3)
    assert ready.message == message
    assert (found.observed_generation, found.environments, found.applied) == (3, 7, "abc")
    assert found.in_use_by == tuple(f"team-a/e00{number}" for number in range(6))


def test_the_same_gives_the_same_and_times_move_with_the_status() -> None:
    first = tenant_status(seen(), (), many(1), many(1), [], None, NOW)
    later = NOW + timedelta(hours=1)
    assert tenant_status(seen(first), (), many(1), many(1), [], None, later) == first
    clash = tenant_status(seen(first), (CLASH,), many(1), many(1), [], None, later)
    assert clash.conditions[0].last_transition_time == "2026-01-01T01:00:00Z"


def test_what_is_too_long_is_cut() -> None:
    problems = [Problem(Reason.NAMESPACE_CONFLICT, f"namespace-{number} " * 20) for number in range(64)]
    found = tenant_status(seen(), problems, many(1000), many(1000), [], None, NOW)
    assert {len(condition.message) for condition in found.conditions} == {4096}
    assert (found.environments, len(found.in_use_by)) == (1000, 20)


@pytest.mark.parametrize(
    ("number", "leaving", "reason", "message"),
    [
        (2, False, "TenantInUse", "it still has environments: team-a/e000, team-a/e001; delete them, or set"),
        (23, False, "TenantInUse", "team-a/e019 and 3 more; delete them"),
        (1, True, "Deleting", "its environments are deleted first: team-a/e000"),
    ],
)
def test_why_it_is_still_there(number: int, leaving: bool, reason: str, message: str) -> None:
    found = in_use(many(number), leaving=leaving)
    assert found.reason == reason
    assert message in found.message


def test_a_summary_of_stages_and_quota() -> None:
    limited = tenant("team", ("team-a",), quota={"environments": 3, "cpu": "2", "storage": "1Ti"})
    have = Ask(Stage.DEV, Decimal("1.35"), Decimal(0), Decimal(10 * 1024**3))
    found = tenant_status(limited, (), many(7), many(7), [have, have], None, NOW)
    assert (found.stages, found.quota_used) == ("dev 6, prod 1", "environments 2/3, cpu 2700m/2, storage 20Gi/1Ti")
    assert [(use.name, use.used, use.limit) for use in found.quota][1] == ("cpu", "2700m", "2")
    nothing = tenant_status(tenant(), (), {}, (), [], None, NOW)
    assert (nothing.stages, nothing.quota_used, nothing.quota) == (None, None, ())
