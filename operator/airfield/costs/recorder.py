"""Keeps the ledger: looks every second what has changed, and writes it a few seconds later, all of a tenant at once.

Nothing waits for it, and it waits for nothing. It starts from what the resources say now and from the last page of each
tenant; so what happened while nobody looked is recorded as of when it is seen.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Final

from airfield.costs import store
from airfield.costs.fleet import Charge, Fleet
from airfield.costs.ledger import Key, Page, Spent, Terms, advance, differs, month_of
from airfield.costs.usage import Usage
from airfield.kube.applier import few_at_a_time
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.task_pods import TaskPods

log = logging.getLogger(__name__)

LOOK: Final = 1.0
"""Seconds between two looks: what is recorded is exact to the second."""
GATHER: Final = 3.0
"""Seconds for which a tenant's changes are gathered before they are written."""
PATIENCE: Final = 30.0
"""Seconds until a write that failed is tried again."""
PARTING: Final = 5.0
"""Seconds that the last writes may take: the operator ends."""


@dataclass
class _Book:
    """A tenant's last page as it is in the cluster, and as it is to be."""

    page: Page
    """With all that was seen."""
    saved: Page | None
    """None as long as there is no page in the cluster."""
    version: str = ""
    due: dict[store.Name, Page] = field(default_factory=dict)
    """What is to be written, in order."""
    at: float = 0.0
    """When, in monotonic seconds."""


class Recorder:
    """One for each process; only the one that leads runs."""

    def __init__(
        self,
        kube: KubeClient,
        fleet: Fleet,
        tasks: TaskPods,
        usage: Usage,
        *,
        namespace: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._kube, self._fleet, self._tasks, self._usage = kube, fleet, tasks, usage
        self._namespace, self._clock = namespace, clock
        self._books: dict[str, _Book] = {}
        self._known: Mapping[Key, Charge] = {}
        self._begun = False
        """Whether it is known which tenants have a ledger."""
        self._unknown: set[str] = set()
        """Tenants whose last page has to be read (again)."""
        self._fresh: set[str] = set()
        """Tenants whose last page has just been read: whatever it has open may be gone."""
        self._looked: datetime | None = None
        """When it was looked last; None before the first look."""

    async def run(self) -> None:
        """Keep the ledger until cancelled; then write what there is."""
        try:
            while True:
                try:
                    await self._turn()
                except ApiError as error:
                    log.warning("the ledger cannot be read: %s; next try in %.0f s", error.message, PATIENCE)
                    await asyncio.sleep(PATIENCE)
                except Exception:
                    log.exception("the ledger was not kept; it is tried again")
                    self._unknown |= self._books.keys()
                    await asyncio.sleep(PATIENCE)
                await asyncio.sleep(LOOK)
        finally:
            if self._begun:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PARTING):
                        self._look(settle=True)
                        await self._write(everything=True)

    async def _turn(self) -> None:
        if not self._begun:
            self._unknown = set(await store.names(self._kube, self._namespace))
            self._begun = True
        await self._read()
        now, last = self._clock(), self._looked
        # Every full hour. Not when one begins to lead: nothing has changed by that.
        self._look(settle=last is not None and _hour(now) != _hour(last))
        await self._write()

    async def _read(self) -> None:
        """Read the last pages that have to be read."""

        async def one(tenant: str) -> None:
            known = (await store.names(self._kube, self._namespace, tenant)).get(tenant, set())
            self._books[tenant] = await self._open(tenant, known)
            self._unknown.discard(tenant)
            self._fresh.add(tenant)

        for result in await few_at_a_time(partial(one, tenant) for tenant in sorted(self._unknown)):
            if isinstance(result, BaseException):
                raise result

    async def _open(self, tenant: str, known: Iterable[store.Name]) -> _Book:
        """A tenant's last page, or an empty one after it."""
        last = max(known, default=(month_of(self._clock()), 0))
        try:
            found = await store.load(self._kube, self._namespace, tenant, last)
        except store.Unreadable as error:
            log.error("%s; another page is begun", error)  # noqa: TRY400 - the message says it all
            found = None
        if found is None:
            return _Book(Page(tenant, last[0], last[1] + 1, {}), None)
        return _Book(found[0], *found)

    def _look(self, *, settle: bool) -> None:
        """Record what has changed since the last look; with `settle` also what has come and gone."""
        charges, now = self._fleet.look(), self._clock()
        if charges is self._known and not settle and not self._fresh:
            self._looked = now
            return
        used_in = month_of(self._looked or now)  # what is settled in the first second of a month was used before
        tenants = {
            charge.tenant
            for key in charges.keys() | self._known.keys()
            for charge in (charges.get(key), self._known.get(key))
            if charge is not None and charges.get(key) != self._known.get(key)
        }
        tenants |= self._fresh | (self._books.keys() if settle else set())
        self._known, self._fresh, self._looked = charges, set(), now
        due: dict[str, dict[Key, Charge]] = {tenant: {} for tenant in tenants - self._unknown}
        for key, charge in charges.items():
            if charge.tenant in due:
                due[charge.tenant][key] = charge
        for tenant, of_tenant in due.items():
            self._record(tenant, of_tenant, now, used_in, settle=settle)
        if settle:
            self._usage.pending.clear()  # what is left was of environments that are gone

    def _record(self, tenant: str, charges: Mapping[Key, Charge], now: datetime, used_in: str, *, settle: bool) -> None:
        book = self._books.setdefault(tenant, _Book(Page(tenant, month_of(now), 1, {}), None))
        lasting: dict[Key, Terms] = {key: segment.terms for key, segment in book.page.open().items()}
        wanted = {key: self._fleet.fitted(charge, lasting.get(key)) for key, charge in charges.items()}
        if not settle and not differs(book.page, wanted):
            return
        pending = self._usage.pending
        used = {key: pending.pop(key) for key in lasting if key in pending}
        if not book.due:
            book.at = max(book.at, monotonic() + GATHER)
        for page in advance(book.page, now, wanted, self._ran, used, used_in):
            book.page = book.due[page.name] = page

    def _ran(self, key: Key, since: datetime, until: datetime) -> Spent:
        cpu, memory = self._tasks.ran(key, since, until)
        return Spent(cpu=cpu, memory=memory)

    async def _write(self, *, everything: bool = False) -> None:
        """Write the pages whose time has come."""
        now = monotonic()
        due = [book for book in self._books.values() if book.due and (everything or book.at <= now)]
        for result in await few_at_a_time(partial(self._save, book) for book in due):
            if isinstance(result, BaseException):
                raise result

    async def _save(self, book: _Book) -> None:
        """Write a tenant's pages; if that fails, it is tried again, after a look at what there is."""
        tenant = book.page.tenant
        try:
            while book.due:
                name, page = next(iter(book.due.items()))
                version = await store.save(self._kube, self._namespace, page, book.saved, book.version)
                if version is None:
                    self._unknown.add(tenant)
                    return
                book.saved, book.version = page, version
                del book.due[name]
        except ApiError as error:
            if error.conflict:
                self._unknown.add(tenant)
            else:
                book.at = monotonic() + PATIENCE
                log.warning("the ledger of tenant %s was not written: %s; it is tried again", tenant, error.message)


def _hour(now: datetime) -> datetime:
    """When the hour began."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
