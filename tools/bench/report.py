"""The results as a section of docs/benchmarks.md and as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import sections
from bench.ready import Runs
from bench.serving import MILESTONES
from bench.setup import Variant
from demo.platform import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"


def write(name: str, section: str, content: Mapping[str, Any]) -> Path:
    """Put a section between its markers in the document, and its data into a file beside; the path of the document."""
    sections.fill(DOCUMENT, name, section)
    data = DOCUMENT.with_suffix("") / f"{name}.json"
    data.parent.mkdir(exist_ok=True)
    data.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return DOCUMENT


def render(runs: Runs, variants: Sequence[Variant], facts: Mapping[str, str], *, rounds: int, load: float) -> str:
    """The section, in Markdown."""
    base = next((variant for variant in variants if variant.goal is None), None)
    lines = [
        "| | least | median | of plain | goal | CPU seconds, median |",
        "|---|---|---|---|---|---|",
        *(_row(runs, variant, base) for variant in variants),
        "",
        f"| seconds until, median | {' | '.join(MILESTONES)} |",
        "|---|" + "---|" * len(MILESTONES),
        *(_steps(runs, variant) for variant in variants),
        "",
        f"{rounds} rounds, in changing order, after one that does not count.",
        "",
        *about_load(load),
        "",
        "; ".join(f"{name}: {value}" for name, value in facts.items()) + ".",
    ]
    return "\n".join(lines)


def about_load(load: float) -> list[str]:
    """What else the machine had to do, and whether that was too much."""
    warning = [f"**The machine was busy when this was measured (load {load:.1f}).**", ""] if busy(load) else []
    return [*warning, f"Load average at the start: {load:.2f}."]


def busy(load: float) -> bool:
    """Whether something else ran, so that the figures tell little."""
    return load > 1


def _row(runs: Runs, variant: Variant, base: Variant | None) -> str:
    seconds = runs.seconds(variant)
    ratio = runs.ratio(variant, base) if base else None
    share = "" if ratio is None else f"{ratio:.2f}"
    goal = ""
    if variant.goal is not None and ratio is not None:
        goal = f"≤ {variant.goal}: {'met' if ratio <= variant.goal else 'missed'}"
    cells = [
        variant.title,
        f"{min(seconds):.1f} s",
        f"{median(seconds):.1f} s",
        share,
        goal,
        f"{runs.cpu(variant):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _steps(runs: Runs, variant: Variant) -> str:
    found = [runs.seconds(variant, milestone) for milestone in MILESTONES]
    return f"| {variant.title} | {' | '.join(f'{median(each):.1f}' if each else '-' for each in found)} |"
