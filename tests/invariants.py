"""What holds of every status, whatever an environment went through. Call it wherever a test sees conditions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from airfield.api.conditions import TRANSIENT, Condition, ConditionType
from airfield.environment.reasons import Reason

LONGEST_MESSAGE = 2048
SECRETS = re.compile(
    r"://[^/\s:@]+:[^*@\s][^@\s]*@"  # a password in a URL
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}"  # a JSON web token
    r"|\b[\w-]{43}=(?![\w=])"  # a Fernet key
)


def check_invariants(
    conditions: Iterable[Condition | Mapping[str, object]], generation: int, *, secrets: Sequence[str] = ()
) -> None:
    """AssertionError when the conditions of a resource of that generation break the status contract.

    Takes models or the wire form. `secrets` are further texts that no message may hold.
    """
    found = [c if isinstance(c, Condition) else Condition.model_validate(c) for c in conditions]
    by_type = {condition.type: condition for condition in found}
    types = [condition.type for condition in found]
    ready, stalled = by_type.get(ConditionType.READY), by_type.get(ConditionType.STALLED)

    assert types.count(ConditionType.READY) == 1, f"Ready must be there exactly once: {types}"
    assert types == sorted(set(types)), f"types must be unique and sorted: {types}"
    assert set(types) <= set(ConditionType), f"unknown types: {set(types) - set(ConditionType)}"
    for kind in TRANSIENT & by_type.keys():
        assert by_type[kind].status == "True", f"{kind} exists only while it is True"
    assert not {ConditionType.STALLED, ConditionType.RECONCILING} <= by_type.keys(), "either stalled or reconciling"
    assert ready is not None
    if ready.status == "True":
        assert stalled is None, "Ready and Stalled at once"
        assert ConditionType.RECONCILING not in by_type, "Ready and Reconciling at once"
    if stalled is not None:
        assert stalled.message, "Stalled says nothing that a person could do"
        assert (stalled.reason, stalled.message) == (ready.reason, ready.message), "Ready says why it is stalled"
    for condition in found:
        assert re.fullmatch(r"([A-Z][a-z0-9]+)+", condition.reason), f"not CamelCase: {condition.reason!r}"
        assert condition.reason in set(Reason), f"unknown reason: {condition.reason!r}"
        assert len(condition.message) <= LONGEST_MESSAGE, f"{condition.type}: message of {len(condition.message)}"
        assert not SECRETS.search(condition.message), f"{condition.type} tells a secret"
        assert not [s for s in secrets if s and s in condition.message], f"{condition.type} tells a secret"
        assert -1 <= condition.observed_generation <= generation, f"{condition.type} speaks of the future"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", condition.last_transition_time)
        datetime.fromisoformat(condition.last_transition_time)
