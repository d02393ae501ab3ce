"""The status: invariants of everything that a reconcile can come to, and what each outcome looks like."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.api.conditions import Condition, ConditionType
from airfield.api.environment import AirflowEnvironmentStatus
from airfield.environment.certificate import Verdict
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.environment.status import MESSAGE_LIMIT, PHASES, conditions, next_look, together
from invariants import check_invariants

START = datetime(2026, 1, 1, tzinfo=UTC)
Outcomes = Mapping[ConditionType, Outcome]
NOTHING = AirflowEnvironmentStatus()
ALL_DONE: Outcomes = dict.fromkeys(PHASES, Done())


def status(
    outcomes: Outcomes,
    previous: AirflowEnvironmentStatus = NOTHING,
    *,
    generation: int = 1,
    seconds: float = 0,
    paused: bool = False,
    deleting: bool = False,
) -> AirflowEnvironmentStatus:
    """The next status, held to the invariants."""
    found = conditions(
        previous,
        outcomes,
        generation=generation,
        now=START + timedelta(seconds=seconds),
        paused=paused,
        deleting=deleting,
    )
    check_invariants(found, generation)
    return previous.model_copy(update={"observed_generation": generation, "conditions": found})


def summary(found: AirflowEnvironmentStatus) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in found.conditions}


def condition(found: AirflowEnvironmentStatus, kind: ConditionType) -> Condition:
    return next(c for c in found.conditions if c.type == kind)


def up_to(outcome: Outcome, kind: ConditionType) -> Outcomes:
    """Done until a phase that came to something else."""
    return {**dict.fromkeys(PHASES[: PHASES.index(kind)], Done()), kind: outcome}


@pytest.mark.parametrize("kind", PHASES)
@pytest.mark.parametrize(
    ("outcome", "transient", "other"),
    [
        (Wait(Reason.STARTING, "soon"), ConditionType.RECONCILING, ConditionType.STALLED),
        (Stall(Reason.INVALID_SPEC, "wrong"), ConditionType.STALLED, ConditionType.RECONCILING),
    ],
)
def test_a_phase_that_is_not_done(
    kind: ConditionType, outcome: Wait | Stall, transient: ConditionType, other: ConditionType
) -> None:
    found = status(up_to(outcome, kind))
    told = summary(found)
    for place, phase in enumerate(PHASES):
        expected = ("True", "Succeeded") if place < PHASES.index(kind) else ("Unknown", "Waiting")
        assert told[phase] == (("False", outcome.reason) if phase == kind else expected)
    assert told[ConditionType.READY] == ("False", outcome.reason)
    assert told[transient] == ("True", outcome.reason)
    assert other not in told
    assert condition(found, ConditionType.READY).message == outcome.message


def test_ready() -> None:
    found = status(ALL_DONE)
    assert summary(found) == {
        **{kind.value: ("True", "Succeeded") for kind in PHASES},
        "Ready": ("True", "Serving"),
    }


def test_phases_that_were_not_reached_stay_as_they_were_and_ready_does_not() -> None:
    ready = status(ALL_DONE)
    broken = status(up_to(Stall(Reason.INVALID_SPEC, "wrong"), ConditionType.RESOLVED), ready, generation=2, seconds=60)
    told = summary(broken)
    assert told[ConditionType.READY] == ("False", "InvalidSpec")
    assert told[ConditionType.HEALTHY] == ("True", "Succeeded")
    assert condition(broken, ConditionType.HEALTHY).observed_generation == 1
    assert condition(broken, ConditionType.RESOLVED).observed_generation == 2
    assert ConditionType.STALLED not in summary(status(ALL_DONE, broken, generation=3, seconds=120))


def test_transition_times_are_kept_while_the_status_stays() -> None:
    waiting = status(up_to(Wait(Reason.STARTING, "a"), ConditionType.HEALTHY))
    still = status(up_to(Wait(Reason.UNHEALTHY, "b"), ConditionType.HEALTHY), waiting, generation=2, seconds=60)
    for found in still.conditions:
        assert found.last_transition_time == "2026-01-01T00:00:00Z"
    ready = status(ALL_DONE, still, generation=2, seconds=90)
    assert {c.type: c.last_transition_time[11:19] for c in ready.conditions} == {
        **{kind.value: "00:00:00" for kind in PHASES},
        "Healthy": "00:01:30",
        "Ready": "00:01:30",
    }


def test_times_are_written_in_utc() -> None:
    now = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    (first, *_) = conditions(NOTHING, ALL_DONE, generation=1, now=now)
    assert first.last_transition_time == "2026-01-01T00:00:00Z"


def test_paused() -> None:
    new = status({}, paused=True)
    assert summary(new) == {
        **{kind.value: ("Unknown", "Waiting") for kind in PHASES},
        "Ready": ("Unknown", "Waiting"),
        "Paused": ("True", "Paused"),
    }
    running = status({}, status(ALL_DONE), seconds=60, paused=True)
    assert summary(running) == {**summary(status(ALL_DONE)), "Paused": ("True", "Paused")}
    assert "airfield.dev/paused" in condition(running, ConditionType.PAUSED).message
    stalled = status(up_to(Stall(Reason.POD_FAILING, "x"), ConditionType.HEALTHY))
    told = summary(status({}, stalled, seconds=60, paused=True))
    assert ConditionType.STALLED not in told
    assert told[ConditionType.READY] == ("False", "PodFailing")
    assert ConditionType.PAUSED not in summary(status(ALL_DONE, running, seconds=120))


@pytest.mark.parametrize("before", [NOTHING, status(ALL_DONE)])
@pytest.mark.parametrize("outcome", [None, Wait(Reason.DELETING, "waiting for 2 pods to end: a, b")])
def test_deleting(before: AirflowEnvironmentStatus, outcome: Wait | None) -> None:
    found = status({} if outcome is None else {ConditionType.HEALTHY: outcome}, before, seconds=60, deleting=True)
    told = summary(found)
    assert told[ConditionType.READY] == ("False", "Deleting")
    assert told[ConditionType.RECONCILING] == ("True", "Deleting")
    assert ConditionType.STALLED not in told
    assert condition(found, ConditionType.READY).message == (outcome.message if outcome else "being deleted")


def test_long_messages_are_cut() -> None:
    found = status(up_to(Stall(Reason.APPLY_REFUSED, "ü" * 5000), ConditionType.APPLIED))
    message = condition(found, ConditionType.STALLED).message
    assert len(message) == MESSAGE_LIMIT
    assert message.endswith("ü…")
    assert (
        condition(
            status(up_to(Stall(Reason.APPLY_REFUSED, "x" * 2048), ConditionType.APPLIED)), ConditionType.READY
        ).message
        == "x" * 2048
    )


def test_a_condition_of_somebody_else_is_left_alone() -> None:
    foreign = Condition(
        type="Backup", status="True", last_transition_time="2025-01-01T00:00:00Z", reason="Done", message=""
    )
    found = conditions(NOTHING.model_copy(update={"conditions": (foreign,)}), ALL_DONE, generation=1, now=START)
    assert foreign in found


REASONS = st.sampled_from(list(Reason))
MESSAGES = st.text(min_size=1, max_size=3000)
OUTCOMES = st.one_of(
    st.builds(Done, st.text(max_size=50)),
    st.builds(Wait, REASONS, MESSAGES),
    st.builds(Stall, REASONS, MESSAGES),
)
ANY_OUTCOMES = st.dictionaries(st.sampled_from(PHASES), OUTCOMES)
STEPS = st.lists(
    st.tuples(ANY_OUTCOMES | st.just(ALL_DONE), st.sampled_from(["", "", "paused", "deleting"]), st.integers(0, 1)),
    max_size=6,
)


@given(STEPS)
def test_whatever_an_environment_goes_through(steps: list[tuple[Outcomes, str, int]]) -> None:
    found, generation = NOTHING, 1
    for number, (outcomes, state, newer) in enumerate(steps):
        generation += newer
        before = found
        found = status(
            outcomes,
            before,
            generation=generation,
            seconds=60 * number,
            paused=state == "paused",
            deleting=state == "deleting",
        )
        old = {c.type: c for c in before.conditions}
        for now in found.conditions:
            if now.type in old and old[now.type].status == now.status:
                assert now.last_transition_time == old[now.type].last_transition_time
        # Looking again later and seeing the same gives the same, so nothing is written.
        again = status(
            outcomes,
            found,
            generation=generation,
            seconds=60 * number + 30,
            paused=state == "paused",
            deleting=state == "deleting",
        )
        assert again == found


@pytest.mark.parametrize(
    ("outcomes", "seconds"),
    [
        (ALL_DONE, 300),
        ({}, 300),
        ({ConditionType.RESOLVED: Stall(Reason.INVALID_SPEC, "x")}, 60),
        ({ConditionType.RESOLVED: Done(), ConditionType.HEALTHY: Wait(Reason.STARTING, "x", 1)}, 1),
        ({ConditionType.APPLIED: Stall(Reason.APPLY_REFUSED, "x", 0), ConditionType.HEALTHY: Done()}, 0),
        ({**ALL_DONE, ConditionType.HEALTHY: Done(again=2)}, 2),
    ],
)
def test_when_to_look_again(outcomes: Outcomes, seconds: float) -> None:
    assert next_look(outcomes, when_ready=300) == seconds


@pytest.mark.parametrize("seconds", [60.0, 3.0, 200.0])
def test_looks_are_gathered(seconds: float) -> None:
    step = seconds / 12
    moments = [100 * step + share * step for share in (0.001, 0.5, 0.999)]
    waits = [together(seconds, now) for now in moments]
    assert {round(now + wait, 6) for now, wait in zip(moments, waits, strict=True)} == {round(112 * step, 6)}
    assert all(seconds - step <= wait <= seconds for wait in waits)
    assert waits[0] == pytest.approx(seconds - step / 1000), "from then on it is the interval"


GOOD = Condition(
    type="Ready",
    status="True",
    observed_generation=1,
    last_transition_time="2026-01-01T00:00:00Z",
    reason="Serving",
    message="all components are healthy",
)
STALLED = GOOD.model_copy(update={"type": "Stalled"})


def changed(**fields: object) -> Condition:
    return GOOD.model_copy(update=fields)


@pytest.mark.parametrize(
    "broken",
    [
        [],
        [GOOD, GOOD],
        [changed(type="Reconciling", status="False"), changed(status="False")],
        [GOOD, STALLED],
        [changed(status="False"), changed(type="Applied")],
        [changed(status="False"), changed(type="Reconciling"), STALLED],
        [changed(status="False"), changed(type="Stalled", message="")],
        [changed(status="False"), changed(type="Stalled", reason="PodFailing")],
        [changed(reason="not_camel")],
        [changed(reason="Unheard")],
        [changed(type="Unheard"), GOOD],
        [changed(message="x" * 2049)],
        [changed(message="postgresql://a:secret@db/x")],
        [changed(message="-----BEGIN PRIVATE KEY-----")],
        [changed(message="key gAAAAABlZ2Vua2V5Z2Vua2V5Z2Vua2V5Z2Vua2V5Z2V= is bad")],
        [changed(observed_generation=2)],
        [changed(last_transition_time="2026-01-01T00:00:00+01:00")],
        [changed(message="hunter2 is wrong")],
    ],
)
def test_the_invariants_are_not_empty_words(broken: list[Condition]) -> None:
    check_invariants([GOOD.model_dump(by_alias=True)], 1, secrets=["hunter2"])
    with pytest.raises(AssertionError):
        check_invariants(broken, 1, secrets=["hunter2"])


def test_what_ready_does_not_go_by_stands_beside() -> None:
    """It comes and goes with what there is to say; a pass that did not look leaves it as it was."""
    kind = ConditionType.CERTIFICATE_VALID

    def after(previous: AirflowEnvironmentStatus, *said: Verdict | None, seconds: float) -> AirflowEnvironmentStatus:
        now = START + timedelta(seconds=seconds)
        found = conditions(
            previous, ALL_DONE, generation=1, now=now, beside=dict.fromkeys([kind], *said) if said else {}
        )
        check_invariants(found, 1)
        return previous.model_copy(update={"conditions": found})

    bad = after(NOTHING, Verdict(False, Reason.CERTIFICATE_EXPIRED, "expired"), seconds=0)
    assert summary(bad)[kind] == ("False", "CertificateExpired")
    assert summary(bad)["Ready"] == ("True", "Serving")
    assert condition(after(bad, seconds=9), kind) == condition(bad, kind)
    good = after(bad, Verdict(True, Reason.SUCCEEDED, "valid"), seconds=10)
    assert (condition(good, kind).status, condition(good, kind).last_transition_time[-4:]) == ("True", ":10Z")
    assert kind not in summary(after(good, None, seconds=20))
