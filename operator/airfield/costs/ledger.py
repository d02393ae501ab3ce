"""The ledger as data: who requested what, from when to when, at which prices. Pure.

A tenant has a chain of pages. A page begins with what is open on the page before, so that it can be read alone; what
was closed stays where it was closed. Only what is requested, or its price or labels, makes a new segment: while nothing
changes nothing is written, not even when a month ends.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, TypeAdapter

from airfield.api.base import Model

Key = tuple[str, str]
"""Namespace and name of an environment."""
Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
NOTHING: Final = Decimal(0)
SECOND: Final = timedelta(seconds=1)
FULL: Final = 1500
"""Segments after which another page is begun: a ConfigMap holds 1 MiB, and a segment takes about 400 bytes."""
CLOSED: Final = 250
"""So many of them must have an end: those that last are taken along."""


class Spent(Model):
    """What came and went, summed up: core-seconds and byte-seconds."""

    cpu: Amount = NOTHING
    memory: Amount = NOTHING
    storage: Amount = NOTHING

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(cpu=self.cpu + other.cpu, memory=self.memory + other.memory, storage=self.storage + other.storage)

    def times(self, seconds: Decimal) -> "Spent":
        """So much for so many seconds."""
        return Spent(cpu=self.cpu * seconds, memory=self.memory * seconds, storage=self.storage * seconds)

    def __bool__(self) -> bool:
        return bool(self.cpu or self.memory or self.storage)


class Terms(Model):
    """What an environment requests, whom it is charged to, and the prices."""

    uid: str
    """Tells the environment from an earlier one of its name."""
    cpu: Amount
    """Cores."""
    memory: Amount
    """Bytes."""
    storage: Amount
    """Bytes."""
    class_name: str
    stage: str
    cost_centre: str = ""
    currency: str = ""
    """Empty where the class has no prices."""
    cpu_hour: Amount = NOTHING
    memory_gib_hour: Amount = NOTHING
    storage_gib_month: Amount = NOTHING


class Segment(Model):
    """A time in which nothing changed, in whole seconds; without an end as long as it lasts."""

    since: AwareDatetime
    until: AwareDatetime | None = None
    terms: Terms
    tasks: Spent = Spent()
    """What other pods than the components' requested, within the page's month."""
    counted: AwareDatetime | None = None
    """Up to when they are in `tasks`."""
    used: Spent = Spent()
    """What all pods used, and what volumes held, as far as it was measured, within the page's month."""


Segments = tuple[Segment, ...]
Ran = Callable[[Key, datetime, datetime], Spent]
"""What pods of tasks requested between two instants."""
_ENTRY: Final = TypeAdapter(Segments)


@dataclass(frozen=True)
class Page:
    """A page of a tenant's ledger."""

    tenant: str
    month: str
    """As `2026-11`."""
    number: int
    """Within the month."""
    entries: Mapping[Key, Segments]

    @property
    def name(self) -> tuple[str, int]:
        """Sorts the pages of a tenant."""
        return self.month, self.number

    def open(self) -> dict[Key, Segment]:
        """What lasts."""
        return {key: segments[-1] for key, segments in self.entries.items() if segments and segments[-1].until is None}


def written(segments: Segments) -> str:
    """An entry as it is kept. Exact: numbers are strings."""
    return _ENTRY.dump_json(segments, by_alias=True, exclude_defaults=True).decode()


def read(entry: str) -> Segments:
    """The same back; ValueError if it is no entry."""
    return _ENTRY.validate_json(entry)


def is_full(page: Page) -> bool:
    """Whether another page is to be begun."""
    segments = sum(map(len, page.entries.values()))
    return segments >= FULL and segments - len(page.open()) >= CLOSED


def month_of(now: datetime) -> str:
    """The month, in UTC."""
    return now.astimezone(UTC).strftime("%Y-%m")


def bounds(month: str) -> tuple[datetime, datetime]:
    """When a month begins and ends, in UTC; ValueError if it is none."""
    begin = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    return begin, (begin + timedelta(days=31)).replace(day=1)


def differs(page: Page, wanted: Mapping[Key, Terms]) -> bool:
    """Whether there is something to record."""
    return {key: segment.terms for key, segment in page.open().items()} != wanted


def advance(
    page: Page, now: datetime, wanted: Mapping[Key, Terms], ran: Ran, used: Mapping[Key, Spent], used_in: str
) -> Iterator[Page]:
    """Record what is wanted as of `now`, and what came and went until then: the pages that are changed by it, in order.

    The past stays as it is, whatever a clock says: a time before the page's month counts as the month's beginning.
    `used_in` is the month in which all that is in `used` was used, as exactly as the recorder looks.
    """
    now = max(now.replace(microsecond=0), bounds(page.month)[0])
    used_of = {min(max(used_in, page.month), month_of(now)): used}
    current, before = page, page
    while current.month < month_of(now):
        end = bounds(current.month)[1]
        current = settled(current, end, ran, used_of.get(current.month, {}))
        if current is not before:
            yield current
        current = before = Page(current.tenant, month_of(end), 1, _carried(current))
    if is_full(current):
        current = before = replace(current, number=current.number + 1, entries=_carried(current))
    current = recorded(settled(current, now, ran, used_of.get(current.month, {})), now, wanted, ran)
    if current is not before:
        yield current


def _carried(page: Page) -> dict[Key, Segments]:
    """What the next page begins with."""
    return {
        key: (segment.model_copy(update={"tasks": Spent(), "used": Spent()}),) for key, segment in page.open().items()
    }


def settled(page: Page, until: datetime, ran: Ran, used: Mapping[Key, Spent]) -> Page:
    """The page with what came and went until then; itself if that is nothing."""
    changed: dict[Key, Segments] = {}
    for key, segment in page.open().items():
        after = _counted(page, key, segment, until, ran)
        if used.get(key):
            after = after.model_copy(update={"used": after.used + used[key]})
        if after is not segment:
            changed[key] = (*page.entries[key][:-1], after)
    return replace(page, entries={**page.entries, **changed}) if changed else page


def _counted(page: Page, key: Key, segment: Segment, until: datetime, ran: Ran) -> Segment:
    """The segment with what tasks requested in it until then."""
    begin = max(filter(None, (segment.since, segment.counted, bounds(page.month)[0])))
    spent = ran(key, begin, until) if begin < until else Spent()
    return segment.model_copy(update={"tasks": segment.tasks + spent, "counted": until}) if spent else segment


def recorded(page: Page, now: datetime, wanted: Mapping[Key, Terms], ran: Ran) -> Page:
    """The page after segments were closed and begun; itself if nothing changed. No segment is shorter than a second."""
    lasting = page.open()
    changed: dict[Key, Segments] = {}
    for key in lasting.keys() | wanted.keys():
        last, want = lasting.get(key), wanted.get(key)
        if (last.terms if last else None) == want:
            continue
        segments, begin = page.entries.get(key, ()), now
        if last is not None:
            begin = max(now, last.since + SECOND)
            closed = _counted(page, key, last, begin, ran).model_copy(update={"until": begin})
            segments = (*segments[:-1], closed)
        elif segments:
            begin = max(filter(None, (now, segments[-1].until)))
        if want is not None:
            segments = (*segments, Segment(since=begin, terms=want))
        changed[key] = segments
    return replace(page, entries={**page.entries, **changed}) if changed else page
