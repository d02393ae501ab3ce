"""Seconds from `kubectl apply` to serving, for each way to get an Airflow; one at a time, in changing order."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.setup import Bench, Say, Variant

SERVES_SECONDS = 600


@dataclass(frozen=True)
class Run:
    """One measurement."""

    variant: str
    round: int
    cpu: float
    """CPU seconds of the whole node until it served."""
    milestones: dict[str, float]
    """Seconds from `kubectl apply`."""


@dataclass
class Runs:
    """All measurements that count."""

    runs: list[Run] = field(default_factory=list)

    def seconds(self, variant: Variant, milestone: str = "serving") -> list[float]:
        """One number per round; empty if the variant has no such milestone."""
        return [
            run.milestones[milestone]
            for run in self.runs
            if run.variant == variant.name and milestone in run.milestones
        ]

    def cpu(self, variant: Variant) -> float:
        """Median."""
        return median(run.cpu for run in self.runs if run.variant == variant.name)

    def ratio(self, variant: Variant, base: Variant) -> float | None:
        """Ratio of the medians."""
        ours, theirs = self.seconds(variant), self.seconds(base)
        return median(ours) / median(theirs) if ours and theirs else None


def measure(bench: Bench, variants: Sequence[Variant], rounds: int, say: Say, *, cold: bool = False) -> Runs:
    """A discarded round that warms the caches, unless `cold`; then `rounds` rounds."""
    runs = Runs()
    for number in range(1 if cold else 0, rounds + 1):
        turn = number % len(variants)
        for variant in (*variants[turn:], *variants[:turn]):
            run = _measure(bench, variant, number)
            steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.milestones.items())
            label = f"round {number} of {rounds}" if number else "warming up"
            say(f"{label}: {variant.title}: {steps}; {run.cpu:.1f} CPU seconds")
            bench.clear(variant)
            if number:
                runs.runs.append(run)
    return runs


def _measure(bench: Bench, variant: Variant, number: int) -> Run:
    bench.clear(variant)
    bench.platform.namespace(variant.namespace)
    observer = bench.observer(variant.namespace)
    cpu, started = bench.cpu_seconds(), time.monotonic()
    bench.platform.kubectl("-n", variant.namespace, "apply", "-f", str(variant.manifests))
    milestones = observer.wait(started, SERVES_SECONDS)
    return Run(variant.name, number, bench.cpu_seconds() - cpu, milestones)
