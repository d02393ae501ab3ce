"""Events: one each time that Ready, or the newest revision of an environment, tells something new. Pure."""

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

from airfield.api import meta
from airfield.api.conditions import ConditionType, ready_of
from airfield.api.environment import AirflowEnvironmentStatus
from airfield.api.history import History, Revision, RevisionOutcome
from airfield.api.objectmeta import ObjectMeta

NOTE_LIMIT: Final = 1024
"""What events.k8s.io allows."""
VERBS: Final = {
    RevisionOutcome.IN_PROGRESS: "is begun",
    RevisionOutcome.STALLED: "is stalled",
    RevisionOutcome.REFUSED: "is refused",
    RevisionOutcome.SUCCEEDED: "has succeeded",
}


def event(
    metadata: ObjectMeta, before: AirflowEnvironmentStatus, after: AirflowEnvironmentStatus, now: datetime
) -> dict[str, Any] | None:
    """The Event for a change of a status: of Ready's status or reason, of the newest revision's outcome.

    None when neither has changed, and where a revision has just begun and Ready says nothing new: it will.
    """
    old, new = ready_of(before.conditions), ready_of(after.conditions)
    revision = _news(before.history, after.history)
    if new is None:
        return None
    if old is None or (old.status, old.reason) != (new.status, new.reason):
        reason, note = new.reason, new.message
    elif revision is not None and before.history and revision.outcome is not RevisionOutcome.IN_PROGRESS:
        reason, note = f"Revision{revision.outcome.value}", revision.message or ""
    else:
        return None
    if revision is not None:
        note = "; ".join(filter(None, (f"{told(revision)} {VERBS[revision.outcome]}", note)))
    stalled = any(condition.type == ConditionType.STALLED for condition in after.conditions)
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    news = hashlib.sha256(f"{metadata.uid}{new.status}{reason}{time}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata.name}.{news}", "namespace": metadata.namespace},
        "regarding": {
            "apiVersion": meta.API_VERSION,
            "kind": "AirflowEnvironment",
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        },
        "type": "Warning" if stalled else "Normal",
        "reason": reason,
        "action": "Reconcile",
        "note": note if len(note) <= NOTE_LIMIT else f"{note[: NOTE_LIMIT - 1]}…",
        "eventTime": time,
        "reportingController": "airfield.dev/operator",
        "reportingInstance": "airfield",
    }


def told(revision: Revision) -> str:
    """Which revision, what it comes from, and who wanted it."""
    origin = ", by ".join(filter(None, (revision.cause.value.lower(), revision.by)))
    return f"revision {revision.revision} ({origin})"


def _news(before: History, after: History) -> Revision | None:
    """The newest revision, if it has just begun or come to another outcome."""
    old, new = before[:1], after[:1]
    same = [(each.revision, each.outcome) for each in old] == [(each.revision, each.outcome) for each in new]
    return None if same or not new else new[0]
