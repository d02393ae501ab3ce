"""The operator as it is run, with what it uses and sends."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from airfield.settings import Settings
from bench.fleet.usage import Usage
from bench.fleet.world import World, chart
from localcluster import tool
from operator_process import WRITES, Operator, spawned

Requests = Counter[tuple[str, str]]
"""Requests to the API server by verb and kind."""


@dataclass(frozen=True)
class Reading:
    """The operator at one moment."""

    usage: Usage
    requests: Requests
    renders: Counter[str]
    passes: int
    """Reconciles of environments."""

    def since(self, before: Self) -> "Reading":
        """What happened since an earlier moment."""
        return Reading(
            self.usage.since(before.usage),
            self.requests - before.requests,
            self.renders - before.renders,
            self.passes - before.passes,
        )

    @property
    def writes(self) -> int:
        """Requests that may change something."""
        return sum(count for (verb, kind), count in self.requests.items() if verb in WRITES and kind != "Lease")


def read(operator: Operator) -> Reading:
    """What it has used and sent so far."""
    text = operator.metrics()
    requests: Requests = Counter()
    for labels, count in re.findall(r"^airfield_api_requests_total\{(.*?)\} (\S+)$", text, re.MULTILINE):
        found = dict(re.findall(r'(\w+)="(.*?)"', labels))
        requests[found["verb"], found["kind"]] += int(float(count))
    renders = Counter(
        {
            outcome: int(float(count))
            for outcome, count in re.findall(
                r'^airfield_helm_renders_total\{outcome="(\w+)"\} (\S+)$', text, re.MULTILINE
            )
        }
    )
    counts = r'^airfield_reconcile_duration_seconds_count\{kind="environment".*?\} (\S+)$'
    passes = sum(int(float(count)) for count in re.findall(counts, text, re.MULTILINE))
    return Reading(Usage.of(operator.pid), requests, renders, passes)


@contextlib.asynccontextmanager
async def running(world: World, log: Path, **settings: str) -> AsyncIterator[Operator]:
    """An operator at work in the cluster."""
    chosen = {"CHART": str(chart()), "HELM": str(tool("helm")), "AIRFLOW_URL": world.airflow.url}
    # The lease that the chart gives it; tests have a longer one.
    chosen |= {"LOG_LEVEL": "INFO", "LEASE_SECONDS": str(Settings().lease_seconds), **settings}
    operator = Operator(world.cluster.kubeconfig, log, chosen, begin=spawned)
    await asyncio.to_thread(operator.start)
    try:
        yield operator
    finally:
        operator.kill()


async def quiet(operator: Operator, seconds: float = 10) -> None:
    """Wait until it has sent no write and rendered nothing for some seconds."""
    clock = asyncio.get_running_loop().time
    last, since = await asyncio.to_thread(read, operator), clock()
    while clock() - since < seconds:
        await asyncio.sleep(1)
        now = await asyncio.to_thread(read, operator)
        if now.writes != last.writes or now.renders != last.renders:
            last, since = now, clock()
