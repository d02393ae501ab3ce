"""What the metrics tell of an environment, read from its resource as it is. Pure; cheap enough for every scrape."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airfield.api.conditions import ConditionType, conditions_of, is_true
from airfield.environment.reasons import Reason
from airfield.runtime.metrics import EnvironmentState


def census(environments: Iterable[Mapping[str, Any]]) -> Iterator[EnvironmentState]:
    """The state of each environment. Nothing is assumed of a resource but that it has a name."""
    for body in environments:
        metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        conditions = conditions_of(body)
        ready = conditions.get(ConditionType.READY, {})
        yield EnvironmentState(
            namespace=metadata["namespace"],
            name=metadata["name"],
            tenant=status.get("tenant", ""),
            blueprint=spec.get("className", ""),
            version=status.get("version", ""),
            stage=spec.get("stage", ""),
            ready=ready.get("status", "Unknown"),
            reason=ready.get("reason", ""),
            stalled=is_true(body, ConditionType.STALLED),
            paused=is_true(body, ConditionType.PAUSED),
            certificate=_problem(conditions.get(ConditionType.CERTIFICATE_VALID)),
            expiry=_seconds((status.get("certificate") or {}).get("notAfter")),
            conditions=tuple(
                (kind.value, conditions[kind].get("status", "Unknown")) for kind in ConditionType if kind in conditions
            ),
        )


def _problem(condition: Mapping[str, Any] | None) -> str:
    """Why a certificate does not do, or not for long; "" when it does, or there is none to speak of."""
    reason = str((condition or {}).get("reason", ""))
    return "" if reason == Reason.SUCCEEDED else reason


def _seconds(moment: str | None) -> float | None:
    """RFC 3339 as seconds since 1970; None for anything else."""
    try:
        return datetime.fromisoformat(moment).timestamp() if moment else None
    except ValueError:
        return None
