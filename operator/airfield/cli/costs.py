"""`airfield costs`: what a month cost, by tenant, cost centre, both, or environment."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import click

from airfield.api.conditions import timestamp
from airfield.cli import cluster
from airfield.cli.output import Failure, Table, to_json
from airfield.costs import store
from airfield.costs.ledger import Page, bounds
from airfield.costs.report import NUMBERS, Line, chosen, grouped, report, telling_apart, total
from airfield.kube.client import KubeClient

HEADERS: Final = {
    "tenant": "TENANT",
    "cost_centre": "COST-CENTRE",
    "namespace": "NAMESPACE",
    "environment": "ENVIRONMENT",
    "stage": "STAGE",
    "class_name": "CLASS",
    "cpu_hours": "CPU-HOURS",
    "memory_gib_hours": "MEMORY-HOURS",
    "storage_gib_months": "STORAGE-MONTHS",
    "used_cpu_hours": "CPU-USED",
    "used_memory_gib_hours": "MEMORY-USED",
    "used_storage_gib_months": "STORAGE-USED",
    "cost": "COST",
    "currency": "CURRENCY",
}
"""In the order of the columns."""


async def costs(
    month: str, tenant: str | None, *, by: Collection[str], output: str, namespace: str, context: str | None
) -> None:
    """Print the report of a month."""
    now = datetime.now(UTC)
    if bounds(month)[0] > now:
        raise Failure(f"{month} has not begun yet")
    async with cluster.connect(context) as (kube, _):
        try:
            pages = await _pages(kube, namespace, tenant, month)
        except store.Unreadable as error:
            raise Failure(str(error)) from None
    lines = grouped(report(pages, month, now), by)
    if output == "json":
        click.echo(to_json(document(lines, month, min(now, bounds(month)[1]))))
    elif output == "csv":
        click.echo(as_csv(lines, by), nl=False)
    elif lines:
        for text in table(lines, by):
            click.echo(text)
    if not lines:
        whose = f"tenant {tenant!r} in " if tenant else ""
        click.echo(f"Nothing was recorded for {whose}{month} in namespace {namespace!r}.", err=True)
    elif bounds(month)[1] > now:
        click.echo(f"{month} is not over: this is what it cost until {timestamp(now)}.", err=True)


async def _pages(kube: KubeClient, namespace: str, tenant: str | None, month: str) -> list[Page]:
    """The pages that tell of the month."""
    found = []
    for owner, names in sorted((await store.names(kube, namespace, tenant)).items()):
        for name in chosen(names, month):
            loaded = await store.load(kube, namespace, owner, name)
            if loaded is not None:
                found.append(loaded[0])
    return found


def table(lines: Sequence[Line], by: Collection[str]) -> Iterator[str]:
    """The lines as columns, and below them their sum for each currency."""
    columns = _columns(by)
    rows = [[_cell(line, column) for column in columns] for line in lines]
    if len(lines) > 1:
        for each in _totals(lines):
            rows.append([_cell(each, column) if column in {*NUMBERS, "currency"} else "" for column in columns])
            rows[-1][0] = "TOTAL"
    yield from Table(*(HEADERS[column] for column in columns)).lines(rows)


def as_csv(lines: Sequence[Line], by: Collection[str]) -> str:
    """RFC 4180, without a sum: whoever reads it sums up."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    columns = _columns(by)
    writer.writerow(columns)
    for line in lines:
        writer.writerow([getattr(line, column) for column in columns])
    return text.getvalue()


def document(lines: Sequence[Line], month: str, until: datetime) -> dict[str, Any]:
    """The lines and their sums; numbers are strings, so that nothing rounds them."""
    return {
        "month": month,
        "until": timestamp(until),
        "lines": [_object(line) for line in lines],
        "totals": [_object(each) for each in _totals(lines)],
    }


def _columns(by: Collection[str]) -> list[str]:
    """What a line has: what it is told apart by, and all numbers."""
    return [column for column in HEADERS if column in {*telling_apart(by), *NUMBERS}]


def _totals(lines: Sequence[Line]) -> list[Line]:
    order = attrgetter("currency")
    return [total(list(found)) for _, found in groupby(sorted(lines, key=order), order)]


def _cell(line: Line, column: str) -> str:
    if column == "cost" and not line.currency:
        return "<none>"
    return str(getattr(line, column)) or "<none>"


def _object(line: Line) -> dict[str, str | None]:
    """As JSON says it: what a line sums up over is left out, and what has no price has no cost."""
    found = {name: value for name, value in asdict(line).items() if value is not None}
    if not line.currency:
        del found["cost"], found["currency"]
    return {_camel(name): str(value) for name, value in found.items()}


def _camel(name: str) -> str:
    first, *rest = name.removesuffix("_name").split("_")
    return first + "".join(map(str.capitalize, rest))
