"""Classes and tenants that this operator cannot read, in part or at all. Pure.

They were made under other CRDs, or have a value that no schema can exclude, such as a key of a map.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from airfield.api.base import Model
from airfield.api.conditions import Condition, verdict
from airfield.environment.reasons import Reason
from airfield.environment.resolve import validation_messages

T = TypeVar("T", bound=Model)

_CONDITIONS = TypeAdapter(tuple[Condition, ...])


def read(model: type[T], body: Mapping[str, Any]) -> T:
    """The resource; without its status if only that cannot be read, as after a later operator: it is written anew.

    Raises:
        ValidationError: when its specification cannot be read.
    """
    try:
        return model.model_validate(body)
    except ValidationError:
        return model.model_validate({**body, "status": None})


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
