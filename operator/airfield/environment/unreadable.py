"""Resources that this operator cannot read, in part or at all. Pure.

They were made under other CRDs, or have a value that no schema can exclude, such as a key of a map.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from airfield.api.base import Model
from airfield.api.conditions import Condition, verdict
from airfield.environment.reasons import Reason
from airfield.environment.resolve import validation_messages

T = TypeVar("T", bound=Model)

ROUNDS = 32
"""So many times something of a status is left out; what cannot be read then is left out as a whole."""
_CONDITIONS = TypeAdapter(tuple[Condition, ...])


def read(model: type[T], body: Mapping[str, Any]) -> T:
    """The resource; without what cannot be read of its status, as a later operator may have written it.

    The rest stays: what is known of keys and of the database guards them.

    Raises:
        ValidationError: when its specification cannot be read.
    """
    for _ in range(ROUNDS):
        try:
            return model.model_validate(body)
        except ValidationError as error:
            problems = [problem for problem in error.errors() if problem["loc"][0] == "status"]
            if not problems:
                raise
            status = body["status"]
            # Unknown fields all at once: each item of a list may have some. The rest by and by: items move.
            for problem in [each for each in problems if each["type"] == "extra_forbidden"] or problems[:1]:
                status = _without(status, problem["loc"][1:])
            body = {**body, "status": status}
    return model.model_validate({**body, "status": None})


def _without(status: Any, where: Sequence[str | int]) -> Any:
    """The status without what is at a place; if nothing is, without what lacks it. None if that is all of it."""
    found = inner = deepcopy(status)
    last: tuple[Any, str | int] | None = None
    for step in where:
        if not (step in inner if isinstance(inner, dict) else isinstance(inner, list) and step in range(len(inner))):
            break
        last, inner = (inner, step), inner[step]
    if last is None:
        return None
    del last[0][last[1]]
    return found


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
