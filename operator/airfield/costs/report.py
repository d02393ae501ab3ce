"""What a month cost, out of the ledger. Pure, and exact until the one place where it is rounded."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, Final

from airfield.costs.ledger import Key, Page, Segment, bounds

HOUR: Final = 3600
MONTH: Final = 730 * HOUR
"""Seconds of the month that a price of storage is for."""
GIBI: Final = 1024**3
PLACES: Final = 4
"""Decimal places of all that is reported."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is reported by itself: an environment, as long as it was charged to the same."""

    tenant: str
    cost_centre: str
    namespace: str
    environment: str
    stage: str
    class_name: str
    currency: str
    """Empty where there was no price."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one item, in the units of the prices. What is requested has that of tasks in it."""

    cpu_hours: Fraction = Fraction(0)
    memory_gib_hours: Fraction = Fraction(0)
    storage_gib_months: Fraction = Fraction(0)
    used_cpu_hours: Fraction = Fraction(0)
    used_memory_gib_hours: Fraction = Fraction(0)
    used_storage_gib_months: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Sums)))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a report. Names that a line sums up over are None."""

    tenant: str | None
    cost_centre: str | None
    namespace: str | None
    environment: str | None
    stage: str | None
    class_name: str | None
    currency: str
    cpu_hours: Decimal
    memory_gib_hours: Decimal
    storage_gib_months: Decimal
    used_cpu_hours: Decimal
    used_memory_gib_hours: Decimal
    used_storage_gib_months: Decimal
    cost: Decimal


NUMBERS: Final = tuple(each.name for each in fields(Sums))
NAMES: Final = tuple(each.name for each in fields(Item))
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "tenant": ("tenant", "currency"),
    "cost-centre": ("cost_centre", "currency"),
    "environment": NAMES,
}
"""What lines are told apart by; by several of them, by all that any of them names."""


def report(pages: Iterable[Page], month: str, now: datetime) -> list[Line]:
    """The lines of a month by environment, sorted; of a month that is not over, until now."""
    begin, end = bounds(month)
    measured = measure(pages, month, begin, min(end, now))
    return [_line(item, measured[item]) for item in sorted(measured, key=attrgetter(*NAMES))]


def _line(item: Item, sums: Sums) -> Line:
    values: dict[str, Any] = {name: getattr(item, name) for name in NAMES}
    return Line(**values | {name: _rounded(getattr(sums, name)) for name in NUMBERS})


def _rounded(value: Fraction) -> Decimal:
    """The one place where anything is rounded: half to even. What is summed up afterwards stays exact."""
    return Decimal(round(value * 10**PLACES)).scaleb(-PLACES)


def telling_apart(by: Collection[str]) -> tuple[str, ...]:
    """What lines are told apart by, where they are by some of GROUPS together."""
    return tuple(name for name in NAMES if any(name in GROUPS[each] for each in by))


def grouped(lines: Iterable[Line], by: Collection[str]) -> list[Line]:
    """The lines summed up by some of GROUPS, so that they come to the same, however they are grouped."""
    telling = telling_apart(by)
    order = attrgetter(*telling)
    groups = [list(found) for _, found in groupby(sorted(lines, key=order), order)]
    return [replace(total(group), **{name: getattr(group[0], name) for name in telling}) for group in groups]


def total(lines: Sequence[Line]) -> Line:
    """The sum of lines of one currency."""
    values: dict[str, Any] = {**dict.fromkeys(NAMES), "currency": lines[0].currency}
    zero = Decimal(0).scaleb(-PLACES)
    return Line(**values | {name: sum((getattr(line, name) for line in lines), zero) for name in NUMBERS})


def chosen(names: Iterable[tuple[str, int]], month: str) -> list[tuple[str, int]]:
    """Which pages of a tenant tell of a month: its own; or, where nothing has changed in it, the last one before."""
    past = sorted(name for name in names if name[0] <= month)
    return [name for name in past if name[0] == month] or past[-1:]


def measure(pages: Iterable[Page], month: str, begin: datetime, end: datetime) -> dict[Item, Sums]:
    """What was requested between two instants of a month; tasks and use with all that is known of the month."""
    found: dict[Item, Sums] = {}
    ledgers: dict[str, dict[tuple[str, int], Page]] = {}
    for page in pages:
        ledgers.setdefault(page.tenant, {})[page.name] = page
    for tenant, ledger in ledgers.items():
        latest: dict[tuple[Key, datetime], Segment] = {}
        for name in chosen(ledger, month):
            for key, segments in ledger[name].entries.items():
                for segment in segments:
                    latest[key, segment.since] = segment  # what was open on the page before
                    if name[0] == month:
                        _add(found, tenant, key, segment, _spent(segment))
        after: dict[Key, datetime] = {}
        for (key, since), segment in sorted(latest.items(), key=itemgetter(0), reverse=True):
            # One that lasts ends where the next one begins: an operator that could not read it has begun another page.
            _add(found, tenant, key, segment, _requested(segment, begin, min(end, after.get(key, end))))
            after[key] = since
    return found


def _add(found: dict[Item, Sums], tenant: str, key: Key, segment: Segment, sums: Sums) -> None:
    if sums == Sums():
        return
    terms = segment.terms
    item = Item(tenant, terms.cost_centre, *key, terms.stage, terms.class_name, terms.currency)
    found[item] = found.get(item, Sums()) + sums


def _requested(segment: Segment, begin: datetime, end: datetime) -> Sums:
    """What components and volumes requested between two instants."""
    start, stop = max(segment.since, begin), min(segment.until or end, end)
    seconds = max(0, int((stop - start).total_seconds()))
    terms = segment.terms
    return _priced(segment, terms.cpu * seconds, terms.memory * seconds, terms.storage * seconds)


def _spent(segment: Segment) -> Sums:
    """What tasks requested, and what all pods and volumes used: use has no price."""
    used = segment.used
    return replace(
        _priced(segment, segment.tasks.cpu, segment.tasks.memory, Decimal(0)),
        used_cpu_hours=Fraction(used.cpu) / HOUR,
        used_memory_gib_hours=Fraction(used.memory) / GIBI / HOUR,
        used_storage_gib_months=Fraction(used.storage) / GIBI / MONTH,
    )


def _priced(segment: Segment, cpu: Decimal, memory: Decimal, storage: Decimal) -> Sums:
    """Core-seconds and byte-seconds in the units of the prices, and what they cost."""
    terms = segment.terms
    cpu_hours, memory_hours = Fraction(cpu) / HOUR, Fraction(memory) / GIBI / HOUR
    storage_months = Fraction(storage) / GIBI / MONTH
    cost = (
        cpu_hours * Fraction(terms.cpu_hour)
        + memory_hours * Fraction(terms.memory_gib_hour)
        + storage_months * Fraction(terms.storage_gib_month)
    )
    return Sums(cpu_hours, memory_hours, storage_months, cost=cost)
