"""What the pods of environments use, where a metrics server says so."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from airfield.api import meta
from airfield.api.quantity import measured
from airfield.costs.ledger import Key, Spent
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.inventory import environment_of
from airfield.kube.kinds import POD_METRICS

log = logging.getLogger(__name__)


class Usage:
    """The latest measurement, and what has come together since the ledger was told."""

    def __init__(self, kube: KubeClient, seconds: float) -> None:
        """`seconds`: between two measurements, each of which stands for the time since the one before."""
        self._kube, self._seconds = kube, seconds
        self._complaint = ""
        self.now: dict[Key, Spent] = {}
        """Cores and bytes."""
        self.pending: dict[Key, Spent] = {}
        """Core-seconds and byte-seconds."""

    async def run(self) -> None:
        """Measure until cancelled."""
        while self._seconds:
            try:
                await self.measure()
            except Exception:
                log.exception("what pods use was not measured; it is tried again")
            await asyncio.sleep(self._seconds)

    async def measure(self) -> None:
        """Ask once. A cluster without a metrics server is none to speak of: then nothing is known to be used."""
        try:
            self.now = used(await self._kube.list(POD_METRICS, label_selector=meta.LABEL_ENVIRONMENT))
            self._complaint = ""
        except ApiError as error:
            self.now = {}
            absent = error.not_found or error.status == 503  # 503: registered, and not running
            if not absent and error.message != self._complaint:
                log.warning("what pods use is not known: %s", error.message)
            self._complaint = error.message
        for key, amount in self.now.items():
            spent = Spent(cpu=amount.cpu * Decimal(self._seconds), memory=amount.memory * Decimal(self._seconds))
            self.pending[key] = self.pending.get(key, Spent()) + spent


def used(pods: Iterable[Mapping[str, Any]]) -> dict[Key, Spent]:
    """Cores and bytes by environment."""
    found: dict[Key, Spent] = {}
    for pod in pods:
        key = environment_of(pod)
        if key is None:
            continue
        for container in pod.get("containers") or ():
            usage = container.get("usage") or {}
            amount = Spent(cpu=measured(usage.get("cpu", "0")), memory=measured(usage.get("memory", "0")))
            found[key] = found.get(key, Spent()) + amount
    return found
