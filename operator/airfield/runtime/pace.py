"""How soon keys are handled of which events tell: bursts are gathered, and quarrels are slow. Pure."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

K = TypeVar("K")

MOMENT: Final = 0.5
"""Seconds: a roll-out is a burst of events, of which the last tells as much as all of them."""
LONGEST: Final = 5.0
"""Seconds: the longest such moment, however many are rolled out."""
LOOKS: Final = 200
"""About so many looks a second are made because of such bursts, while they take up to LONGEST."""
QUARREL: Final = 10.0
"""Seconds: who has put something right within them waits a moment before it does so again."""


@dataclass
class Pace(Generic[K]):
    """What is known of keys that many events tell of."""

    clock: Callable[[], float] = time.monotonic
    moving: set[K] = field(default_factory=set)
    """Those that were last seen on their way, to what is wanted or to their end."""
    _repaired: dict[K, float] = field(default_factory=dict)
    """When each was last told at once to put something right."""

    def moment(self) -> float:
        """Seconds in which events of one key are gathered: among many that are on their way each takes longer."""
        return min(max(MOMENT, len(self.moving) / LOOKS), LONGEST)

    def repairs_at_once(self, key: K) -> bool:
        """Whether a key puts right at once what it is told of now: not if it has just done so.

        Somebody may spoil it again as fast as it is put right.
        """
        now = self.clock()
        if now - self._repaired.get(key, -math.inf) < QUARREL:
            return False
        self._repaired[key] = now
        return True

    def forget(self, key: K) -> None:
        """Take in that a key is gone."""
        self.moving.discard(key)
        self._repaired.pop(key, None)
