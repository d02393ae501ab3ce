"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 420.0
"""Seconds after which something counts as never going to happen: generous, since the machine may be busy."""


def eventually(
    what: str, look: Callable[[], T | None], seconds: float = PATIENCE, said: Callable[[], object] = str
) -> T:
    """What `look` returns as soon as that is truthy. AssertionError with what is `said` when it takes too long.

    What takes long is looked at more rarely: each look is a process, and what is waited for needs the processors, too.
    """
    deadline, pause = time.monotonic() + seconds, 0.25
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:.0f} s there is still no {what}: {said()}")
        time.sleep(pause)
        pause = min(pause * 1.25, 1.0)


class Stopwatch:
    """Prints how long things took: the tests' output is the record of the operator's speed."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def lap(self, what: str) -> float:
        """Say the seconds since the last lap."""
        now = time.monotonic()
        seconds, self._start = now - self._start, now
        print(f"[{seconds:6.1f} s] {what}")  # noqa: T201
        return seconds
