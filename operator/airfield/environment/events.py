"""Events: one each time that Ready, the newest revision or the certificate tells something new. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from airfield.api import meta
from airfield.api.conditions import Condition, ConditionType, condition_of, ready_of
from airfield.api.environment import AirflowEnvironmentStatus
from airfield.api.history import History, Revision, RevisionOutcome
from airfield.api.objectmeta import ObjectMeta
from airfield.environment.reasons import Reason

NOTE_LIMIT: Final = 1024
"""What events.k8s.io allows."""
VERBS: Final = {
    RevisionOutcome.IN_PROGRESS: "is begun",
    RevisionOutcome.STALLED: "is stalled",
    RevisionOutcome.REFUSED: "is refused",
    RevisionOutcome.SUCCEEDED: "has succeeded",
}


@dataclass(frozen=True, slots=True)
class _News:
    """What an Event says."""

    warning: bool
    reason: str
    note: str


def events(
    metadata: ObjectMeta, before: AirflowEnvironmentStatus, after: AirflowEnvironmentStatus, now: datetime
) -> list[dict[str, Any]]:
    """The Events for a change of a status: of Ready and the newest revision together, and of the certificate.

    None for what says nothing new, where a revision has just begun and Ready says nothing new, since it will, and for a
    certificate that is valid from the first.
    """
    found = (_of_the_whole(before, after), _of_the_certificate(before, after))
    return [_event(metadata, news, now) for news in found if news is not None]


def _of_the_whole(before: AirflowEnvironmentStatus, after: AirflowEnvironmentStatus) -> _News | None:
    old, new = ready_of(before.conditions), ready_of(after.conditions)
    revision = _newest(before.history, after.history)
    if new is None:
        return None
    if _differ(old, new):
        reason, note = new.reason, new.message
    elif revision is not None and before.history and revision.outcome is not RevisionOutcome.IN_PROGRESS:
        reason, note = f"Revision{revision.outcome.value}", revision.message or ""
    else:
        return None
    if revision is not None:
        note = "; ".join(filter(None, (f"{told(revision)} {VERBS[revision.outcome]}", note)))
    return _News(condition_of(after.conditions, ConditionType.STALLED) is not None, reason, note)


def _of_the_certificate(before: AirflowEnvironmentStatus, after: AirflowEnvironmentStatus) -> _News | None:
    kind = ConditionType.CERTIFICATE_VALID
    old, new = condition_of(before.conditions, kind), condition_of(after.conditions, kind)
    if new is None or not _differ(old, new):
        return None
    well = new.reason == Reason.SUCCEEDED
    return None if well and old is None else _News(not well, kind.value if well else new.reason, new.message)


def _differ(old: Condition | None, new: Condition) -> bool:
    return old is None or (old.status, old.reason) != (new.status, new.reason)


def _event(metadata: ObjectMeta, news: _News, now: datetime) -> dict[str, Any]:
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    name = hashlib.sha256(f"{metadata.uid}{news.warning}{news.reason}{time}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata.name}.{name}", "namespace": metadata.namespace},
        "regarding": {
            "apiVersion": meta.API_VERSION,
            "kind": "AirflowEnvironment",
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        },
        "type": "Warning" if news.warning else "Normal",
        "reason": news.reason,
        "action": "Reconcile",
        "note": news.note if len(news.note) <= NOTE_LIMIT else f"{news.note[: NOTE_LIMIT - 1]}…",
        "eventTime": time,
        "reportingController": "airfield.dev/operator",
        "reportingInstance": "airfield",
    }


def told(revision: Revision) -> str:
    """Which revision, what it comes from, and who wanted it."""
    origin = ", by ".join(filter(None, (revision.cause.value.lower(), revision.by)))
    return f"revision {revision.revision} ({origin})"


def _newest(before: History, after: History) -> Revision | None:
    """The newest revision, if it has just begun or come to another outcome."""
    old, new = before[:1], after[:1]
    same = [(each.revision, each.outcome) for each in old] == [(each.revision, each.outcome) for each in new]
    return None if same or not new else new[0]
