"""The models: the same verdicts as the API server, and the wire form."""

import pytest
from pydantic import ValidationError

from airfield.api.conditions import Condition, carry_transitions
from airfield.api.environment import AirflowEnvironment
from airfield.api.reserved import RESERVED_CONFIG, reserved_option, reserved_variable
from resource_cases import ACCEPTED, MODELS, REFUSED, Case, environment, variable


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_accepted_and_written_back_the_same(case: Case) -> None:
    model = MODELS[case.kind].model_validate(case.manifest)

    assert model.to_json() == case.manifest
    assert MODELS[case.kind].model_validate(model.to_json()) == model


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused(case: Case) -> None:
    if case.model_refuses:
        with pytest.raises(ValidationError):
            MODELS[case.kind].model_validate(case.manifest)
    else:
        MODELS[case.kind].model_validate(case.manifest)


def test_what_is_wrong_is_said_with_its_path() -> None:
    with pytest.raises(ValidationError) as error:
        AirflowEnvironment.model_validate(variable())

    (finding,) = error.value.errors()
    assert finding["loc"] == ("spec", "env", 0)
    assert "exactly one of value and secretKeyRef" in finding["msg"]


def test_models_cannot_be_changed() -> None:
    model = AirflowEnvironment.model_validate(environment())

    with pytest.raises(ValidationError):
        model.spec = model.spec  # type: ignore[misc]


def test_metadata_keeps_only_what_decisions_read() -> None:
    manifest = environment()
    manifest["metadata"] |= {"resourceVersion": "7", "managedFields": [], "creationTimestamp": "2026-01-01T00:00:00Z"}

    assert AirflowEnvironment.model_validate(manifest).metadata.resource_version == "7"


@pytest.mark.parametrize(("section", "options"), RESERVED_CONFIG.items())
def test_every_reserved_option_is_reserved_in_all_its_spellings(section: str, options: tuple[str, ...]) -> None:
    for option in options:
        for spelling in (option, option.upper(), f"{option}_cmd", f"{option}_secret"):
            assert reserved_option(section, spelling)
            assert reserved_option(section.upper(), spelling)
        for suffix in ("", "_CMD", "_SECRET"):
            assert reserved_variable(f"AIRFLOW__{section}__{option}".upper() + suffix)


@pytest.mark.parametrize(
    ("section", "former"),
    [
        ("webserver", "web_server_host"),
        ("webserver", "web_server_port"),
        ("webserver", "web_server_ssl_cert"),
        ("webserver", "web_server_ssl_key"),
        ("webserver", "secret_key"),
        ("workers", "execution_api_server_url"),
        ("core", "sql_alchemy_conn"),
    ],
)
def test_former_names_of_reserved_options_are_reserved(section: str, former: str) -> None:
    assert reserved_option(section, former)
    assert reserved_variable(f"AIRFLOW__{section}__{former}".upper())


@pytest.mark.parametrize(
    "name",
    [
        "AIRFLOW__CORE__PARALLELISM",
        "AIRFLOW__CORE__EXECUTORS",
        "airflow__core__executor",
        "XAIRFIELD_A",
        "PATH",
    ],
)
def test_other_variables_are_free(name: str) -> None:
    assert not reserved_variable(name)


@pytest.mark.parametrize(
    ("section", "option"),
    [("core", "parallelism"), ("corex", "executor"), ("core", "executor_x"), ("webserver", "expose_config")],
)
def test_other_options_are_free(section: str, option: str) -> None:
    assert not reserved_option(section, option)


def condition(type_: str, status: str, since: str) -> Condition:
    return Condition.model_validate(
        {"type": type_, "status": status, "lastTransitionTime": since, "reason": "Because", "message": ""}
    )


OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"


@pytest.mark.parametrize(
    ("old", "new", "since"),
    [
        ([], [condition("Ready", "True", NEW)], [NEW]),
        ([condition("Ready", "True", OLD)], [condition("Ready", "True", NEW)], [OLD]),
        ([condition("Ready", "False", OLD)], [condition("Ready", "True", NEW)], [NEW]),
        ([condition("Ready", "Unknown", OLD)], [condition("Ready", "False", NEW)], [NEW]),
        ([condition("Ready", "True", OLD)], [], []),
        (
            [condition("Ready", "True", OLD)],
            [condition("Ready", "True", NEW), condition("Applied", "True", NEW)],
            [NEW, OLD],
        ),
    ],
)
def test_a_transition_time_is_that_of_the_last_change(
    old: list[Condition], new: list[Condition], since: list[str]
) -> None:
    carried = carry_transitions(old, new)

    assert [item.last_transition_time for item in carried] == since
    assert [item.type for item in carried] == sorted(item.type for item in new)
