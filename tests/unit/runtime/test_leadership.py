"""Who may write."""

from dataclasses import replace

import pytest

from airfield.runtime.leadership import Fence, Move, NotLeading, Record, Seen, Timing, decide, seen

TIMING = Timing(10)
OTHERS, MINE, FREE = Record("other", "1", 10), Record("me", "1", 10), Record("", "1", 10)


@pytest.mark.parametrize(
    ("found", "leading", "now", "expected"),
    [
        (Seen(None, 0, absent=True), False, 0, (Move.CREATE, 0)),
        (Seen(None, 0, absent=True), True, 0, (Move.CREATE, 0)),
        (Seen(FREE, 0), False, 0, (Move.TAKE, 0)),
        (Seen(FREE, 0), True, 0, (Move.TAKE, 0)),
        (Seen(FREE, 0, absent=True), False, 0, (Move.CREATE, 0)),
        (Seen(MINE, 0), False, 0, (Move.RENEW, 0)),  # of the container that was here before
        (Seen(MINE, 0), True, 99, (Move.RENEW, 0)),
        (Seen(MINE, 0, absent=True), True, 1, (Move.CREATE, 0)),
        (Seen(OTHERS, 5), False, 5, (Move.WAIT, 1.0)),
        (Seen(OTHERS, 5), False, 14.5, (Move.WAIT, 0.5)),
        (Seen(OTHERS, 5), False, 15, (Move.TAKE, 0)),
        (Seen(OTHERS, 5, absent=True), False, 14.5, (Move.WAIT, 0.5)),  # removed, but its holder may still write
        (Seen(OTHERS, 5, absent=True), False, 15, (Move.CREATE, 0)),
        (Seen(OTHERS, 5), True, 5, (Move.YIELD, 0)),
        (Seen(OTHERS, 5), True, 99, (Move.YIELD, 0)),
        (Seen(replace(OTHERS, seconds=30), 5), False, 30, (Move.WAIT, 1.0)),  # the holder says how long
        (Seen(replace(OTHERS, seconds=0), 5), False, 5, (Move.TAKE, 0)),
    ],
)
def test_decide(found: Seen, leading: bool, now: float, expected: tuple[Move, float]) -> None:
    assert decide("me", found, now, TIMING, leading=leading) == expected


@pytest.mark.parametrize(
    ("before", "record", "expected"),
    [
        (None, None, Seen(None, 9, absent=True)),
        (None, OTHERS, Seen(OTHERS, 9)),
        (Seen(None, 1, absent=True), OTHERS, Seen(OTHERS, 9)),
        (Seen(OTHERS, 1), OTHERS, Seen(OTHERS, 1)),
        (Seen(OTHERS, 1), replace(OTHERS, renewed="2"), Seen(replace(OTHERS, renewed="2"), 9)),
        (Seen(OTHERS, 1), FREE, Seen(FREE, 9)),
        (Seen(OTHERS, 1), None, Seen(OTHERS, 1, absent=True)),
        (Seen(OTHERS, 1, absent=True), None, Seen(OTHERS, 1, absent=True)),
        (Seen(OTHERS, 1, absent=True), OTHERS, Seen(OTHERS, 9)),
    ],
)
def test_seen(before: Seen | None, record: Record | None, expected: Seen) -> None:
    assert seen(before, record, 9) == expected


@pytest.mark.parametrize("seconds", [3, 10, 60])
def test_a_leader_stops_before_others_may_begin(seconds: float) -> None:
    timing = Timing(seconds)
    assert timing.deadline < seconds
    assert timing.renewal + timing.patience < timing.deadline, "one lost renewal must not end the leader"
    assert timing.look + timing.lease + timing.patience < 1.5 * seconds, (
        "from a leader's end to the next one's first write"
    )


class Ended(Exception):  # noqa: N818
    pass


def _end(why: str) -> None:
    raise Ended(why)


def test_the_fence() -> None:
    now = 100.0
    fence = Fence(_end, lambda: now)
    fence.check()
    with pytest.raises(NotLeading):
        fence.before_write()

    fence.extend(107)
    fence.before_write()
    assert (fence.leading, fence.left) == (True, 7)
    now = 106.9
    fence.before_write()
    fence.extend(113)
    now = 112.9
    fence.before_write()
    now = 113.0
    for late in (fence.check, fence.before_write, lambda: fence.extend(120)):  # an answer that came too late
        with pytest.raises(Ended, match="renewed in time"):
            late()


def test_a_closed_fence() -> None:
    fence = Fence(_end, lambda: 0.0)
    fence.extend(7)
    fence.close()
    assert (fence.leading, fence.left) == (False, 0)
    fence.check()
    with pytest.raises(NotLeading):
        fence.before_write()
    with pytest.raises(Ended, match="another"):
        fence.lost("another replica leads")
