"""The revisions of an environment: what makes a new one, who is named for it, and what becomes of each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.api.conditions import Condition, ConditionType
from airfield.api.environment import AirflowEnvironmentStatus
from airfield.api.history import ENDED, KEPT, Cause, History, Revision, RevisionOutcome
from airfield.api.objectmeta import ObjectMeta
from airfield.environment.events import events
from airfield.environment.history import Wanted, recorded, refused, wanted
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.environment.resolve import resolve
from airfield.environment.status import PHASES, conditions
from builders import blueprint, environment, git_bundle, tenant

Json = Mapping[str, Any]
NONE: Json = {}
START = datetime(2026, 11, 28, 12, tzinfo=UTC)
PEOPLE = {Cause.ENVIRONMENT: "alice", Cause.CLASS: "carol", Cause.TENANT: "tom"}
FIRST = Wanted(1, 1, "a", "team", "t", "0.1.0", "3.3.2", ("dags@main",), PEOPLE)
READY: Outcome = Done()
STARTING: Outcome = Wait(Reason.STARTING, "scheduler: 0 of 1 pods")
STUCK: Outcome = Stall(Reason.UNHEALTHY, "scheduler: ImagePullBackOff")
REFUSED: Outcome = Stall(Reason.QUOTA_EXCEEDED, "environments: 3 of 3 are used")


def conditions_of(outcome: Outcome, wants: Wanted) -> tuple[Condition, ...]:
    """Those of a pass that came so far."""
    last = ConditionType.RESOLVED if wants.digest is None else ConditionType.HEALTHY
    done = dict.fromkeys(PHASES[: PHASES.index(last)], Done())
    return conditions(AirflowEnvironmentStatus(), {**done, last: outcome}, generation=wants.generation, now=START)


def lived(*passes: tuple[Wanted, Outcome]) -> History:
    """The history after passes, a minute apart."""
    history: History = ()
    for minute, (wants, outcome) in enumerate(passes):
        history = recorded(history, wants, conditions_of(outcome, wants), START + timedelta(minutes=minute))
    return history


def told(history: History) -> list[tuple[int, str, str | None, str]]:
    return [(each.revision, each.cause.value, each.by, each.outcome.value) for each in history]


NEXT = replace(FIRST, generation=2, digest="b", changed_by={**PEOPLE, Cause.ENVIRONMENT: "bob"})
NOTHING = replace(FIRST, generation=2, digest=None, tenant_digest=None)
MOVED = replace(FIRST, class_generation=2, digest="c")
TABLE = [
    ("one that gets on", [(FIRST, STARTING), (FIRST, READY)], [(1, "Environment", "alice", "Succeeded")]),
    ("one that is stuck", [(FIRST, STARTING), (FIRST, STUCK)], [(1, "Environment", "alice", "Stalled")]),
    ("one that was stuck", [(FIRST, STUCK), (FIRST, STARTING)], [(1, "Environment", "alice", "InProgress")]),
    (
        "what happens later is not its matter",
        [(FIRST, READY), (FIRST, STUCK), (FIRST, STARTING)],
        [(1, "Environment", "alice", "Succeeded")],
    ),
    (
        "another wish",
        [(FIRST, READY), (NEXT, STARTING)],
        [(2, "Environment", "bob", "InProgress"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "another wish before the first had come true",
        [(FIRST, STARTING), (NEXT, READY)],
        [(2, "Environment", "bob", "Succeeded"), (1, "Environment", "alice", "Superseded")],
    ),
    (
        "a wish that changes nothing is one all the same",
        [(FIRST, READY), (replace(NEXT, digest="a"), READY)],
        [(2, "Environment", "bob", "Succeeded"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "the class moves on",
        [(FIRST, READY), (MOVED, STARTING)],
        [(2, "Class", "carol", "InProgress"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "a class that changes nothing of it",
        [(FIRST, READY), (replace(FIRST, class_generation=7), READY)],
        [(1, "Environment", "alice", "Succeeded")],
    ),
    (
        "the tenant's labels",
        [(FIRST, READY), (replace(FIRST, digest="d", tenant_digest="u"), STARTING)],
        [(2, "Tenant", "tom", "InProgress"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "a class that changed twice: who made the difference is not known",
        [(FIRST, READY), (replace(MOVED, class_generation=3), STARTING)],
        [(2, "Class", None, "InProgress"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "a class and an operator: nor is it then",
        [(FIRST, READY), (replace(MOVED, operator="0.2.0"), STARTING)],
        [(2, "Class", None, "InProgress"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "a namespace that is another tenant's now",
        [(FIRST, READY), (replace(FIRST, digest="d", tenant="other", tenant_digest="u"), STARTING)],
        [(2, "Tenant", None, "InProgress"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "an operator with other defaults, and another way to tell what a tenant adds",
        [(FIRST, READY), (replace(FIRST, digest="e", tenant_digest="u", operator="0.2.0"), READY)],
        [(2, "Operator", None, "Succeeded"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "an operator with other defaults",
        [(FIRST, READY), (replace(FIRST, digest="e"), READY)],
        [(2, "Operator", None, "Succeeded"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "a wish that may not be",
        [(FIRST, READY), (NOTHING, REFUSED)],
        [(2, "Environment", "alice", "Refused"), (1, "Environment", "alice", "Succeeded")],
    ),
    (
        "a wish that may be later",
        [(NOTHING, REFUSED), (NEXT, STARTING)],
        [(1, "Environment", "alice", "InProgress")],
    ),
    (
        "what runs, and could not be begun now",
        [(FIRST, READY), (replace(NOTHING, generation=1), REFUSED)],
        [(1, "Environment", "alice", "Succeeded")],
    ),
    (
        "what is on its way, and could not be begun now",
        [(FIRST, STARTING), (replace(NOTHING, generation=1), REFUSED)],
        [(1, "Environment", "alice", "Stalled")],
    ),
    (
        "back to what it was after a refusal",
        [(FIRST, READY), (NOTHING, REFUSED), (replace(FIRST, generation=3), READY)],
        [
            (3, "Environment", "alice", "Succeeded"),
            (2, "Environment", "alice", "Superseded"),
            (1, "Environment", "alice", "Succeeded"),
        ],
    ),
]


@pytest.mark.parametrize(("passes", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_revisions(passes: Sequence[tuple[Wanted, Outcome]], expected: list[tuple[int, str, str | None, str]]) -> None:
    assert told(lived(*passes)) == expected


def test_what_a_revision_tells() -> None:
    (stuck,) = lived((FIRST, STUCK))
    assert (stuck.version, stuck.dags, stuck.started) == ("3.3.2", ("dags@main",), "2026-11-28T12:00:00Z")
    assert (stuck.reason, stuck.message, stuck.ended) == ("Unhealthy", "scheduler: ImagePullBackOff", None)
    (well,) = lived((FIRST, STUCK), (FIRST, READY))
    assert (well.reason, well.message, well.ended) == (None, None, "2026-11-28T12:01:00Z")
    (refusal,) = lived((NOTHING, REFUSED))
    assert (refusal.reason, refusal.version, refusal.dags) == ("QuotaExceeded", None, ())


def test_what_is_unchanged_is_the_same_object() -> None:
    """So that nothing is written where nothing is new."""
    history = lived((FIRST, READY))
    assert recorded(history, FIRST, conditions_of(STUCK, FIRST), START + timedelta(hours=1)) is history
    unfinished = lived((FIRST, STUCK))
    assert recorded(unfinished, FIRST, conditions_of(STUCK, FIRST), START + timedelta(hours=1)) == unfinished


WANTS = st.builds(
    Wanted,
    generation=st.integers(1, 4),
    class_generation=st.integers(1, 3),
    digest=st.sampled_from(["a", "b", None]),
    tenant_digest=st.sampled_from(["t", "u"]),
    changed_by=st.just(PEOPLE),
)


@given(st.lists(st.tuples(WANTS, st.sampled_from([READY, STARTING, STUCK])), min_size=1, max_size=40))
def test_whatever_happens(passes: list[tuple[Wanted, Outcome]]) -> None:
    """It is bounded, counts without a gap, only the newest is open, and what has ended never changes."""
    ended: dict[int, Revision] = {}
    for end in range(1, len(passes) + 1):
        history = lived(*passes[:end])
        numbers = [each.revision for each in history]
        assert numbers == list(range(numbers[0], numbers[-1] - 1, -1))
        assert len(history) <= KEPT
        assert all(each.outcome in ENDED for each in history[1:])
        for each in history:
            assert (each.ended is not None) == (each.outcome in ENDED)
            if each.outcome in ENDED:
                assert ended.setdefault(each.revision, each) == each


def test_what_an_environment_is_told_by() -> None:
    """The digest says what it resolved to: the same for the same, another for whatever a component could notice."""

    def told_by(own: Json = NONE, team: Json = NONE, of_class: Json = NONE) -> Wanted:
        mine = environment(**{"dags": {"bundles": [git_bundle()]}, **own})
        parts = tenant(**team), blueprint(**of_class)
        return wanted(mine, *parts, resolve(mine, *parts))

    plain = told_by()
    assert plain == told_by(team={"quota": {"environments": 7}, "displayName": "x"})
    assert (plain.version, plain.dags) == ("3.3.2", ("main@main",))
    assert told_by({"dags": None}).dags == ("dags@image",)
    others = [
        told_by({"config": {"core": {"parallelism": "7"}}}),
        told_by({"dags": {"bundles": [git_bundle(ref="v2")]}}),
        told_by(of_class={"network": {"egress": [{"cidr": "10.0.0.0/8"}]}}),
        told_by(of_class={"defaults": {"env": [{"name": "A", "value": "b"}]}}),
        told_by(of_class={"exposure": {"hostTemplate": "{name}.example.com", "ingress": {"className": "public"}}}),
    ]
    of_tenant = [told_by(team={"labels": {"a": "b"}}), told_by(team={"egress": [{"cidr": "10.1.0.0/16"}]})]
    assert len({plain.digest, *(each.digest for each in (*others, *of_tenant))}) == 8
    assert {each.tenant_digest for each in others} == {plain.tenant_digest}
    assert len({plain.tenant_digest, *(each.tenant_digest for each in of_tenant)}) == 3

    oidc = {"issuer": "https://login.example.com", "clientId": "a:{namespace}/{name}"}
    of_class, role = {"identity": {"oidc": oidc}}, {"identity": {"roles": [{"group": "g", "role": "Viewer"}]}}
    behind = [told_by(of_class=of_class), told_by(role, of_class=of_class), told_by(team=role, of_class=of_class)]
    own, of_team = behind[1:]
    assert own.digest == of_team.digest, "where a role comes from changes nothing"
    assert len({plain.digest, *(each.digest for each in behind)}) == 3
    assert of_team.tenant_digest != plain.tenant_digest


@pytest.mark.parametrize(
    ("record", "who"),
    [
        ("1 alice", "alice"),
        ("1 a b", "a b"),
        (f"1 {'x' * 1000}", "x" * 256),
        ("2 alice", None),
        ("alice", None),
        ("1 ", None),
        ("", None),
    ],
)
def test_a_record_is_of_one_generation(record: str, who: str | None) -> None:
    """What was written for another one, or before there was a policy, names nobody."""
    mine = environment()
    noted = mine.metadata.model_copy(update={"annotations": {"airfield.dev/changed-by": record}})
    assert refused(mine.model_copy(update={"metadata": noted})).changed_by[Cause.ENVIRONMENT] == who


def test_an_upgrade_from_before_there_were_histories_is_no_event() -> None:
    old = AirflowEnvironmentStatus(conditions=conditions_of(READY, FIRST))
    new = old.model_copy(update={"history": lived((FIRST, READY))})
    assert events(ObjectMeta(name="demo"), old, new, START) == []


@pytest.mark.parametrize(
    ("before", "after", "reason", "note"),
    [
        ([], [(FIRST, STARTING)], "Starting", "revision 1 (environment, by alice) is begun; scheduler: 0 of 1 pods"),
        ([(FIRST, STARTING)], [(FIRST, READY)], "Serving", "revision 1 (environment, by alice) has succeeded; all "),
        ([(FIRST, READY)], [(FIRST, STUCK)], "Unhealthy", "scheduler: ImagePullBackOff"),
        (
            [(FIRST, READY)],
            [(replace(NEXT, digest="a"), READY)],
            "RevisionSucceeded",
            "revision 2 (environment, by bob) has",
        ),
        (
            [(NOTHING, REFUSED)],
            [(replace(NOTHING, generation=3), REFUSED)],
            "RevisionRefused",
            "revision 2 (environment, by alice) is refused; environments: 3 of 3 are used",
        ),
    ],
)
def test_events(
    before: list[tuple[Wanted, Outcome]], after: list[tuple[Wanted, Outcome]], reason: str, note: str
) -> None:
    old, new = (
        AirflowEnvironmentStatus(
            history=lived(*passes), conditions=conditions_of(passes[-1][1], passes[-1][0]) if passes else ()
        )
        for passes in (before, [*before, *after])
    )
    metadata = ObjectMeta(name="demo", namespace="team-a", uid="1")
    (found,) = events(metadata, old, new, START)
    assert found["reason"] == reason
    assert found["note"].startswith(note)
    assert events(metadata, new, new, START) == []


def test_a_revision_that_has_begun_is_told_with_what_comes_of_it() -> None:
    open_ = RevisionOutcome.IN_PROGRESS
    begun = lived((FIRST, READY), (NEXT, STARTING))
    ready = conditions_of(READY, FIRST)
    old = AirflowEnvironmentStatus(history=begun[1:], conditions=ready)
    assert begun[0].outcome is open_
    assert events(ObjectMeta(name="demo"), old, old.model_copy(update={"history": begun}), START) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, ("True", "Succeeded"), []),
        (None, ("False", "CertificateNotFound"), [("Warning", "CertificateNotFound", "in words")]),
        (("False", "CertificateNotFound"), ("True", "Succeeded"), [("Normal", "CertificateValid", "in words")]),
        (("True", "Succeeded"), ("True", "CertificateExpiring"), [("Warning", "CertificateExpiring", "in words")]),
        (
            ("True", "CertificateExpiring"),
            ("False", "CertificateExpired"),
            [("Warning", "CertificateExpired", "in words")],
        ),
        (("False", "CertificateExpired"), ("False", "CertificateExpired"), []),
        (("True", "Succeeded"), None, []),
    ],
)
def test_events_of_the_certificate(
    before: tuple[str, str] | None, after: tuple[str, str] | None, told: list[tuple[str, str, str]]
) -> None:
    """A fault of the certificate leaves Ready as it is, so it is told by itself."""

    def status(found: tuple[str, str] | None) -> AirflowEnvironmentStatus:
        of_all = conditions_of(READY, FIRST)
        if found is None:
            return AirflowEnvironmentStatus(conditions=of_all)
        update = {"type": "CertificateValid", "status": found[0], "reason": found[1], "message": "in words"}
        return AirflowEnvironmentStatus(conditions=(*of_all, of_all[0].model_copy(update=update)))

    found = events(ObjectMeta(name="demo"), status(before), status(after), START)
    assert [(each["type"], each["reason"], each["note"]) for each in found] == told
