"""The status of a class or a tenant that this operator cannot read. Pure.

It was made under other CRDs, or has a value that no schema can exclude, such as a key of a map.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from airfield.api.conditions import Condition, verdict
from airfield.environment.reasons import Reason
from airfield.environment.resolve import validation_messages

_CONDITIONS = TypeAdapter(tuple[Condition, ...])


def unreadable_status(body: Mapping[str, Any], error: ValidationError, now: datetime) -> dict[str, Any]:
    """The status as it is in the cluster, but for what it says of the latest generation: that it cannot be read."""
    status, generation = body.get("status") or {}, body["metadata"]["generation"]
    try:
        old = _CONDITIONS.validate_python(status.get("conditions") or ())
    except ValidationError:
        old = ()
    conditions = verdict(
        old,
        well=False,
        reason=Reason.INVALID_SPEC,
        message="; ".join(validation_messages(error)),
        generation=generation,
        now=now,
    )
    found = [condition.model_dump(mode="json", by_alias=True) for condition in conditions]
    return {**status, "observedGeneration": generation, "conditions": found}
