"""The status of an environment, computed from what one reconcile came to. Pure."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from airfield.api.conditions import TRANSIENT, Condition, ConditionType, carry_transitions, ready_of, timestamp
from airfield.api.environment import AirflowEnvironmentStatus
from airfield.environment.certificate import Verdict
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason

PHASES: Final = (
    ConditionType.RESOLVED,
    ConditionType.KEYS_READY,
    ConditionType.RENDERED,
    ConditionType.DATABASE_READY,
    ConditionType.APPLIED,
    ConditionType.HEALTHY,
)
"""In the order in which a reconcile goes through them; each needs the ones before."""

Status = Literal["True", "False", "Unknown"]
MESSAGE_LIMIT: Final = 2048
ROUNDS: Final = 12
"""Into so many moments of an interval the looks at environments that are well are gathered."""


def conditions(
    previous: AirflowEnvironmentStatus,
    outcomes: Mapping[ConditionType, Outcome],
    *,
    generation: int,
    now: datetime,
    paused: bool = False,
    deleting: bool = False,
    beside: Mapping[ConditionType, Verdict | None] = MappingProxyType({}),
) -> tuple[Condition, ...]:
    """The conditions after a reconcile that got as far as `outcomes`; phases beyond that stay as they were.

    `beside`: what Ready does not depend on; None where there is nothing to say any more.
    """
    stamp = timestamp(now)

    def condition(kind: ConditionType, status: Status, reason: Reason, message: str) -> Condition:
        return Condition(
            type=kind.value,
            status=status,
            observed_generation=generation,
            last_transition_time=stamp,
            reason=reason.value,
            message=message if len(message) <= MESSAGE_LIMIT else f"{message[: MESSAGE_LIMIT - 1]}…",
        )

    kept = {c.type: c for c in previous.conditions if c.type not in {t.value for t in TRANSIENT}}
    for kind in PHASES:
        outcome = outcomes.get(kind)
        if isinstance(outcome, Done):
            kept[kind] = condition(kind, "True", Reason.SUCCEEDED, outcome.message)
        elif outcome is not None:
            kept[kind] = condition(kind, "False", outcome.reason, outcome.message)
        elif kind not in kept:
            kept[kind] = condition(kind, "Unknown", Reason.WAITING, "waits for the phases before it")
    for kind, verdict in beside.items():
        kept.pop(kind, None)
        if verdict is not None:
            kept[kind] = condition(kind, "True" if verdict.valid else "False", verdict.reason, verdict.message)
    blocked = next((outcomes[kind] for kind in PHASES if isinstance(outcomes.get(kind), Wait | Stall)), None)
    if deleting:
        message = blocked.message if isinstance(blocked, Wait | Stall) else "being deleted"
        kept[ConditionType.READY] = condition(ConditionType.READY, "False", Reason.DELETING, message)
        kept[ConditionType.RECONCILING] = condition(ConditionType.RECONCILING, "True", Reason.DELETING, message)
    elif isinstance(blocked, Wait | Stall):
        kind = ConditionType.STALLED if isinstance(blocked, Stall) else ConditionType.RECONCILING
        kept[ConditionType.READY] = condition(ConditionType.READY, "False", blocked.reason, blocked.message)
        kept[kind] = condition(kind, "True", blocked.reason, blocked.message)
    elif all(isinstance(outcomes.get(kind), Done) for kind in PHASES):
        kept[ConditionType.READY] = condition(ConditionType.READY, "True", Reason.SERVING, "all components are healthy")
    elif ConditionType.READY not in kept:
        kept[ConditionType.READY] = condition(ConditionType.READY, "Unknown", Reason.WAITING, "not looked at yet")
    if paused:
        kept[ConditionType.PAUSED] = condition(
            ConditionType.PAUSED,
            "True",
            Reason.PAUSED,
            "the annotation airfield.dev/paused stops every change; remove it to go on",
        )
    return carry_transitions(previous.conditions, tuple(kept.values()))


def is_calm(status: AirflowEnvironmentStatus) -> bool:
    """Whether the environment was well, or on its way there, when it was last looked at."""
    ready = ready_of(status.conditions)
    return ready is not None and (ready.status == "True" or ready.reason == Reason.STARTING)


def together(seconds: float, now: float) -> float:
    """Seconds until the next look, which comes every so many `seconds`, or a little sooner: when others have theirs.

    To wake up for a look costs as much as the look. So all are gathered at ROUNDS moments of the interval.
    """
    step = seconds / ROUNDS
    return (now + seconds) // step * step - now


def next_look(outcomes: Mapping[ConditionType, Outcome], *, when_ready: float) -> float:
    """Seconds until the environment is looked at again without anything having happened."""
    waits = [outcome.again if isinstance(outcome, Done) else outcome.after for outcome in outcomes.values()]
    return min((seconds for seconds in waits if seconds is not None), default=when_ready)
