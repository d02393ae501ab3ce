"""Who may write: what a replica makes of the record that all of them share, and the fence around its writes.

No clock is compared with another machine's. A replica counts from when it saw the record change, and a leader counts
from before it asked for its latest renewal. So what a leader counts always runs out first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Timing:
    """How long a leader is waited for, in seconds, and what follows from it."""

    lease: float
    """So long after its last sign of life nobody takes a leader's place."""

    @property
    def deadline(self) -> float:
        """So long after its last renewal a leader stops writing; the rest is for requests that are on their way."""
        return 0.7 * self.lease

    @property
    def renewal(self) -> float:
        """Between two renewals."""
        return 0.2 * self.lease

    @property
    def look(self) -> float:
        """Between two looks of a replica that does not lead."""
        return 0.1 * self.lease

    @property
    def patience(self) -> float:
        """With one request for the record."""
        return 0.25 * self.lease


@dataclass(frozen=True)
class Record:
    """What all replicas share. `holder` is "" when nobody leads, `renewed` changes with each renewal."""

    holder: str
    renewed: str
    seconds: float
    """How long the holder wants to be waited for."""


@dataclass(frozen=True)
class Seen:
    """The record as last seen, and since when (monotonic seconds) it has been like that."""

    record: Record | None
    since: float
    absent: bool = False
    """The record has been removed since; it counts for as long as its holder might still write."""


class Move(Enum):
    """What a replica does next with the record."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"
    YIELD = "yield"


def seen(before: Seen | None, record: Record | None, now: float) -> Seen:
    """Take in the record as it was found just now; None when there is none."""
    if record is None:
        if before is None or before.record is None:
            return Seen(None, now, absent=True)
        return Seen(before.record, before.since, absent=True)
    if before is not None and before.record == record and not before.absent:
        return before
    return Seen(record, now)


def decide(me: str, found: Seen, now: float, timing: Timing, *, leading: bool) -> tuple[Move, float]:
    """What to do, and the seconds until the next look if that is to wait. Who led and reads another's name yields."""
    record = found.record
    if record is None:
        return Move.CREATE, 0.0
    if leading and record.holder not in {me, ""}:
        return Move.YIELD, 0.0
    left = found.since + record.seconds - now
    if record.holder not in {me, ""} and left > 0:
        return Move.WAIT, min(left, timing.look)
    if found.absent:
        return Move.CREATE, 0.0
    return (Move.RENEW if record.holder == me else Move.TAKE), 0.0


class NotLeading(RuntimeError):  # noqa: N818 - what is wrong
    """A write was tried by a replica that does not lead: a defect of this program."""


class Fence:
    """Stands before every write: a leader that could not renew in time ends instead of writing once more."""

    def __init__(self, end: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`end(why)` ends the process at once. `clock` must not stand still while the process is stopped."""
        self._end = end
        self._clock = clock
        self._until: float | None = None

    @property
    def leading(self) -> bool:
        """Whether writes are allowed, as long as the deadline has not passed."""
        return self._until is not None

    @property
    def left(self) -> float:
        """Seconds for which writes are still allowed; 0 for who does not lead."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def extend(self, until: float) -> None:
        """Allow writes until then, on the clock given."""
        self.check()
        self._until = until

    def close(self) -> None:
        """Allow no write any more: others may lead from now on."""
        self._until = None

    def lost(self, why: str) -> None:
        """End the process: another replica leads."""
        self._end(why)

    def check(self) -> None:
        """End the process if the time has run out."""
        if self._until is not None and self._clock() >= self._until:
            self._end("the lease could not be renewed in time")

    def before_write(self) -> None:
        """The same before a write, which only a leader may do: NotLeading for all others."""
        self.check()
        if self._until is None:
            raise NotLeading("a replica that does not lead must not write")
