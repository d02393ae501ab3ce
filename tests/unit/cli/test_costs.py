"""`airfield costs`: columns, sums, files for other programs."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airfield.cli.costs import as_csv, document, table
from airfield.cli.output import to_json
from airfield.costs.ledger import Page, Segment, Spent, Terms
from airfield.costs.report import grouped, report

from .conftest import Airfield

NOVEMBER, DECEMBER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
GIB = 1024**3
EUR = {"currency": "EUR", "cpu_hour": "0.04", "memory_gib_hour": "0.005", "storage_gib_month": "0.1"}


def segment(cpu: str = "1", **changes: Any) -> Segment:
    values = {"uid": "1", "cpu": cpu, "memory": 2 * GIB, "storage": 10 * GIB, "class_name": "standard", "stage": "dev"}
    return Segment(since=NOVEMBER, terms=Terms.model_validate({**values, **EUR, **changes}))


PAGES = [
    Page(
        "a",
        "2026-11",
        1,
        {
            ("team-a", "demo"): (segment(cost_centre="cc-1"),),
            ("team-a", "etl"): (segment("2", cost_centre="cc-2", stage="prod"),),
        },
    ),
    Page(
        "b",
        "2026-11",
        1,
        {
            ("team-b", "demo"): (segment(cost_centre="cc-1"),),
            ("team-b", "swiss"): (segment(currency="CHF"),),
            ("team-b", "free"): (segment(currency="", cpu_hour="0", memory_gib_hour="0", storage_gib_month="0"),),
        },
    ),
]
LINES = report(PAGES, "2026-11", DECEMBER)


def test_table() -> None:
    assert (
        "\n".join(table(grouped(LINES, ["tenant"]), ["tenant"]))
        == """\
TENANT   CPU-HOURS   MEMORY-HOURS   STORAGE-MONTHS   CPU-USED   MEMORY-USED   STORAGE-USED   COST       CURRENCY
a        2160.0000   2880.0000      19.7260          0.0000     0.0000        0.0000         102.7726   EUR
b        720.0000    1440.0000      9.8630           0.0000     0.0000        0.0000         <none>     <none>
b        720.0000    1440.0000      9.8630           0.0000     0.0000        0.0000         36.9863    CHF
b        720.0000    1440.0000      9.8630           0.0000     0.0000        0.0000         36.9863    EUR
TOTAL    720.0000    1440.0000      9.8630           0.0000     0.0000        0.0000         <none>     <none>
TOTAL    720.0000    1440.0000      9.8630           0.0000     0.0000        0.0000         36.9863    CHF
TOTAL    2880.0000   4320.0000      29.5890          0.0000     0.0000        0.0000         139.7589   EUR"""
    )


def test_columns() -> None:
    (head, *_) = table(grouped(LINES, ["cost-centre"]), ["cost-centre"])
    assert head.split()[:2] == ["COST-CENTRE", "CPU-HOURS"]
    both = ["cost-centre", "tenant"]
    head, *rows = table(grouped(LINES, both), both)
    assert head.split()[:3] == ["TENANT", "COST-CENTRE", "CPU-HOURS"]
    told = [row.split()[:2] for row in rows if not row.startswith("TOTAL")]
    assert told == [["a", "cc-1"], ["a", "cc-2"], ["b", "<none>"], ["b", "<none>"], ["b", "cc-1"]]
    head, first, *_ = table(LINES, ["environment"])
    assert head.split()[:6] == ["TENANT", "COST-CENTRE", "NAMESPACE", "ENVIRONMENT", "STAGE", "CLASS"]
    assert first.split()[:6] == ["a", "cc-1", "team-a", "demo", "dev", "standard"]


def test_one_line_is_its_own_sum() -> None:
    lines = grouped([line for line in LINES if line.tenant == "a"], ["tenant"])
    assert [text.split()[0] for text in table(lines, ["tenant"])] == ["TENANT", "a"]


@pytest.mark.parametrize("by", [["tenant"], ["cost-centre"], ["tenant", "cost-centre"], ["environment"]], ids="+".join)
def test_what_is_shown_adds_up(by: list[str]) -> None:
    """In each currency, as the digits stand there."""
    rows = list(csv.DictReader(io.StringIO(as_csv(grouped(LINES, by), by))))
    euros = sum(Decimal(row["cost"]) for row in rows if row["currency"] == "EUR")
    totals = {each.get("currency"): each for each in document(grouped(LINES, by), "2026-11", DECEMBER)["totals"]}
    assert str(euros) == totals["EUR"]["cost"] == "139.7589"


def test_csv() -> None:
    text = as_csv(grouped(LINES, ["cost-centre"]), ["cost-centre"])
    assert text.split("\r\n")[0].startswith("cost_centre,cpu_hours,memory_gib_hours,storage_gib_months,")
    assert "cc-2,1440.0000,1440.0000,9.8630,0.0000,0.0000,0.0000,65.7863,EUR\r\n" in text


def test_json() -> None:
    found = json.loads(to_json(document(grouped(LINES, ["tenant"]), "2026-11", DECEMBER)))
    assert (found["month"], found["until"]) == ("2026-11", "2026-12-01T00:00:00Z")
    assert found["lines"][0] == {
        "tenant": "a",
        "currency": "EUR",
        "cpuHours": "2160.0000",
        "memoryGibHours": "2880.0000",
        "storageGibMonths": "19.7260",
        "usedCpuHours": "0.0000",
        "usedMemoryGibHours": "0.0000",
        "usedStorageGibMonths": "0.0000",
        "cost": "102.7726",
    }
    assert "cost" not in found["lines"][1], "no price, no cost"
    by_environment = document(LINES, "2026-11", DECEMBER)["lines"][0]
    assert by_environment["class"] == "standard"


def example() -> list[Page]:
    """The ledger of docs/costs.md."""
    prices = {"cpu_hour": "0.03", "memory_gib_hour": "0.004", "storage_gib_month": "0.10", "cost_centre": "4711"}
    grew, began, ended = (NOVEMBER + timedelta(days=day, hours=hours) for day, hours in ((14, 12), (2, 9), (4, 17.5)))
    before = segment("2", stage="prod", memory=4 * GIB, storage=20 * GIB, **prices)
    after = segment("4", stage="prod", memory=4 * GIB, storage=20 * GIB, **prices)
    trial = segment("0.5", uid="2", **prices)
    spent = {"tasks": Spent(cpu=Decimal(36000), memory=Decimal(72000 * GIB))}
    held = Decimal(9) * GIB * 86400 * 30
    spent["used"] = Spent(cpu=Decimal(1900000), memory=Decimal(5000000) * GIB, storage=held)
    entries = {
        ("team-a-dev", "reports"): (
            before.model_copy(update={"until": grew}),
            after.model_copy(update={"since": grew, **spent}),
        ),
        ("team-a-dev", "trial"): (trial.model_copy(update={"since": began, "until": ended}),),
    }
    return [Page("team-a", "2026-11", 1, entries)]


@pytest.mark.parametrize("by", [["tenant"], ["environment"]], ids="+".join)
def test_the_example_of_the_page(by: list[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "costs.md").read_text(encoding="utf-8")
    assert "\n".join(table(grouped(report(example(), "2026-11", DECEMBER), by), by)) in page


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "november", "26-11", "2026-11-01", ""])
def test_what_is_no_month(airfield: Airfield, month: str) -> None:
    result = airfield("costs", "--month", month)
    assert result.exit_code == 2
    assert f"{month!r} is not a month such as 2026-11" in result.stderr


def test_a_month_to_come(airfield: Airfield) -> None:
    result = airfield("costs", "--month", "9998-12")
    assert result.exit_code == 1
    assert "9998-12 has not begun yet" in result.stderr
