"""The health that Argo CD shows: every branch of the script. tests/apiserver has it judge what the operator wrote."""

from typing import Any

import pytest
import yaml

from observability.health import SCRIPT, Health, argocd
from observability.rendered import REPOSITORY

Json = dict[str, Any]

EXAMPLE = REPOSITORY / "examples" / "argocd" / "argocd-cm.yaml"
KINDS = ("AirflowEnvironment", "AirflowTenant", "AirflowEnvironmentClass")


def resource(*conditions: Json, observed: int = 3, **metadata: str) -> Json:
    return {
        "metadata": {"name": "demo", "generation": 3, **metadata},
        "status": {"observedGeneration": observed, "conditions": list(conditions)},
    }


def condition(kind: str, status: str = "True", reason: str = "Because", message: str = "so it is") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(
            {"metadata": {"generation": 1}}, Health("Progressing", "the operator has not seen this yet"), id="new"
        ),
        pytest.param(
            {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}},
            Health("Progressing", "the operator has not seen this yet"),
            id="new, with the default",
        ),
        pytest.param(
            resource(condition("Ready"), observed=2),
            Health("Progressing", "the operator has not seen this yet"),
            id="was Ready before the change",
        ),
        pytest.param(resource(condition("Ready")), Health("Healthy", "Because: so it is"), id="ready"),
        pytest.param(resource(condition("Ready", message="")), Health("Healthy", "Because"), id="ready, no message"),
        pytest.param(
            resource(condition("Ready", "False", "Starting", "soon"), condition("Reconciling")),
            Health("Progressing", "Starting: soon"),
            id="reconciling",
        ),
        pytest.param(
            resource(condition("Ready", "Unknown", "Waiting", "not yet")),
            Health("Progressing", "Waiting: not yet"),
            id="unknown",
        ),
        pytest.param(
            resource(condition("Ready", "False", "NoTenant", "whose?"), condition("Stalled")),
            Health("Degraded", "NoTenant: whose?"),
            id="stalled",
        ),
        pytest.param(
            resource(condition("Ready", "False", "NamespaceConflict", "both"), condition("Stalled")),
            Health("Degraded", "NamespaceConflict: both"),
            id="a tenant",
        ),
        pytest.param(
            resource(condition("Paused", message="remove it"), condition("Ready"), observed=2),
            Health("Suspended", "remove it"),
            id="paused, whatever the rest says",
        ),
        pytest.param(
            resource(condition("Ready", "False", "Deleting", "pods"), deletionTimestamp="2026-01-01T00:00:00Z"),
            Health("Progressing", "being deleted; Deleting: pods"),
            id="deleting",
        ),
        pytest.param(
            {"metadata": {"generation": 1, "deletionTimestamp": "2026-01-01T00:00:00Z"}},
            Health("Progressing", "being deleted; "),
            id="deleted before it was seen",
        ),
    ],
)
def test_table(obj: Json, expected: Health) -> None:
    assert argocd(obj) == expected


def test_the_examples_speak_of_an_environment_that_they_bring() -> None:
    """Flux waits for the quickstart's environment; neither tool may take a database away with a file."""
    environment = yaml.safe_load((REPOSITORY / "examples" / "quickstart" / "environment.yaml").read_text())
    text = (REPOSITORY / "examples" / "flux" / "kustomization.yaml").read_text()
    (flux,) = (each for each in yaml.safe_load_all(text) if each["kind"] == "Kustomization")
    (check,) = flux["spec"]["healthChecks"]
    metadata = {field: check.pop(field) for field in ("name", "namespace")}
    assert {**check, **metadata} == {
        **{field: environment[field] for field in ("apiVersion", "kind")},
        **environment["metadata"],
    }
    assert flux["spec"]["targetNamespace"] == environment["metadata"]["namespace"]
    application = yaml.safe_load((REPOSITORY / "examples" / "argocd" / "application.yaml").read_text())
    assert application["spec"]["destination"]["namespace"] == environment["metadata"]["namespace"]
    assert (flux["spec"]["prune"], application["spec"]["syncPolicy"]["automated"]["prune"]) == (False, False)


def test_the_example_has_the_script_for_every_kind() -> None:
    data = yaml.safe_load(EXAMPLE.read_text())["data"]
    expected = {f"resource.customizations.health.airfield.dev_{kind}": SCRIPT.read_text() for kind in KINDS}
    assert data == expected
