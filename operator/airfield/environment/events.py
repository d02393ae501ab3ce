"""Events: one each time the Ready condition of an environment tells something new. Pure."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airfield.api import meta
from airfield.api.conditions import Condition, ConditionType
from airfield.api.objectmeta import ObjectMeta

NOTE_LIMIT = 1024
"""What events.k8s.io allows."""


def ready_event(
    metadata: ObjectMeta, before: Sequence[Condition], after: Sequence[Condition], now: datetime
) -> dict[str, Any] | None:
    """The Event for a change of Ready's status or reason; None when neither changed."""
    old, new = _ready(before), _ready(after)
    if new is None or (old is not None and (old.status, old.reason) == (new.status, new.reason)):
        return None
    stalled = any(condition.type == ConditionType.STALLED for condition in after)
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    news = hashlib.sha256(f"{metadata.uid}{new.status}{new.reason}{time}".encode()).hexdigest()[:16]
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
        "reason": new.reason,
        "action": "Reconcile",
        "note": new.message if len(new.message) <= NOTE_LIMIT else f"{new.message[: NOTE_LIMIT - 1]}…",
        "eventTime": time,
        "reportingController": "airfield.dev/operator",
        "reportingInstance": "airfield",
    }


def _ready(conditions: Sequence[Condition]) -> Condition | None:
    return next((condition for condition in conditions if condition.type == ConditionType.READY), None)
