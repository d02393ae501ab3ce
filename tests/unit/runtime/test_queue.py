"""The work queue, in virtual time: a loop whose clock jumps to the next timer as soon as nothing else is to be done."""

from __future__ import annotations

import asyncio
import json
import logging
import selectors
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.runtime.logs import JsonFormatter
from airfield.runtime.queue import BACKOFF_MAX, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


log = logging.getLogger(__name__)


class JumpingSelector(selectors.DefaultSelector):
    """Waits for no time: tells how long it should have."""

    slept = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            assert timeout is not None, "deadlock: nothing is left that could happen"
            self.slept += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)
        # A timer is due when it is less than this away: rounding must not make the loop spin.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.jumping.slept


def virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())


@dataclass
class Recorder:
    """A handler whose runs last and end as the test says, and that notes when they were."""

    durations: Callable[[str], float] = lambda _: 0.0
    outcomes: Callable[[str], float | Exception | None] = lambda _: None
    runs: list[tuple[str, float, float]] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    most_at_once: int = 0

    async def __call__(self, key: str) -> float | None:
        assert key not in self.running, "two runs of one key at once"
        start = asyncio.get_running_loop().time()
        self.running.add(key)
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            await asyncio.sleep(self.durations(key))
        finally:
            self.running.discard(key)
            self.runs.append((key, start, asyncio.get_running_loop().time()))
        outcome = self.outcomes(key)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def starts(self, key: str) -> list[float]:
        return sorted(start for k, start, _ in self.runs if k == key)


def new_queue() -> WorkQueue[str]:
    return WorkQueue(clock=asyncio.get_running_loop().time, jitter=lambda: 0.0)


async def at(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(seconds - loop.time())


def failing(times: int) -> Callable[[str], Exception | None]:
    """Fail that often, then succeed."""
    left = [times]

    def outcome(_: str) -> Exception | None:
        left[0] -= 1
        return RuntimeError("no") if left[0] >= 0 else None

    return outcome


def test_adds_of_a_waiting_key_are_one_run_and_keys_run_in_order_of_arrival() -> None:
    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 1.0)
        for key in "abacbaa":
            queue.add(key)
        assert (queue.depth, queue.oldest_age) == (3, 0)
        run = asyncio.create_task(queue.run(handler, 1))
        await at(1.5)
        assert (queue.depth, queue.oldest_age) == (1, 1.5)
        await at(5)
        assert [key for key, _, _ in handler.runs] == ["a", "b", "c"]
        assert (queue.depth, queue.oldest_age) == (0, 0)
        await queue.stop()
        await run

    virtually(scenario)


@pytest.mark.parametrize(
    ("adds", "expected"),
    [
        # Capitals have news, the others only their turn; case aside, a letter is one key.
        ("abXY", "xyab"),
        ("abcC", "cab"),  # news of one that waits already
        ("Cabc", "cab"),  # and nobody is put back
        ("abcPQRSTUVW", "pqarstbuvwc"),  # whatever the news, one of four is one whose turn it is
    ],
)
def test_news_before_those_whose_turn_it_is(adds: str, expected: str) -> None:
    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 1.0)
        run = asyncio.create_task(queue.run(handler, 1))
        queue.add("busy")
        await at(0.5)
        for letter in adds:
            queue.add(letter.lower(), routine=letter.islower())
        await at(60)
        assert [key for key, _, _ in handler.runs][1:] == list(expected)
        await queue.stop()
        await run

    virtually(scenario)


def test_news_during_a_run_is_not_routine() -> None:
    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 1.0)
        run = asyncio.create_task(queue.run(handler, 1))
        queue.add("a")
        await at(0.5)
        queue.add("a", routine=True)
        queue.add("b", routine=True)
        queue.add("a")
        await at(10)
        assert [key for key, _, _ in handler.runs] == ["a", "a", "b"]
        await queue.stop()
        await run

    virtually(scenario)


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_look_that_was_planned_is_routine(seconds: float) -> None:
    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 5.0)
        run = asyncio.create_task(queue.run(handler, 1))
        queue.add("busy")
        await at(0.5)
        queue.add_after("a", seconds)
        await at(2)
        queue.add("b")
        await at(20)
        assert [key for key, _, _ in handler.runs] == ["busy", "b", "a"]
        await queue.stop()
        await run

    virtually(scenario)


@pytest.mark.parametrize("wishes", [((1.0, False), (0.5, True)), ((0.5, True), (1.0, False))])
def test_of_several_later_wishes_one_that_is_urgent_is_enough(wishes: tuple[tuple[float, bool], ...]) -> None:
    """Somebody's change whose retry is planned does not wait for all looks because a pod has started meanwhile."""

    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 5.0)
        run = asyncio.create_task(queue.run(handler, 1))
        queue.add("busy")
        await at(0.5)
        queue.add("b", routine=True)
        for seconds, routine in wishes:
            queue.add_after("a", seconds, routine=routine)
        await at(20)
        assert [key for key, _, _ in handler.runs] == ["busy", "a", "b"]
        await queue.stop()
        await run

    virtually(scenario)


def test_what_was_news_long_before_a_queue_runs_is_none_any_more() -> None:
    """So it is with a replica that has followed for days, and leads now."""

    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 1.0)
        queue.add("a", routine=True)
        queue.add("b")
        queue.add("c")
        await at(1000)
        queue.add("c")
        queue.add("d")
        await at(1010)
        run = asyncio.create_task(queue.run(handler, 1))
        await at(1020)
        assert [key for key, _, _ in handler.runs] == ["c", "d", "a", "b"]
        await queue.stop()
        await run

    virtually(scenario)


@pytest.mark.parametrize(("routine", "expected"), [(False, "xabcx"), (True, "xabcdefgx")])
def test_another_try_gives_way_no_more_than_the_one_that_failed(routine: bool, expected: str) -> None:
    async def scenario() -> None:
        queue = new_queue()
        fail = failing(1)
        handler = Recorder(lambda _: 0.3, lambda key: fail(key) if key == "x" else None)
        queue.add("x", routine=routine)
        for key in "abcdefg":
            queue.add(key, routine=True)
        run = asyncio.create_task(queue.run(handler, 1))
        await at(10)
        assert "".join(key for key, _, _ in handler.runs).startswith(expected)
        await queue.stop()
        await run

    virtually(scenario)


def test_an_add_during_a_run_leads_to_one_more_run_after_the_others() -> None:
    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 1.0)
        run = asyncio.create_task(queue.run(handler, 1))
        queue.add("a")
        queue.add("b")
        await at(0.5)
        queue.add("a")
        queue.add("a")
        await at(10)
        assert [(key, start) for key, start, _ in handler.runs] == [("a", 0), ("b", 1), ("a", 2)]
        await queue.stop()
        await run

    virtually(scenario)


@pytest.mark.parametrize(
    ("adds", "expected"),
    [
        ([("a", 5.0)], [5]),
        ([("a", 5.0), ("a", 9.0)], [5]),
        ([("a", 9.0), ("a", 5.0)], [5]),
        ([("a", 0.0)], [0]),
        ([("a", -1.0), ("a", 3.0)], [0, 3]),
    ],
)
def test_the_earliest_of_several_later_wishes_is_kept(adds: list[tuple[str, float]], expected: list[float]) -> None:
    async def scenario() -> None:
        queue, handler = new_queue(), Recorder()
        run = asyncio.create_task(queue.run(handler, 2))
        for key, seconds in adds:
            queue.add_after(key, seconds)
        await at(100)
        assert handler.starts("a") == expected
        await queue.stop()
        await run

    virtually(scenario)


def test_the_handler_says_when_it_wants_to_see_the_key_again() -> None:
    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 1.0, lambda _: 10.0)
        run = asyncio.create_task(queue.run(handler, 2))
        queue.add("a")
        await at(35)
        assert handler.starts("a") == [0, 11, 22, 33]
        await queue.stop()
        await run

    virtually(scenario)


def test_failures_back_off_up_to_the_maximum_and_success_resets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(outcomes=failing(14))
        run = asyncio.create_task(queue.run(handler, 2))
        queue.add("a")
        await at(10_000)
        starts = handler.starts("a")
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        assert gaps[:11] == pytest.approx([0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, BACKOFF_MAX], abs=1e-3)
        assert gaps[11:] == pytest.approx([BACKOFF_MAX] * 3, abs=1e-3)
        handler.outcomes = failing(1)
        queue.add("a")
        await at(10_010)
        assert [start - 10_000 for start in handler.starts("a")[-2:]] == pytest.approx([0, 0.5], abs=1e-3)
        await queue.stop()
        await run

    virtually(scenario)


def test_what_is_logged_of_a_pass_bears_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    """The handler's own words, and those about its failure."""
    passes = count(1)

    async def handler(key: str) -> None:
        log.info("at work")
        if key == "bad":
            raise ValueError(key)

    def about(key: str) -> dict[str, str]:
        return {"environment": key, "reconcile": str(next(passes))}

    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("good")
        queue.add("bad")
        running = asyncio.create_task(queue.run(handler, 2, about))
        await asyncio.sleep(0.1)
        await queue.stop()
        await running

    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(JsonFormatter())
    virtually(scenario)
    told = [json.loads(line) for line in caplog.text.splitlines()]
    assert [(each["message"][:10], each["environment"], each["reconcile"]) for each in told] == [
        ("at work", "good", "1"),
        ("at work", "bad", "2"),
        ("bad failed", "bad", "2"),
    ]


def test_a_slow_and_a_broken_key_delay_nobody_else() -> None:
    async def scenario() -> None:
        queue = new_queue()
        handler = Recorder(
            lambda key: 1000.0 if key == "slow" else 0.0,
            lambda key: RuntimeError("broken") if key == "broken" else None,
        )
        run = asyncio.create_task(queue.run(handler, 2))
        for key in ("slow", "broken", *(f"k{i}" for i in range(20))):
            queue.add(key)
        await at(1)
        assert {key for key, _, _ in handler.runs} == {"broken", *(f"k{i}" for i in range(20))}
        assert handler.most_at_once == 2
        await queue.stop(grace=0.1)
        await run

    virtually(scenario)


def test_a_cancellation_that_the_handler_lets_escape_is_a_failure_like_any_other() -> None:
    async def scenario() -> None:
        queue, runs = new_queue(), 0

        async def handler(_: str) -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                raise asyncio.CancelledError

        run = asyncio.create_task(queue.run(handler, 1))
        queue.add("a")
        await at(5)
        assert runs == 2
        await queue.stop()
        await run

    virtually(scenario)


@pytest.mark.parametrize(("needs", "grace", "end", "finished"), [(5.0, 30.0, 5.0, True), (50.0, 30.0, 31.0, False)])
def test_stop_lets_running_handlers_finish_within_the_grace(
    needs: float, grace: float, end: float, *, finished: bool
) -> None:
    async def scenario() -> None:
        queue, done = new_queue(), []

        async def handler(key: str) -> float:
            await asyncio.sleep(needs)
            done.append(key)
            return 1.0

        run = asyncio.create_task(queue.run(handler, 1))
        queue.add("a")
        queue.add("never started")
        await at(1)
        await queue.stop(grace)
        await run
        assert asyncio.get_running_loop().time() == pytest.approx(end, abs=1e-3)
        assert done == (["a"] if finished else [])
        queue.add("late")
        queue.add_after("late", 1)
        await queue.run(handler, 1)
        assert len(asyncio.all_tasks()) == 1

    virtually(scenario)


def test_cancelling_run_cancels_the_handlers() -> None:
    async def scenario() -> None:
        queue, handler = new_queue(), Recorder(lambda _: 1000.0)
        run = asyncio.create_task(queue.run(handler, 3))
        queue.add("a")
        await at(1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert handler.runs == [("a", 0, 1)]
        assert len(asyncio.all_tasks()) == 1

    virtually(scenario)


KEYS = st.sampled_from("abc")
SHORT = st.floats(0.0, 5.0, allow_nan=False).map(lambda x: round(x, 2))


@given(
    events=st.lists(st.tuples(SHORT, KEYS, st.none() | SHORT), max_size=25),
    durations=st.lists(SHORT, min_size=1, max_size=8),
    outcomes=st.lists(st.sampled_from(["ok", "again", "fail"]), min_size=1, max_size=8),
    workers=st.integers(1, 3),
)
def test_no_wish_is_ever_lost(
    events: list[tuple[float, str, float | None]], durations: list[float], outcomes: list[str], workers: int
) -> None:
    """Any sequence of adds over time, with runs of any length and end: each leads to a run that starts after it."""

    async def scenario() -> None:
        queue, loop, turns = new_queue(), asyncio.get_running_loop(), [0]

        def outcome(_: str) -> float | Exception | None:
            turns[0] += 1
            if turns[0] > 100:  # so that it ends
                return None
            word = outcomes[turns[0] % len(outcomes)]
            return {"ok": None, "again": 0.7, "fail": RuntimeError(word)}[word]

        handler = Recorder(lambda _: durations[len(handler.runs) % len(durations)], outcome)
        run = asyncio.create_task(queue.run(handler, workers))
        wishes: list[tuple[str, float]] = []
        for pause, key, later in events:
            await asyncio.sleep(pause)
            wishes.append((key, loop.time()))
            queue.add(key) if later is None else queue.add_after(key, later)
        await asyncio.sleep(100_000)
        assert (queue.depth, queue._running, queue._timers) == (0, set(), {})
        assert handler.most_at_once <= workers
        for key, moment in wishes:
            assert handler.starts(key)[-1] >= moment
        await queue.stop()
        await run

    virtually(scenario)


async def test_what_waits_for_a_queue_that_does_not_run_has_no_age() -> None:
    now = 100.0
    queue: WorkQueue[str] = WorkQueue(clock=lambda: now)
    queue.add("early")
    now = 500.0
    assert (queue.depth, queue.oldest_age, queue.stalled_for) == (1, 0.0, 0.0)
    release = asyncio.Event()

    async def handler(_: str) -> None:
        await release.wait()

    queue.add("late")
    running = asyncio.create_task(queue.run(handler, 1))
    while queue.depth == 2:  # noqa: ASYNC110 - until the worker has taken one
        await asyncio.sleep(0)
    now = 507.0
    assert (queue.oldest_age, queue.stalled_for, queue.blocked_for) == (7.0, 7.0, 0.0)
    queue.add("late")  # its handler runs, and does not come to an end
    now = 510.0
    assert queue.blocked_for == 3.0
    release.set()
    await queue.stop()
    await running
