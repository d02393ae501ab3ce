"""Template databases of a class, and its status."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.environment.values import revision
from airfield.environment_class.status import class_status
from airfield.environment_class.templates import Wanted, missing, wanted
from builders import SERVER, blueprint, effective

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = {**SERVER, "name": "second", "port": 5433}


def templates(of: AirflowEnvironmentClass) -> list[Wanted]:
    return list(wanted(of))


def test_one_for_each_version_on_each_server() -> None:
    found = templates(blueprint(databaseServers=[SERVER, SECOND]))
    assert [(w.server.name, w.entry.version) for w in found] == [
        ("main", "3.3.2"),
        ("main", "3.2.0"),
        ("second", "3.3.2"),
        ("second", "3.2.0"),
    ]
    assert len({(w.job, w.revision) for w in found}) == 4
    assert all(len(w.job) <= 40 for w in found)
    assert templates(blueprint()) == []


def test_the_revision_is_the_one_that_environments_ask_for() -> None:
    of = blueprint(databaseServers=[SERVER], defaults={"database": {"server": {}}})
    assert templates(of)[0].revision == revision(effective(None, of))


@pytest.mark.parametrize(("present", "left"), [([], [0, 1]), ([0], [1]), ([0, 1], []), ([1], [0])])
def test_missing(present: list[int], left: list[int]) -> None:
    found = templates(blueprint(databaseServers=[SERVER]))
    assert missing(found, [found[i].revision for i in present] + ["unknown"]) == [found[i] for i in left]


def judged(problems: Mapping[int, str], previous: AirflowEnvironmentClass | None = None) -> AirflowEnvironmentClass:
    """The class with its next status; `problems` by the template's position."""
    of = previous or blueprint(databaseServers=[SERVER, SECOND])
    found = templates(of)
    now = NOW if previous is None else NOW + timedelta(hours=1)
    status = class_status(of, found, {found[i]: problem for i, problem in problems.items()}, 5, now)
    return of.model_copy(update={"status": status})


@pytest.mark.parametrize(
    ("problems", "status", "reason", "message"),
    [
        ({}, "True", "Succeeded", ""),
        ({0: ""}, "True", "Succeeded", "database templates are being made: 1"),
        ({0: "", 1: ""}, "True", "Succeeded", "database templates are being made: 2"),
        ({0: "no login", 1: "no login", 2: ""}, "False", "TemplateFailed", "no login"),
        ({0: "b", 1: "a"}, "False", "TemplateFailed", "a; b"),
        ({0: "x" * 5000}, "False", "TemplateFailed", "x" * 4096),
    ],
)
def test_ready(problems: Mapping[int, str], status: str, reason: str, message: str) -> None:
    found = judged(problems).status
    assert found is not None
    ready, *stalled = found.conditions
    assert [(c.type, c.status, c.reason, c.message) for c in stalled] == (
        [("Stalled", "True", reason, message)] if status == "False" else []
    )
    assert (ready.type, ready.status, ready.reason, ready.message) == ("Ready", status, reason, message)
    assert found.environments == 5
    assert [template.ready for template in found.templates] == [number not in problems for number in range(4)]


def test_the_same_gives_the_same_and_times_move_with_the_status() -> None:
    first = judged({})
    assert judged({}, first) == first
    failed = judged({0: "no login"}, first).status
    assert failed is not None
    assert failed.conditions[0].last_transition_time == "2026-01-01T01:00:00Z"
