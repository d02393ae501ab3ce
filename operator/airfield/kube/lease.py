"""The Lease that all replicas of the operator share: who holds it may write."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airfield.kube.errors import ApiError
from airfield.kube.kinds import LEASE, Ref
from airfield.runtime.leadership import Fence, Move, Record, Seen, Timing, decide, seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from airfield.kube.client import KubeClient

NAME = "airfield"

log = logging.getLogger(__name__)

Object = dict[str, Any]


class Lease:
    """Looks at the Lease, takes it when it is free, and renews it. `kube` is a client without a fence."""

    def __init__(
        self,
        kube: KubeClient,
        *,
        namespace: str,
        identity: str,
        seconds: float,
        fence: Fence,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`identity` tells this replica from all others; a restarted container may have the one that it had before."""
        self._kube = kube
        self._ref = Ref(LEASE.api_version, LEASE.kind, namespace, NAME)
        self._identity = identity
        self._timing = Timing(seconds)
        self._fence = fence
        self._clock = clock
        self._live: Object | None = None
        self._seen: Seen | None = None
        self._attempted = clock()
        self._complaint = ""
        self.held = asyncio.Event()
        """Set as soon as this replica leads."""

    @property
    def looked(self) -> bool:
        """Whether the Lease has been seen: only who has seen it knows how long a holder must be waited for."""
        return self._seen is not None

    @property
    def silent_for(self) -> float:
        """Seconds since the last attempt to look or to renew came to an end, whichever way."""
        return self._clock() - self._attempted

    async def hold(self) -> None:
        """Take the Lease when it is free and keep it, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._within(self._timing.patience)):
                    delay = await self._step()
                self._complaint = ""
            except (ApiError, TimeoutError) as error:
                self._complain(error.message if isinstance(error, ApiError) else "no answer in time")
                self._live = None  # whether a write was done is not known
                delay = self._timing.look / 2 if self._fence.leading else self._timing.look
            self._attempted = self._clock()
            await asyncio.sleep(self._within(delay))
            self._fence.check()  # also when nobody writes

    def _within(self, seconds: float) -> float:
        """`seconds`, or less if the fence closes before."""
        return min(seconds, self._fence.left) if self._fence.leading else seconds

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            left = f" ({self._fence.left:.1f} s are left)" if self._fence.leading else ""
            log.warning("no access to the Lease%s: %s", left, why)
        self._complaint = why

    async def release(self) -> None:
        """Let another replica lead at once. Call it when nothing writes any more, and `hold` has ended."""
        if not self._fence.leading:
            return
        self._fence.close()
        try:
            async with asyncio.timeout(self._timing.patience):
                self._live = await self._kube.get(self._ref)
                if self._live is not None and _record(self._live).holder == self._identity:
                    await self._write({"holderIdentity": None, "renewTime": _now()})
                    log.info("released the Lease")
        except (ApiError, TimeoutError) as error:
            log.warning("the Lease was not released, it will run out: %s", error)

    async def _step(self) -> float:
        """One look and what follows from it; the seconds until the next."""
        if self._live is None or not self._fence.leading:
            self._live = await self._kube.get(self._ref)
            self._seen = seen(self._seen, None if self._live is None else _record(self._live), self._clock())
        assert self._seen is not None  # noqa: S101 - for the type checker
        move, delay = decide(self._identity, self._seen, self._clock(), self._timing, leading=self._fence.leading)
        if move is Move.YIELD:
            self._fence.lost("another replica has taken the Lease")
        if move is Move.WAIT:
            return delay
        asked = self._clock()
        live = await (self._create() if move is Move.CREATE else self._write(self._claim(move)))
        if live is None:  # somebody was faster
            self._live = None
            return 0.0
        self._live, self._seen = live, seen(self._seen, _record(live), self._clock())
        self._fence.extend(asked + self._timing.deadline)
        if not self.held.is_set():
            log.info("this replica leads: %s", self._identity)
            self.held.set()
        return self._timing.renewal

    def _claim(self, move: Move) -> Object:
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._timing.lease),
            "renewTime": _now(),
        }
        if move is Move.RENEW:
            return spec
        before = ((self._live or {}).get("spec") or {}).get("leaseTransitions") or 0
        return {**spec, "acquireTime": spec["renewTime"], "leaseTransitions": before + 1}

    async def _create(self) -> Object | None:
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace}
        spec = self._claim(Move.CREATE)
        return await self._kube.create(
            {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
        )

    async def _write(self, spec: Object) -> Object | None:
        """Change the Lease if it is still as we know it; None if it is not."""
        assert self._live is not None  # noqa: S101 - for the type checker
        version = self._live["metadata"]["resourceVersion"]
        try:
            return await self._kube.patch(self._ref, {"metadata": {"resourceVersion": version}, "spec": spec})
        except ApiError as error:
            if error.conflict:
                return None
            raise


def _record(live: Object) -> Record:
    spec = live.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
        seconds=float(spec.get("leaseDurationSeconds") or 0),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
