"""A work queue of keys: level-triggered, deduplicating, one worker per key, with back-off per key."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from airfield.runtime.logs import bind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

K = TypeVar("K")

log = logging.getLogger(__name__)

BACKOFF_FIRST = 0.5
BACKOFF_MAX = 300.0
"""Seconds until a failed key is tried again: doubling from the first to the most, with up to 25 % of jitter on top."""
ROUTINE_SHARE = 4
"""While both kinds wait, every n-th key is a routine one: whoever hurries all the time does not stop the others."""
NEWS = 60.0
"""Seconds for which something is news to a queue that begins to run: what is older, another one has seen to."""


@dataclass(slots=True)
class _Wish:
    """A key's wish to be handled: since when, when it was last uttered, and whether it may give way."""

    since: float
    latest: float
    routine: bool


class WorkQueue(Generic[K]):
    """Keys that want a run of the handler, first come, first served; but what is routine lets the others pass.

    So a person's change does not wait for a thousand environments whose turn it only is. A key waits at most once and
    is never handled twice at the same time; adding it while it is being handled makes it run again afterwards. So a
    handler that looks at the world as it is misses nothing. All methods belong to the event loop's thread.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`clock` gives the time in seconds from which ages are reckoned, `jitter` a number from 0 to 1."""
        self._clock = clock
        self._jitter = jitter
        self._urgent: OrderedDict[K, None] = OrderedDict()
        self._routine: OrderedDict[K, None] = OrderedDict()
        self._ready = asyncio.Semaphore(0)  # how many keys are in these two
        self._taken = 0
        self._waiting: dict[K, _Wish] = {}  # of the keys in these two, and of running ones that run again
        self._running: set[K] = set()
        self._timers: dict[K, tuple[asyncio.TimerHandle, bool]] = {}
        self._failures: dict[K, int] = {}
        self._workers: dict[asyncio.Task[None], bool] = {}  # whether it is handling a key
        self._stopping = False
        self._finished = clock()  # when a handler last came to an end

    def add(self, key: K, *, routine: bool = False) -> None:
        """Have a key handled as soon as a worker is free; at once even if it backs off from a failure.

        `routine`: it may give way to those that are not, since nobody waits for it.
        """
        now, wish = self._clock(), self._waiting.get(key)
        if wish is None:
            self._waiting[key] = _Wish(now, now, routine)
            if key not in self._running:
                self._line_up(key)
        elif not routine:
            wish.latest = now
            if wish.routine:
                self._move(key, wish, routine=False)

    def add_after(self, key: K, seconds: float, *, routine: bool = True) -> None:
        """Have a key handled after some seconds. Of several such wishes the earliest and most urgent counts."""
        if seconds <= 0:
            self.add(key, routine=routine)
            return
        if self._stopping:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if (pending := self._timers.get(key)) is not None:
            timer, was_routine = pending
            if timer.when() <= due and was_routine <= routine:
                return
            timer.cancel()
            due, routine = min(due, timer.when()), routine and was_routine
        self._timers[key] = loop.call_at(due, self._fire, key, routine), routine

    async def run(
        self,
        handler: Callable[[K], Awaitable[float | None]],
        workers: int,
        about: Callable[[K], Mapping[str, str]] = lambda _: {},
        *,
        news: float = NEWS,
    ) -> None:
        """Handle keys until `stop`, or until cancelled, which cancels the handlers too.

        The handler returns the seconds after which it wants to see the key again, or None. When it raises, the key is
        tried again later, and the error is logged. `about` gives the fields of all that is logged meanwhile. What
        was added more than `news` seconds ago is routine by now.
        """
        if self._stopping:
            return
        if self._workers:
            raise RuntimeError("a WorkQueue runs once")
        self._finished = self._clock()
        for key, wish in self._waiting.items():
            wish.since = self._finished  # until now nobody had promised to handle them
            if not wish.routine and wish.latest < self._finished - news:
                self._move(key, wish, routine=True)
        for number in range(workers):
            self._workers[asyncio.create_task(self._work(handler, about), name=f"worker-{number}")] = False
        try:
            await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self._stopping = True
            await self._end(self._workers)
        for worker in self._workers:
            if not worker.cancelled():
                worker.result()

    async def stop(self, grace: float = 30.0) -> None:
        """Start nothing more, give running handlers `grace` seconds to finish, then cancel them."""
        self._stopping = True
        for timer, _ in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._end([worker for worker, busy in self._workers.items() if not busy])
        if self._workers:
            await asyncio.wait(self._workers, timeout=grace)
        await self._end(self._workers)

    @property
    def depth(self) -> int:
        """Number of keys that wait for a worker, or to be run again."""
        return len(self._waiting)

    @property
    def oldest_age(self) -> float:
        """Seconds that the key that waits longest has waited; 0 when none does, or the queue does not run."""
        now = self._clock()
        return now - self._oldest(now) if self._workers else 0.0

    @property
    def blocked_for(self) -> float:
        """Seconds that a key has waited for its own handler, which still runs: it hangs, or nearly so. 0: none.

        A key that waits in line for a free worker is late, not blocked.
        """
        blocked = [wish.since for key, wish in self._waiting.items() if key in self._running]
        return self._clock() - min(blocked) if blocked else 0.0

    @property
    def stalled_for(self) -> float:
        """Seconds for which keys have waited while no handler came to an end: no progress; 0 when nothing waits.

        Also 0 as long as the queue does not run.
        """
        if not self._waiting or not self._workers:
            return 0.0
        return self._clock() - max(self._finished, self._oldest(self._finished))

    def _oldest(self, default: float) -> float:
        return min((wish.since for wish in self._waiting.values()), default=default)

    def _fire(self, key: K, routine: bool) -> None:
        del self._timers[key]
        self.add(key, routine=routine)

    def _line_up(self, key: K) -> None:
        (self._routine if self._waiting[key].routine else self._urgent)[key] = None
        self._ready.release()

    def _move(self, key: K, wish: _Wish, *, routine: bool) -> None:
        """From one kind to the other."""
        wish.routine = routine
        if key not in self._running:
            source, target = (self._urgent, self._routine) if routine else (self._routine, self._urgent)
            del source[key]
            target[key] = None

    def _next(self) -> tuple[K, bool]:
        """The key whose turn it is, and whether that is routine. There must be one."""
        self._taken += 1
        hurry = self._urgent and (self._taken % ROUTINE_SHARE or not self._routine)
        key, _ = (self._urgent if hurry else self._routine).popitem(last=False)
        return key, self._waiting.pop(key).routine

    async def _work(
        self, handler: Callable[[K], Awaitable[float | None]], about: Callable[[K], Mapping[str, str]]
    ) -> None:
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - for the type checker
        while not self._stopping:
            await self._ready.acquire()
            key, routine = self._next()
            self._running.add(key)
            self._workers[me] = True
            try:
                with bind(**about(key)):
                    await self._handle(key, routine, handler, me)
            finally:
                self._workers[me] = False
                self._finished = self._clock()
                self._running.remove(key)
                if key in self._waiting:
                    self._line_up(key)

    async def _handle(
        self, key: K, routine: bool, handler: Callable[[K], Awaitable[float | None]], me: asyncio.Task[None]
    ) -> None:
        try:
            delay = await handler(key)
        except Exception as error:  # noqa: BLE001 - one broken key must not stop the others
            self._back_off(key, error, routine=routine)
        except asyncio.CancelledError as error:
            if me.cancelling():
                raise
            self._back_off(key, error, routine=routine)  # not ours: something that the handler awaited was cancelled
        else:
            self._failures.pop(key, None)
            if delay is not None:
                self.add_after(key, delay)

    def _back_off(self, key: K, error: BaseException, *, routine: bool) -> None:
        """Plan another try, which gives way to others no more than the one that failed."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(BACKOFF_FIRST * 2 ** min(failures, 32), BACKOFF_MAX) * (1 + self._jitter() / 4)
        log.error("%s failed (%d in a row), next try in %.1f s", key, failures + 1, delay, exc_info=error)
        self.add_after(key, delay, routine=routine)

    @staticmethod
    async def _end(workers: Collection[asyncio.Task[None]]) -> None:
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)
