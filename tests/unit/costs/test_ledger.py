"""The ledger and the report: nothing is lost, nothing is counted twice, the past stays as it was."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.costs import ledger
from airfield.costs.ledger import (
    Key,
    Page,
    Segment,
    Segments,
    Spent,
    Terms,
    advance,
    bounds,
    differs,
    month_of,
    read,
    written,
)
from airfield.costs.report import NUMBERS, Line, Sums, chosen, grouped, measure, report, total

START = datetime(2026, 11, 1, tzinfo=UTC)
DEMO: Key = ("team-a", "demo")
EMPTY = Page("team", "2026-11", 1, {})
PRICES = {"currency": "EUR", "cpu_hour": "0.04", "memory_gib_hour": "0.005", "storage_gib_month": "0.10"}
GIB = 1024**3


def terms(uid: str = "1", cpu: str = "0.5", **changes: Any) -> Terms:
    return Terms.model_validate(
        {"uid": uid, "cpu": cpu, "memory": 2 * GIB, "storage": 10 * GIB, "class_name": "standard", "stage": "dev"}
        | PRICES
        | changes
    )


def idle(_: Key, since: datetime, until: datetime) -> Spent:
    assert since < until
    return Spent()


class Chain:
    """A tenant's ledger as an operator keeps it, and the pages that came of it, as a cluster keeps them."""

    def __init__(self, first: Page = EMPTY) -> None:
        self.last = first
        self.pages: dict[tuple[str, int], Page] = {}

    def see(self, now: datetime, wanted: Mapping[Key, Terms], **spent: Any) -> list[Page]:
        """Record something; what is written for it."""
        ran, used, used_in = spent.get("ran", idle), spent.get("used", {}), spent.get("used_in", month_of(now))
        found = list(advance(self.last, now, wanted, ran, used, used_in))
        for page in found:
            self.last = self.pages[page.name] = page
        return found

    def restart(self) -> None:
        """Read it anew, as whoever leads next does."""
        kept = {
            name: replace(page, entries={key: read(written(entry)) for key, entry in page.entries.items()})
            for name, page in self.pages.items()
        }
        assert kept == self.pages
        self.last = max(kept.values(), key=attrgetter("name"), default=self.last)

    def lines(self, month: str, now: datetime) -> list[Line]:
        return report(self.pages.values(), month, now)

    def segments(self, key: Key = DEMO) -> Segments:
        """All segments of an environment, over all pages, with what is known of them last."""
        found = {each.since: each for _, page in sorted(self.pages.items()) for each in page.entries.get(key, ())}
        return tuple(found.values())


def at(**delta: float) -> datetime:
    return START + timedelta(**delta)


def test_a_month() -> None:
    """Created, resized, deleted: three days, in which nothing else is written."""
    chain = Chain()
    assert len(chain.see(at(days=1), {DEMO: terms()})) == 1
    assert [differs(chain.last, each) for each in ({DEMO: terms()}, {DEMO: terms("2")}, {})] == [False, True, True]
    assert chain.see(at(days=1, hours=5), {DEMO: terms()}) == []
    assert len(chain.see(at(days=2), {DEMO: terms(cpu="1.5")})) == 1
    assert len(chain.see(at(days=4), {})) == 1
    assert chain.see(at(days=5), {}) == []
    (line,) = chain.lines("2026-11", at(days=20))
    assert (line.tenant, line.namespace, line.environment, line.currency) == ("team", "team-a", "demo", "EUR")
    hours = 24 * Decimal("0.5") + 48 * Decimal("1.5")
    assert line.cpu_hours == hours == 84
    assert line.memory_gib_hours == 2 * 72
    assert line.storage_gib_months == Decimal("0.9863")  # 10 GiB x 72 h / 730 h
    # 84 x 0.04 + 144 x 0.005 + 0.98630136… x 0.10
    assert line.cost == Decimal("4.1786")


def test_to_the_second() -> None:
    chain = Chain()
    chain.see(at(seconds=10, milliseconds=900), {DEMO: terms(cpu="3600")})
    chain.see(at(seconds=17, milliseconds=100), {})
    (line,) = chain.lines("2026-11", at(days=1))
    assert line.cpu_hours == 7


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"cpu_hour": "0.08"}, 1),
        ({"cost_centre": "other"}, 2),
        ({"class_name": "large"}, 2),
        ({"currency": "USD"}, 2),
        ({"uid": "2"}, 1),
    ],
)
def test_what_begins_a_segment(change: Mapping[str, str], lines: int) -> None:
    """Prices, labels, another environment of the same name: what was before keeps its price."""
    chain = Chain()
    chain.see(START, {DEMO: terms()})
    chain.see(at(hours=2), {DEMO: terms(**change)})
    before, after = chain.segments()
    assert (before.until, after.since, after.until) == (at(hours=2), at(hours=2), None)
    found = chain.lines("2026-11", at(hours=3))
    assert len(found) == lines
    assert sum(line.cpu_hours for line in found) == Decimal("1.5")


def test_months_that_nothing_is_written_in() -> None:
    """An environment that nobody touches costs the same in each month, and no write."""
    chain = Chain()
    chain.see(at(days=15), {DEMO: terms(cpu="1")})
    assert chain.see(at(days=80), {DEMO: terms(cpu="1")}) == []
    hours = {month: chain.lines(month, at(days=100))[0].cpu_hours for month in ("2026-11", "2026-12", "2027-01")}
    assert hours == {"2026-11": 15 * 24, "2026-12": 31 * 24, "2027-01": 31 * 24}
    assert chain.lines("2026-10", at(days=100)) == []
    (page,) = chain.see(datetime(2027, 1, 11, tzinfo=UTC), {})
    assert page.name == ("2027-01", 1)
    assert len(chain.pages) == 2, "the first page was left as it was"
    after = {month: chain.lines(month, at(days=100))[0].cpu_hours for month in hours}
    assert after == {**hours, "2027-01": 10 * 24}


def test_a_clock_that_goes_back() -> None:
    """Whoever leads next has another clock: nothing is shorter than a second, nothing is in the past."""
    chain = Chain()
    chain.see(at(hours=10), {DEMO: terms()})
    chain.see(at(hours=9), {DEMO: terms(cpu="1")})
    chain.see(at(hours=-9), {})
    first, second = chain.segments()
    assert (first.since, first.until) == (at(hours=10), at(hours=10, seconds=1))
    assert (second.since, second.until) == (at(hours=10, seconds=1), at(hours=10, seconds=2))
    chain.see(at(hours=1), {DEMO: terms(cpu="2")})
    assert chain.segments()[-1].since == at(hours=10, seconds=2)
    other = ("team-a", "other")
    chain.see(at(days=-1), {other: terms()})
    assert chain.segments(other)[0].since == START, "a month before the page's is over"


def pods(*spans: tuple[datetime, datetime]) -> Any:
    """What tasks of one core and 1 byte ran, as `TaskPods` tells it."""

    def ran(key: Key, since: datetime, until: datetime) -> Spent:
        assert key == DEMO
        seconds = sum(max(0, int((min(b, until) - max(a, since)).total_seconds())) for a, b in spans)
        return Spent(cpu=Decimal(seconds), memory=Decimal(seconds))

    return ran


def test_tasks_are_counted_once() -> None:
    ran = pods((at(hours=1), at(hours=3)), (at(hours=4), at(hours=5)))
    chain = Chain()
    chain.see(START, {DEMO: terms(cpu="0")})
    assert chain.see(at(minutes=30), {DEMO: terms(cpu="0")}, ran=ran) == [], "nothing has run yet"
    chain.see(at(hours=2), {DEMO: terms(cpu="0")}, ran=ran)
    chain.restart()
    assert chain.see(at(hours=2), {DEMO: terms(cpu="0")}, ran=ran) == []
    chain.see(at(hours=4, minutes=30), {DEMO: terms(cpu="0", cost_centre="late")}, ran=ran)
    chain.see(at(hours=6), {}, ran=ran)
    assert [(line.cost_centre, line.cpu_hours) for line in chain.lines("2026-11", at(days=1))] == [
        ("", Decimal("2.5")),
        ("late", Decimal("0.5")),
    ]


def test_tasks_of_a_month_are_of_no_other() -> None:
    """Also where the page of a month tells of the next one, in which nothing changed."""
    chain = Chain()
    chain.see(START, {DEMO: terms(cpu="0")})
    used = {DEMO: Spent(cpu=Decimal(7200))}
    chain.see(at(hours=3), {DEMO: terms(cpu="0")}, ran=pods((at(hours=1), at(hours=3))), used=used)
    (november,), (december,) = (chain.lines(month, at(days=100)) for month in ("2026-11", "2026-12"))
    assert [november.cpu_hours, november.used_cpu_hours] == [2, 2]
    assert [december.cpu_hours, december.used_cpu_hours] == [0, 0]


def test_tasks_over_the_end_of_a_month() -> None:
    """Each month has its part, however late anybody looks."""
    december, january = bounds("2026-12")
    ran = pods((december - timedelta(hours=2), january + timedelta(hours=1)))
    chain = Chain()
    chain.see(START, {DEMO: terms(cpu="0")})
    chain.see(january + timedelta(hours=5), {DEMO: terms(cpu="0")}, ran=ran)
    hours = {month: chain.lines(month, at(days=100))[0].cpu_hours for month in ("2026-11", "2026-12", "2027-01")}
    assert hours == {"2026-11": 2, "2026-12": 31 * 24, "2027-01": 1}


@pytest.mark.parametrize(
    ("used_in", "hours"),
    [
        ("2026-10", [2, 0, 0]),
        ("2026-11", [2, 0, 0]),
        ("2026-12", [0, 2, 0]),
        ("2027-01", [0, 0, 2]),
        ("2027-02", [0, 0, 2]),
    ],
)
def test_use_is_of_the_month_that_it_was_in(used_in: str, hours: list[int]) -> None:
    """Not of the last month in which anything else was written; nor, if a clock is wrong, of one that is not there."""
    chain = Chain()
    chain.see(START, {DEMO: terms()})
    used = {DEMO: Spent(cpu=Decimal(7200))}
    (page,) = chain.see(bounds("2026-12")[1] + timedelta(hours=1), {DEMO: terms()}, used=used, used_in=used_in)
    assert page.open()[DEMO].used == used[DEMO]
    months = ("2026-11", "2026-12", "2027-01")
    assert [chain.lines(month, at(days=100))[0].used_cpu_hours for month in months] == hours


def test_what_one_could_not_read_for_a_while_is_charged_once() -> None:
    """Another page was begun, without what lasts on the first."""
    chain = Chain()
    chain.see(START, {DEMO: terms()})
    (other,) = advance(Page("team", "2026-11", 2, {}), at(hours=2), {DEMO: terms()}, idle, {}, "2026-11")
    (line,) = report([*chain.pages.values(), other], "2026-11", at(hours=6))
    assert line.cpu_hours == 6 * Decimal("0.5")


def test_use_has_no_price() -> None:
    chain = Chain()
    chain.see(START, {DEMO: terms()})
    plain = chain.lines("2026-11", at(hours=1))[0]
    used = Spent(cpu=Decimal(1800), memory=Decimal(GIB * 3600), storage=Decimal(GIB * 3600 * 73))
    chain.see(at(hours=1), {DEMO: terms()}, used={DEMO: used})
    line = chain.lines("2026-11", at(hours=1))[0]
    assert [line.used_cpu_hours, line.used_memory_gib_hours] == [Decimal("0.5"), 1]
    assert line.used_storage_gib_months == Decimal("0.1")
    assert (line.cost, line.cpu_hours) == (plain.cost, plain.cpu_hours)


@pytest.mark.parametrize(("seconds", "cost"), [(45, "0.0000"), (54, "0.0001"), (135, "0.0002"), (225, "0.0002")])
def test_where_it_is_rounded(seconds: int, cost: str) -> None:
    """To a ten-thousandth, half to even: 90 s of a core at 0.004 an hour are one."""
    chain = Chain()
    price = {"cpu_hour": "0.004", "memory_gib_hour": "0", "storage_gib_month": "0"}
    chain.see(START, {DEMO: terms(cpu="1", **price)})
    assert str(chain.lines("2026-11", at(seconds=seconds))[0].cost) == cost


def test_a_full_page_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "FULL", 6)
    monkeypatch.setattr(ledger, "CLOSED", 3)
    chain, ran = Chain(), pods((START, at(hours=24)))
    for hour in range(24):
        chain.see(at(hours=hour), {DEMO: terms(cpu=str(hour % 3))}, ran=ran)
    chain.see(at(hours=24), {}, ran=ran)
    assert len(chain.pages) > 3
    assert all(sum(map(len, page.entries.values())) <= 7 for page in chain.pages.values())
    (line,) = chain.lines("2026-11", at(days=3))
    assert line.cpu_hours == 24 + 24  # a core on the average, and as much of tasks
    assert line.memory_gib_hours == Decimal(2 * 24)


def test_many_that_last_fit_on_a_page() -> None:
    """What lasts is taken along: were that reason enough for another page, each change would make one."""
    chain = Chain()
    fleet = {("team-a", f"env-{number}"): terms(str(number)) for number in range(1, 1601)}
    chain.see(START, fleet)
    chain.see(at(hours=1), {**fleet, DEMO: terms()})
    assert set(chain.pages) == {("2026-11", 1)}


@pytest.mark.parametrize(
    ("names", "month", "found"),
    [
        ([], "2026-11", []),
        ([("2026-09", 1), ("2026-10", 1), ("2026-10", 2)], "2026-11", [("2026-10", 2)]),
        ([("2026-11", 2), ("2026-11", 1), ("2026-10", 1)], "2026-11", [("2026-11", 1), ("2026-11", 2)]),
        ([("2026-12", 1)], "2026-11", []),
        ([("2026-11", 10), ("2026-11", 9)], "2026-12", [("2026-11", 10)]),
    ],
)
def test_which_pages_tell_of_a_month(names: list[tuple[str, int]], month: str, found: list[tuple[str, int]]) -> None:
    assert chosen(names, month) == found


NAMES = st.sampled_from([DEMO, ("team-a", "other"), ("team-b", "demo")])
WANTED = st.dictionaries(NAMES, st.builds(terms, st.sampled_from("12"), st.sampled_from(["0.1", "2"])))
STORY = st.lists(st.tuples(st.integers(1, 40 * 86400), WANTED, st.booleans()), min_size=1, max_size=12)


def told(story: Iterable[tuple[int, Mapping[Key, Terms], bool]]) -> tuple[Chain, dict[Key, Fraction], datetime]:
    """A story of changes and restarts: the ledger, and how many core-seconds there were, added up plainly."""
    chain, now, spent = Chain(), START, dict[Key, Fraction]()
    before: Mapping[Key, Terms] = {}
    for seconds, wanted, restarts in story:
        for key, each in before.items():
            spent[key] = spent.get(key, Fraction(0)) + Fraction(each.cpu) * seconds
        now += timedelta(seconds=seconds)
        chain.see(now, wanted)
        if restarts:
            chain.restart()
        before = wanted
    return chain, spent, now


def months(chain: Chain, now: datetime) -> list[str]:
    begins = [START + timedelta(days=day) for day in range((now - START).days + 2)]
    return sorted({month_of(each) for each in begins} | {page.month for page in chain.pages.values()})


@given(STORY)
def test_no_gap_and_no_overlap(story: list[tuple[int, dict[Key, Terms], bool]]) -> None:
    chain, spent, now = told(story)
    found: dict[Key, Fraction] = {}
    for month in months(chain, now):
        for item, sums in measure(chain.pages.values(), month, bounds(month)[0], min(now, bounds(month)[1])).items():
            key = (item.namespace, item.environment)
            found[key] = found.get(key, Fraction(0)) + sums.cpu_hours * 3600
            assert sums.cost >= 0
    assert found == {key: seconds for key, seconds in spent.items() if seconds}
    for key in spent:
        segments = chain.segments(key)
        for before, after in pairwise(segments):
            assert before.until is not None
            assert before.since < before.until <= after.since


@given(STORY, st.integers(0, 30 * 86400))
def test_a_month_is_the_sum_of_its_parts(story: list[tuple[int, dict[Key, Terms], bool]], seconds: int) -> None:
    chain, _, _ = told(story)
    begin, end = bounds("2026-11")
    middle = begin + timedelta(seconds=seconds)
    whole, *parts = (
        measure(chain.pages.values(), "2026-11", *times) for times in ((begin, end), (begin, middle), (middle, end))
    )
    summed: dict[Any, Sums] = {}
    for part in parts:
        for item, sums in part.items():
            summed[item] = summed.get(item, Sums()) + sums
    assert summed == whole


@given(STORY, STORY)
def test_the_past_stays_as_it_was(
    story: list[tuple[int, dict[Key, Terms], bool]], later: list[tuple[int, dict[Key, Terms], bool]]
) -> None:
    """Whatever happens later: what has an end is never changed, and months that are over cost what they did."""
    chain, _, now = told(story)
    over = [month for month in months(chain, now) if bounds(month)[1] <= now]
    before = {month: chain.lines(month, now) for month in over}
    closed = {(key, each.since): each for key in ALL for each in chain.segments(key) if each.until}
    for seconds, wanted, _ in later:
        now += timedelta(seconds=seconds)
        chain.see(now, wanted)
    assert {month: chain.lines(month, now) for month in over} == before
    after = {(key, each.since): each for key in ALL for each in chain.segments(key)}
    assert closed.items() <= after.items()


ALL = [DEMO, ("team-a", "other"), ("team-b", "demo")]


@given(STORY)
def test_however_it_is_grouped_it_is_the_same_sum(story: list[tuple[int, dict[Key, Terms], bool]]) -> None:
    chain, _, now = told(story)
    lines = chain.lines(month_of(now), now)
    sums = [grouped(lines, by) for by in (["environment"], ["tenant"], ["cost-centre"], ["tenant", "cost-centre"])]
    assert sums[0] == lines
    for name in NUMBERS:
        assert len({getattr(total(each), name) for each in sums if each}) <= 1
        assert all(getattr(line, name).as_tuple().exponent == -4 for each in sums for line in each)


def test_an_entry_that_is_none() -> None:
    for text in ("", "{}", '[{"since":"2026-11-01T00:00:00"}]', '[{"since":"2026-11-01T00:00:00Z","terms":{}}]'):
        with pytest.raises(ValueError, match="validation error"):
            read(text)


def test_what_is_written_is_short_and_exact() -> None:
    entry: Segments = (Segment(since=START, terms=terms(cpu="0.35")),)
    text = written(entry)
    assert '"cpu":"0.35"' in text
    assert '"since":"2026-11-01T00:00:00Z"' in text
    assert "tasks" not in text
    assert len(text) < 330
