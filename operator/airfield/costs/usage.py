"""What environments use: their pods, where a metrics server says so, and their volumes, where kubelets may be asked."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from time import monotonic
from typing import Any

from airfield.api import meta
from airfield.api.quantity import measured
from airfield.costs.ledger import Key, Spent
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.inventory import Inventory, environment_of
from airfield.kube.kinds import POD_METRICS
from airfield.kube.kubelets import Kubelets

log = logging.getLogger(__name__)

Amounts = dict[Key, Spent]
"""Cores and bytes by environment."""


@dataclass
class Source:
    """Somebody who knows something of it."""

    what: str
    """What it knows, as the log says it."""
    ask: Callable[[], Awaitable[tuple[Amounts, Sequence[ApiError]]]]
    """What is used now, and why some of it is not known."""
    complaint: str = field(default="", init=False)
    """What was said last."""


class Usage:
    """The latest measurement, and what has come together since the ledger was told."""

    def __init__(self, sources: Sequence[Source], seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        """`seconds`: between two measurements, each of which stands for the time since the one before."""
        self._sources, self._seconds, self._clock = sources, seconds, clock
        self._measured: float | None = None
        self.now: Amounts = {}
        self.pending: dict[Key, Spent] = {}
        """Core-seconds and byte-seconds."""

    async def run(self) -> None:
        """Measure until cancelled."""
        while self._seconds:
            try:
                await self.measure()
            except Exception:
                log.exception("what environments use was not measured; it is tried again")
            await asyncio.sleep(self._seconds)

    async def measure(self) -> None:
        """Ask everybody once."""
        found: Amounts = {}
        for amounts in await asyncio.gather(*map(self._asked, self._sources)):
            for key, amount in amounts.items():
                found[key] = found.get(key, Spent()) + amount
        now, before = self._clock(), self._measured
        # A process that was stopped for an hour does not know what was used in it.
        lasted = self._seconds if before is None else min(now - before, 2 * self._seconds)
        self.now, self._measured = found, now
        for key, amount in found.items():
            self.pending[key] = self.pending.get(key, Spent()) + amount.times(Decimal(str(round(lasted, 3))))

    @staticmethod
    async def _asked(source: Source) -> Amounts:
        """A cluster without a metrics server is none to speak of: then nothing is known to be used."""
        try:
            amounts, failures = await source.ask()
        except ApiError as error:
            absent = error.not_found or error.status == 503  # 503: registered, and not running
            amounts, failures = {}, [] if absent else [error]
        complaint = failures[0].message if failures else ""
        if complaint and complaint != source.complaint:
            log.warning("%s is not known: %s", source.what, complaint)
        source.complaint = complaint
        return amounts


def of_pods(kube: KubeClient) -> Source:
    """The metrics server, if there is one."""

    async def ask() -> tuple[Amounts, Sequence[ApiError]]:
        return used(await kube.list(POD_METRICS, label_selector=meta.LABEL_ENVIRONMENT)), ()

    return Source("what pods use", ask)


def of_volumes(kubelets: Kubelets, inventory: Inventory) -> Source:
    """All kubelets; of those that do not answer nothing is known."""

    async def ask() -> tuple[Amounts, Sequence[ApiError]]:
        filled, failures = await kubelets.filled()
        found: Amounts = {}
        for claim, size in filled.items():
            known = inventory.find(claim)
            if known is not None:
                found[known[0]] = found.get(known[0], Spent()) + Spent(storage=Decimal(size))
        return found, failures

    return Source("what some volumes hold", ask)


def used(pods: Iterable[Mapping[str, Any]]) -> Amounts:
    """What pods use, as the metrics server says it."""
    found: Amounts = {}
    for pod in pods:
        key = environment_of(pod)
        if key is None:
            continue
        for container in pod.get("containers") or ():
            usage = container.get("usage") or {}
            amount = Spent(cpu=measured(usage.get("cpu", "0")), memory=measured(usage.get("memory", "0")))
            found[key] = found.get(key, Spent()) + amount
    return found
