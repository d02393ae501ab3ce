"""Applies the objects of one owner, a few at a time, and takes over nothing that is somebody else's."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref
from airfield.kube.ownership import digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from airfield.kube.client import KubeClient
    from airfield.kube.inventory import Inventory, Key

log = logging.getLogger(__name__)

AT_A_TIME: Final = 4
"""Objects of one owner that are written or deleted side by side: a quarter of the connections.

So an admission webhook that is slow with them leaves connections for others.
"""
T = TypeVar("T")
Manifest = dict[str, Any]


async def few_at_a_time(deeds: Iterable[Callable[[], Awaitable[T]]]) -> list[T | BaseException]:
    """What each deed came to, in their order; each is begun when it is among the few."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def one(deed: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            return await deed()

    return await asyncio.gather(*map(one, deeds), return_exceptions=True)


@dataclass(frozen=True)
class Applier:
    """Writes the objects that an inventory has under a key."""

    kube: KubeClient
    inventory: Inventory
    key: Key
    owner: str
    """As messages say it: `this environment`."""
    is_ours: Callable[[Mapping[str, Any]], bool]
    """Whether a live object that the inventory does not know is the owner's all the same."""

    async def apply(self, manifests: Iterable[Manifest]) -> dict[Ref, str]:
        """Apply those that are missing, wanted differently or touched by others; what was refused, and why.

        Raises:
            ApiError: when the API server is not there, or overloaded.
        """
        pending = [manifest for manifest in manifests if self.inventory.needs_apply(self.key, manifest)]
        results = await few_at_a_time(partial(self._apply_one, manifest) for manifest in pending)
        news = sorted(str(result) for result in results if isinstance(result, Ref))
        if news:
            log.info("applied %d objects: %s", len(news), ", ".join(news))
        refusals: dict[Ref, str] = {}
        for manifest, result in zip(pending, results, strict=True):
            if isinstance(result, ApiError) and not result.transient:
                refusals[Ref.of(manifest)] = result.message
            elif isinstance(result, BaseException):
                raise result
        return refusals

    async def _apply_one(self, manifest: Manifest) -> Ref | None:
        """Apply an object; None when that was only to learn what is there, as after a restart."""
        ref = Ref.of(manifest)
        known = ref in self.inventory.children(self.key)
        live = await (self.kube.apply(manifest) if known else self.make(manifest))
        news = self.inventory.applied(self.key, ref) is not None or not known
        self.inventory.record_applied(self.key, live, digest(manifest))
        return ref if news else None

    async def make(self, manifest: Manifest) -> Mapping[str, Any]:
        """Apply an object that nobody is known to have made; one of its name that exists all the same must be ours."""
        live = await self.kube.apply_new(manifest)
        if live is not None:
            return live
        present = await self.kube.get(Ref.of(manifest))
        if present is not None:
            self.refuse_foreign(present)
        return await self.kube.apply(manifest)

    def refuse_foreign(self, live: Mapping[str, Any]) -> None:
        """ApiError when an object that has a name of ours is somebody else's."""
        if not self.is_ours(live):
            said = f"{Ref.of(live)} exists and does not belong to {self.owner}; remove or rename it"
            raise ApiError(409, "Conflict", said)
