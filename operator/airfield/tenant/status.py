"""The status of a tenant. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from airfield.api.conditions import verdict
from airfield.api.environment import Stage
from airfield.api.tenant import AirflowTenant, AirflowTenantStatus, QuotaUse
from airfield.environment.checks import Problem
from airfield.environment.quota import Ask, limits, shown, used
from airfield.environment.reasons import Reason

NAMED: Final = 20
"""So many environments are named in a status."""


def tenant_status(
    tenant: AirflowTenant,
    problems: Sequence[Problem],
    environments: Mapping[tuple[str, str], str],
    staying: Collection[tuple[str, str]],
    granted: Iterable[Ask],
    applied: str | None,
    now: datetime,
) -> AirflowTenantStatus:
    """`environments`: the stage of each that it has; `staying`: those that are not being deleted.

    `granted`: what they have of the quota. `applied`: digest of what was applied for the tenant.
    """
    generation, uses = tenant.metadata.generation, tuple(_use(tenant, granted))
    return AirflowTenantStatus(
        observed_generation=generation,
        conditions=verdict(
            tenant.status.conditions if tenant.status else (),
            well=not problems,
            reason=problems[0].reason if problems else Reason.SUCCEEDED,
            message="; ".join(problem.message for problem in problems),
            generation=generation,
            now=now,
        ),
        environments=len(environments),
        stages=_by_stage(environments.values()),
        quota=uses,
        quota_used=", ".join(f"{use.name} {use.used}/{use.limit}" for use in uses) or None,
        applied=applied,
        in_use_by=named(staying),
    )


def _by_stage(stages: Collection[str]) -> str | None:
    """In the order of the stages; None when there are none."""
    counts = Counter(stages)
    return ", ".join(f"{stage.value} {counts[stage.value]}" for stage in Stage if counts[stage.value]) or None


def _use(tenant: AirflowTenant, granted: Iterable[Ask]) -> Iterator[QuotaUse]:
    have = used(granted)
    for name, limit in (limits(tenant.spec.quota) if tenant.spec.quota else {}).items():
        yield QuotaUse(name=name, used=shown(name, have.get(name, Decimal(0))), limit=shown(name, limit))


def named(environments: Collection[tuple[str, str]]) -> tuple[str, ...]:
    """The first of the environments, as namespace/name."""
    return tuple("/".join(key) for key in sorted(environments)[:NAMED])


def in_use(environments: Collection[tuple[str, str]], *, leaving: bool) -> Problem:
    """Why a tenant that is to be deleted is still there; `leaving`: its environments are being deleted."""
    more = len(environments) - NAMED
    which = ", ".join(named(environments)) + (f" and {more} more" if more > 0 else "")
    if leaving:
        return Problem(Reason.DELETING, f"its environments are deleted first: {which}")
    return Problem(
        Reason.TENANT_IN_USE,
        f"it still has environments: {which}; delete them, or set spec.deletionPolicy to Orphan (they run on,"
        " unchanged) or Delete",
    )
