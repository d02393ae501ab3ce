"""The benchmark's own arithmetic: what it calls a ratio, a percentile, a goal that is met."""

from collections import Counter

import pytest

from bench.fleet.campaign import Phase, Results
from bench.fleet.floor import Floor
from bench.fleet.operator import Reading
from bench.fleet.report import Fleet, render
from bench.fleet.trouble import Trouble
from bench.fleet.usage import Usage

CPU = {"kube-apiserver": 20.0, "etcd": 4.0, "kwok": 1.0, "kube-scheduler": 2.0}
PHASES = ("create", "idle", "change", "repair", "restart", "takeover", "delete")


def results(environments: int, seconds: float, peak: float, repairs: list[float]) -> Results:
    requests = Counter({("get", "Secret"): 5, ("apply", "Deployment"): 2, ("apply", "Lease"): 9})
    phase = Phase(
        seconds, Reading(Usage(3.0, 2.0, peak), requests, Counter({"ok": environments}), 5 * environments), CPU
    )
    return Results(environments, dict.fromkeys(PHASES, phase), seconds * 1.4, repairs, 0)


def floor(seconds: float) -> Floor:
    return Floor(1, seconds, seconds, seconds, 1.0, 2.0, 3.0)


@pytest.fixture(scope="module")
def rows() -> dict[str, list[list[str]]]:
    """The cells of each row of the table, of rows that have one title in order."""
    repairs = [1.0] * 97 + [2.0, 3.0, 9.0]
    measured = {10: (10.0, 100.0), 20: (40.0, 200.0), 30: (33.0, 300.0)}
    fleet = Fleet(
        {number: floor(float(number)) for number in measured},
        {number: results(number, *figures, repairs) for number, figures in measured.items()},
    )
    found: dict[str, list[list[str]]] = {}
    for line in render(fleet, {"machine": "a quick one"}, 0.0).splitlines():
        if line.startswith("| "):
            title, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found.setdefault(title, []).append(cells)
    return found


GROWTH = "… per environment, of that in the smallest fleet"


@pytest.mark.parametrize(
    ("title", "nth", "cells"),
    [
        ("operator: all Ready, s", 0, ["10.0", "40.0", "33.0", ""]),
        ("… of the floor until all is available", 0, ["1.00", "2.00", "1.10", "≤ 1.5: met"]),
        (GROWTH, 0, ["1.00", "1.00", "1.00", ""]),
        (GROWTH, 2, ["1.00", "2.00", "1.10", "≤ 1.2: met"]),
        ("… of the floor until all is applied", 0, ["1.40", "2.80", "1.54", "≤ 1.5: missed"]),
        ("… passes of the reconcile per environment", 0, ["5.0", "5.0", "5.0", ""]),
        ("… CPU s: API server / etcd / controllers and simulated nodes", 0, ["20 / 4 / 3"] * 3 + [""]),
        ("… API requests", 0, ["16", "16", "16", ""]),
        ("most memory of the operator's process, MiB", 0, ["100", "200", "300", "≤ 256: missed"]),
        ("two idle minutes: writes", 0, ["2", "2", "2", "0: missed"]),
        ("… share of one core", 0, ["2.5 %", "2.5 %", "2.5 %", "≤ 2 %: missed"]),
        ("repair of a deleted Deployment, p50 s", 0, ["1.00", "1.00", "1.00", ""]),
        ("… p99 s", 0, ["9.00", "9.00", "9.00", "≤ 5: missed"]),
        ("… leftovers", 0, ["0", "0", "0", "0: met"]),
    ],
)
def test_a_row(rows: dict[str, list[list[str]]], title: str, nth: int, cells: list[str]) -> None:
    assert rows[title][nth] == cells


def test_troubles_are_shared_out() -> None:
    names = [f"airflow-{number}" for number in range(200)]
    trouble = Trouble(slow=10, failing=5, huge=1)
    slow, failing, huge = trouble.slow_ones(names), trouble.failing_ones(names), trouble.huge_ones(names)
    assert (len(slow), len(failing), len(huge)) == (20, 10, 2)
    assert len({*slow, *failing, *huge}) == 32
    assert trouble.slow_ones(names) == slow
    assert not Trouble()
