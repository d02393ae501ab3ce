"""Keeps a cache like a collection of the API server: LIST, then WATCH, for ever.

For the objects of environments, of which a large fleet has a hundred thousand: a page at a time, nothing kept but what
the sink keeps. As long as the watch goes well, each later list only asks which versions there are, and what is not
known in that version is read. Our own resources are watched through kopf.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airfield.kube.client import KubeClient
    from airfield.kube.kinds import Kind

log = logging.getLogger(__name__)

WATCH_SECONDS = 300.0
"""How long one watch lasts; then the next goes on where it ended."""
PAUSE_FIRST, PAUSE_MAX = 0.5, 30.0
"""Seconds after a failure: doubling from the first to the most."""
UNSERVED_PAUSE = 5.0
"""Seconds until it is looked again whether the API server serves a kind by now."""
FEW = 20
"""Objects that are read one by one; if more of them are not as the watch said, all are listed."""
BURST = 50
"""Events after which others have their turn."""


class Sink(Protocol):
    """What takes the objects in."""

    def seen(self, obj: Mapping[str, Any]) -> None:
        """An object is there, new or changed; or it was there all along."""

    def gone(self, obj: Mapping[str, Any]) -> None:
        """An object is gone; its last state."""

    def knows(self, ref: Ref, version: str) -> bool:
        """Whether an object was taken in in that very resourceVersion."""

    def listed(self, kind: Kind, namespace: str, refs: Collection[Ref], version: str) -> None:
        """Whatever else of that kind (in that namespace, if it is not "") was older than `version` is gone."""


class Reflector:
    """One kind of object, in one namespace or in all."""

    def __init__(
        self,
        kube: KubeClient,
        kind: Kind,
        sink: Sink,
        *,
        namespace: str = "",
        label_selector: str = "",
        metadata_only: bool = False,
        resync_seconds: float = 600.0,
        on_event: Callable[[str], None] = lambda _: None,
        on_served: Callable[[bool], None] | None = None,
    ) -> None:
        """`resync_seconds`: after so long it is looked whether all is as the watch said.

        `on_event` is told the kind of each object that an event of the watch speaks of. `on_served` is for a kind that
        the API server may not know: told after each look whether it does; while it does not, there are no objects.
        """
        self._kube, self._kind, self._sink = kube, kind, sink
        self._namespace, self._selector, self._metadata_only = namespace, label_selector, metadata_only
        self._resync, self._on_event, self._on_served = resync_seconds, on_event, on_served
        self._version = ""
        self._trusted = False
        """Whether the watch has told all since the last list, as far as it knows."""
        self._due = 0.0
        self.filled = asyncio.Event()
        self.listed_at = time.monotonic()
        """When the collection was last listed with success, or the reflector made."""
        self.heard_at = time.monotonic()
        """When a watch was last granted or said something; likewise. One that hangs is cut off by its timeout."""

    async def run(self) -> None:
        """List and watch until cancelled. No failure ends it."""
        pause = PAUSE_FIRST
        while True:
            try:
                if not self._version or time.monotonic() >= self._due:
                    await (self._compare() if self._trusted else self._list())
                await self._watch()
                pause = PAUSE_FIRST
            except ApiError as error:
                self._trusted = False
                if error.gone:
                    self._version = ""  # what came meanwhile is forgotten by the server: list anew, at once
                    continue
                if error.not_found and self._on_served is not None:
                    self._nothing(self._on_served)
                    await asyncio.sleep(UNSERVED_PAUSE * random.uniform(1, 1.25))  # noqa: S311 - jitter
                    continue
                log.warning("watching %s: %s; next try in %.1f s", self._kind.plural, error.message, pause)
            except Exception:
                log.exception("watching %s failed; next try in %.1f s", self._kind.plural, pause)
                self._trusted, self._version = False, ""
            else:
                continue
            await asyncio.sleep(pause * random.uniform(1, 1.25))  # noqa: S311 - jitter
            pause = min(pause * 2, PAUSE_MAX)

    async def _list(self) -> None:
        """Take in all that there is."""
        refs, version = set[Ref](), ""
        pages = self._kube.pages(self._kind, self._namespace, self._selector, metadata_only=self._metadata_only)
        async for objects, latest in pages:
            version = latest
            for obj in objects:
                refs.add(Ref.of(obj))
                self._sink.seen(obj)
            await asyncio.sleep(0)
        self._listed(refs, version)

    async def _compare(self) -> None:
        """Take in what the watch has not told: to read all of a large fleet takes many times as long."""
        refs, strange, version = set[Ref](), list[Ref](), ""
        async for objects, latest in self._kube.versions(self._kind, self._namespace, self._selector):
            version = latest
            refs.update(ref for ref, _ in objects)
            strange += [ref for ref, of in objects if not self._sink.knows(ref, of)]
            await asyncio.sleep(0)
        if len(strange) > FEW or (strange and self._metadata_only):
            await self._list()
            return
        for ref in strange:
            obj = await self._kube.get(ref)
            if obj is not None:  # if it is gone by now, the watch will tell
                self._sink.seen(obj)
        self._listed(refs, version)

    def _listed(self, refs: Collection[Ref], version: str) -> None:
        """Take in that there is nothing else."""
        if self._on_served is not None:
            self._on_served(True)
        self._sink.listed(self._kind, self._namespace, refs, version)
        self._version, self._trusted = version, True
        self.listed_at = time.monotonic()
        # Not all kinds at the same time: that would be a burst of work every ten minutes.
        self._due = self.listed_at + self._resync * random.uniform(0.75, 1.25)  # noqa: S311
        self.filled.set()

    def _nothing(self, on_served: Callable[[bool], None]) -> None:
        """Take in that the API server does not know the kind: whatever there was of it is gone with its definition."""
        on_served(False)
        self._sink.listed(self._kind, self._namespace, (), "")
        self._version = ""
        self.listed_at = self.heard_at = time.monotonic()
        self.filled.set()

    async def _watch(self) -> None:
        seconds = min(WATCH_SECONDS, max(self._due - time.monotonic(), 1.0)) * random.uniform(0.8, 1)  # noqa: S311
        count = 0
        async for event in self._kube.watch(
            self._kind,
            self._namespace,
            self._selector,
            version=self._version,
            seconds=seconds,
            metadata_only=self._metadata_only,
            on_open=self._heard,
        ):
            kind, obj = event["type"], event["object"]
            if kind != "BOOKMARK":
                self._on_event(self._kind.kind)
                (self._sink.gone if kind == "DELETED" else self._sink.seen)(obj)
            self._version = obj["metadata"]["resourceVersion"]
            self._heard()
            count += 1
            if count % BURST == 0:
                await asyncio.sleep(0)

    def _heard(self) -> None:
        self.heard_at = time.monotonic()
