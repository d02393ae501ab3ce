"""What a class or a tenant says of itself whose specification cannot be read."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from airfield.api.environment import AirflowEnvironment
from airfield.api.tenant import AirflowTenant
from airfield.environment.unreadable import read, unreadable_status
from airfield.tenant.status import tenant_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)


def body(spec: dict[str, Any], status: Any = None, generation: int = 2) -> dict[str, Any]:
    metadata = {"name": "a", "uid": "u", "generation": generation, "resourceVersion": "1"}
    return {"apiVersion": "airfield.dev/v1alpha1", "kind": "AirflowTenant", "metadata": metadata, "spec": spec} | (
        {"status": status} if status is not None else {}
    )


def error_of(found: dict[str, Any]) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        AirflowTenant.model_validate(found)
    return caught.value


def test_it_names_the_field_and_keeps_what_it_knew() -> None:
    well = tenant_status(
        AirflowTenant.model_validate(body({}, generation=1)),
        (),
        {("a", f"e{number}"): "dev" for number in range(7)},
        (),
        [],
        None,
        NOW,
    )
    known = well.model_dump(mode="json", by_alias=True, exclude_none=True)
    broken = body({"labels": {"$(id)": "x"}}, known)
    status = unreadable_status(broken, error_of(broken), LATER)
    ready, stalled = status["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "InvalidSpec")
    assert "spec.labels" in ready["message"]
    assert (stalled["type"], stalled["status"]) == ("Stalled", "True")
    assert ready["lastTransitionTime"] == "2026-01-02T00:00:00Z"
    assert (status["observedGeneration"], status["environments"]) == (2, 7)
    again = {**broken, "status": status}
    assert unreadable_status(again, error_of(again), datetime(2026, 1, 3, tzinfo=UTC)) == status


def test_a_status_of_a_later_operator_is_not_read() -> None:
    found = body({"displayName": "A"}, {"later": True, "environments": 3})
    tenant = read(AirflowTenant, found)
    assert tenant.spec.display_name == "A"
    assert tenant.status is not None
    assert tenant.status.environments == 3
    with pytest.raises(ValidationError, match="later"):
        read(AirflowTenant, body({"later": True}, {"later": True}))
    assert read(AirflowTenant, body({}, "nonsense")).status is None


@pytest.mark.parametrize("status", [None, {}, {"conditions": [{"kind": "of another version"}]}])
def test_of_a_status_that_cannot_be_read_either_nothing_is_needed(status: Any) -> None:
    broken = body({"later": True}, status)
    found = unreadable_status(broken, error_of(broken), NOW)
    assert [condition["type"] for condition in found["conditions"]] == ["Ready", "Stalled"]


def test_of_an_environment_what_guards_keys_and_data_is_still_known() -> None:
    known = {
        "observedGeneration": 2,
        "later": {"a": 1},
        "database": {"mode": "server", "schemaRevision": "r1", "later": True},
        "keys": [{"name": "fernet", "secret": "a-fernet", "fingerprint": "f"}, {"name": "x", "later": 1}, {"later": 1}],
        "applied": "digest",
    }
    found = body({"className": "c", "stage": "prod"}, known)
    found["metadata"]["namespace"] = "team-a"
    status = read(AirflowEnvironment, {**found, "kind": "AirflowEnvironment"}).status
    assert status is not None
    assert status.database is not None
    assert (status.observed_generation, status.applied) == (2, "digest")
    assert (status.database.mode, status.database.schema_revision) == ("server", "r1")
    assert [key.fingerprint for key in status.keys if key.name == "fernet"] == ["f"]
