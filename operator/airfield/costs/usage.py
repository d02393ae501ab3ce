"""What environments use: their pods, where a metrics server says so, and their volumes, where kubelets may be asked."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from time import monotonic
from typing import Any

from airfield.api import meta
from airfield.api.quantity import measured
from airfield.costs.ledger import Key, Spent
from airfield.kube.client import KubeClient
from airfield.kube.credentials import Credentials
from airfield.kube.errors import ApiError
from airfield.kube.inventory import Inventory, environment_of
from airfield.kube.kinds import POD_METRICS
from airfield.kube.kubelets import Kubelets
from airfield.settings import Settings

log = logging.getLogger(__name__)

Amounts = dict[Key, Spent]
"""Cores and bytes by environment, or the same times seconds."""


@dataclass
class Source:
    """Somebody who knows something of it, and what was learnt."""

    what: str
    """What it knows, as the log says it."""
    ask: Callable[[], Awaitable[tuple[Amounts, Sequence[ApiError]]]]
    """What is used now, and why some of it is not known."""
    now: Amounts = field(default_factory=dict, init=False)
    measured: float | None = field(default=None, init=False)
    """When it was asked last."""
    complaint: str = field(default="", init=False)
    """What was said last."""


class Usage:
    """The latest measurement, and what has come together since the ledger was told."""

    def __init__(self, sources: Sequence[Source], seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        """`seconds`: between two measurements, each of which stands for the time since the one before."""
        self._sources, self._seconds, self._clock = sources, seconds, clock
        self.pending: dict[Key, Spent] = {}
        """Core-seconds and byte-seconds."""

    @property
    def now(self) -> Amounts:
        """What is used now, as far as anybody knows."""
        return _together(source.now for source in self._sources)

    async def run(self) -> None:
        """Measure until cancelled."""
        if self._seconds:
            await asyncio.gather(*map(self._follow, self._sources))

    async def _follow(self, source: Source) -> None:
        """By itself: what one says must not wait for another that is slow."""
        while True:
            await self.measure(source)
            await asyncio.sleep(self._seconds)

    async def measure(self, source: Source) -> None:
        """Ask one of them; of what it does not know nothing is known to be used."""
        try:
            source.now, failures = await source.ask()
        except ApiError as error:
            source.now, failures = {}, [error]
        except Exception:
            log.exception("%s: the answer is not understood; it is asked again", source.what)
            source.now, failures = {}, ()
        complaint = failures[0].message if failures else ""
        if complaint and complaint != source.complaint:
            log.warning("%s is not known: %s", source.what, complaint)
        now, before = self._clock(), source.measured
        source.complaint, source.measured = complaint, now
        lasted = Decimal(str(round(self._seconds if before is None else now - before, 3)))
        self.pending = _together([self.pending, {key: amount.times(lasted) for key, amount in source.now.items()}])


def _together(amounts: Iterable[Amounts]) -> Amounts:
    """The sum."""
    found: Amounts = {}
    for each in amounts:
        for key, amount in each.items():
            found[key] = found.get(key, Spent()) + amount
    return found


def sources(settings: Settings, access: Credentials, kube: KubeClient, inventory: Inventory) -> Iterator[Source]:
    """All who know something."""
    yield of_pods(kube)
    if settings.statistics_account:
        trust = (access.trust or ssl.create_default_context()) if settings.kubelets_verified else None
        kubelets = Kubelets(kube, settings.namespace, settings.statistics_account, verified_by=trust)
        yield of_volumes(kubelets, inventory)


def of_pods(kube: KubeClient) -> Source:
    """The metrics server. A cluster without one is none to speak of."""

    async def ask() -> tuple[Amounts, Sequence[ApiError]]:
        try:
            return used(await kube.list(POD_METRICS, label_selector=meta.LABEL_ENVIRONMENT)), ()
        except ApiError as error:
            if error.not_found or error.status == 503:  # 503: registered, and not running
                return {}, ()
            raise

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
