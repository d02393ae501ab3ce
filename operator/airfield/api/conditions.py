"""Conditions: how a status tells a person and a machine what is true (Kubernetes API conventions, kstatus)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from airfield.api.base import Generation, Message, Model, list_map


class ConditionType(StrEnum):
    """Every condition type that an Airfield resource can carry."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PAUSED = "Paused"
    RESOLVED = "Resolved"
    RENDERED = "Rendered"
    KEYS_READY = "KeysReady"
    DATABASE_READY = "DatabaseReady"
    APPLIED = "Applied"
    HEALTHY = "Healthy"
    CERTIFICATE_VALID = "CertificateValid"


TRANSIENT = frozenset({ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.PAUSED})
"""Types that exist only while they are True."""


class Condition(Model):
    """One `metav1.Condition`."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(description="CamelCase name.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    observed_generation: Generation = Field(
        default=-1, description="The generation of the resource that this condition speaks of."
    )
    last_transition_time: Annotated[str, StringConstraints(min_length=20, max_length=32)] = Field(
        description="When `status` last changed: RFC 3339, UTC, seconds.", json_schema_extra={"format": "date-time"}
    )
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="Why, in one CamelCase word."
    )
    message: Message = Field(description="What is so and, if something is wrong, what a person should do.")


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")]


def conditions_of(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions of a resource as it is in the cluster, by type; {} when nobody has looked at it yet."""
    return {condition["type"]: condition for condition in (body.get("status") or {}).get("conditions") or ()}


def condition_of(conditions: Sequence[Condition], kind: ConditionType) -> Condition | None:
    """The condition of a type, if there is one."""
    return next((condition for condition in conditions if condition.type == kind), None)


def ready_of(conditions: Sequence[Condition]) -> Condition | None:
    """The condition that is the sum of all others; None before anybody has looked."""
    return condition_of(conditions, ConditionType.READY)


def is_true(body: Mapping[str, Any], kind: ConditionType) -> bool:
    """Whether a resource as it is in the cluster has that condition, and it is True."""
    return conditions_of(body).get(kind, {}).get("status") == "True"


def timestamp(time: datetime) -> str:
    """As Kubernetes writes it: RFC 3339, UTC, seconds."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def verdict(
    old: Sequence[Condition], *, well: bool, reason: str, message: str, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Ready of a resource that knows no waiting: as long as it is not well, somebody must act, and Stalled says so."""
    ready = Condition(
        type=ConditionType.READY.value,
        status="True" if well else "False",
        observed_generation=generation,
        last_transition_time=timestamp(now),
        reason=reason,
        message=message[:4096],
    )
    stalled = ready.model_copy(update={"type": ConditionType.STALLED.value, "status": "True"})
    return carry_transitions(old, (ready,) if well else (ready, stalled))


def carry_transitions(old: Sequence[Condition], new: Sequence[Condition]) -> tuple[Condition, ...]:
    """`new`, sorted by type, keeping the old transition time of every condition whose status did not change."""
    before = {condition.type: condition for condition in old}

    def carried(condition: Condition) -> Condition:
        previous = before.get(condition.type)
        if previous is None or previous.status != condition.status:
            return condition
        return condition.model_copy(update={"last_transition_time": previous.last_transition_time})

    return tuple(sorted(map(carried, new), key=lambda condition: condition.type))
