"""What the metrics tell of environments in all their states."""

from typing import Any

import pytest

from airfield.environment.census import census
from airfield.runtime.metrics import EnvironmentState

METADATA = {"namespace": "team-a", "name": "demo"}
SPEC = {"className": "standard", "stage": "prod", "version": "stable"}


def condition(kind: str, status: str = "True", reason: str = "Because") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": ""}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({}, EnvironmentState("team-a", "demo"), id="nothing but a name"),
        pytest.param(
            {"spec": SPEC}, EnvironmentState("team-a", "demo", blueprint="standard", stage="prod"), id="no status"
        ),
        pytest.param(
            {"spec": SPEC, "status": {"tenant": "a", "version": "3.3.2", "conditions": [condition("Ready")]}},
            EnvironmentState(
                *("team-a", "demo", "a", "standard", "3.3.2", "prod", "True", "Because"),
                conditions=(("Ready", "True"),),
            ),
            id="ready: the version in use, not the channel",
        ),
        pytest.param(
            {"spec": SPEC, "status": {"conditions": [condition("Ready", "False", "NoTenant"), condition("Stalled")]}},
            EnvironmentState(
                "team-a",
                "demo",
                "",
                "standard",
                "",
                "prod",
                ready="False",
                reason="NoTenant",
                stalled=True,
                conditions=(("Ready", "False"), ("Stalled", "True")),
            ),
            id="stalled",
        ),
        pytest.param(
            {"status": {"conditions": [condition("Ready"), condition("Paused"), condition("Stalled", "False")]}},
            EnvironmentState(
                "team-a",
                "demo",
                ready="True",
                reason="Because",
                paused=True,
                conditions=(("Ready", "True"), ("Stalled", "False"), ("Paused", "True")),
            ),
            id="paused",
        ),
        pytest.param(
            {
                "status": {
                    "conditions": [condition("CertificateValid", "True", "CertificateExpiring")],
                    "certificate": {"secret": "demo-tls", "notAfter": "1970-01-01T00:01:00Z"},
                }
            },
            EnvironmentState(
                *("team-a", "demo"),
                certificate="CertificateExpiring",
                expiry=60.0,
                conditions=(("CertificateValid", "True"),),
            ),
            id="a certificate that expires",
        ),
        pytest.param(
            {
                "status": {
                    "conditions": [condition("CertificateValid", "True", "Succeeded")],
                    "certificate": {"secret": "demo-tls", "notAfter": "soon"},
                }
            },
            EnvironmentState("team-a", "demo", conditions=(("CertificateValid", "True"),)),
            id="a good certificate; a time that is none",
        ),
        pytest.param(
            {"status": {"conditions": [condition("Healthy", "False"), condition("Unheard", "True")]}},
            EnvironmentState("team-a", "demo", conditions=(("Healthy", "False"),)),
            id="only types that are ours: a series for each",
        ),
    ],
)
def test_table(body: dict[str, Any], expected: EnvironmentState) -> None:
    assert list(census([{"metadata": METADATA, **body}])) == [expected]
