"""A real Prometheus scrapes a real operator: alerts fire and end, and the dashboard shows something."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from airfield.kube import kinds
from observability.rendered import dashboard, expressions, rules_file
from operated_cluster import PAUSED, Site, Team, eventually
from prometheus_server import Prometheus, prometheus

pytestmark = pytest.mark.apiserver

SILENT_WHEN_ALL_IS_WELL = (
    *("Requests that failed", "Cores B", "Memory of environments B", "Volumes B"),
    *("Certificates that", "Next certificates"),
)
"""Panels that may have nothing to show; two need a metrics server, one kubelets that are asked."""


@pytest.fixture
def observed(site: Site, tmp_path: Path) -> Iterator[Prometheus]:
    soon = '{"AirfieldEnvironmentNotReady": "1s", "AirfieldEnvironmentStalled": "1s", "AirfieldDown": "1s"}'
    rules = rules_file(tmp_path, f"alerts.for={soon}")
    with prometheus(tmp_path, [f"127.0.0.1:{site.operator._port}"], rules) as server:
        yield server


async def test_alerts_of_an_environment(team: Team, observed: Prometheus) -> None:
    async def firing(name: str) -> bool:
        about = {"namespace": team.namespace, "name": name}
        assert observed.firing("AirfieldEnvironmentStalled", reason="ClassNotFound", severity="warning", **about)
        return bool(observed.firing("AirfieldEnvironmentNotReady", stage="prod", severity="critical", **about))

    async def over() -> bool:
        assert observed.value(f'airfield_environment_ready{{namespace="{team.namespace}",name="demo"}}') == 1
        assert not observed.firing("AirfieldEnvironmentStalled", namespace=team.namespace)
        return not observed.firing("AirfieldEnvironmentNotReady", namespace=team.namespace)

    await team.put_environment(stage="prod", className="nowhere")
    await eventually(lambda: firing("demo"))
    await team.put_environment(stage="prod")
    await team.until_ready()
    await eventually(over)
    assert not observed.problems()


async def test_no_operator(team: Team, observed: Prometheus) -> None:
    async def seen() -> bool:
        return observed.value("airfield_leader") == 1 and not observed.firing("AirfieldDown")

    async def told() -> bool:
        return bool(observed.firing("AirfieldDown"))

    await eventually(seen)
    team.site.operator.kill()
    try:
        await eventually(told)
    finally:
        team.site.operator.start()


async def test_dashboard(team: Team, observed: Prometheus) -> None:
    """Prometheus understands every query, and all have something to show in a fleet in which something is wrong."""
    await team.put_class(prices={"currency": "EUR", "cpuHour": "0.04"})
    await team.put_environment()
    await team.put_environment("paused", annotations=PAUSED)
    await team.put_environment("stalled", className="nowhere")
    await team.until_ready()
    queries = expressions(dashboard())

    async def counted() -> bool:
        """Teams that have left leave paused ones behind."""
        metadata = [each["metadata"] for each in await team.kube.list(kinds.AIRFLOW_ENVIRONMENT, metadata_only=True)]
        paused = [each for each in metadata if PAUSED.items() <= each.get("annotations", {}).items()]
        assert observed.value(queries["Paused A"]) == len([each for each in paused if "deletionTimestamp" not in each])
        return bool(paused)

    async def shown() -> bool:
        blank = {title for title, query in queries.items() if not observed.query(query)}
        assert not {title for title in blank if not title.startswith(SILENT_WHEN_ALL_IS_WELL)}
        return True

    await eventually(shown)
    assert observed.value(queries["Leaders A"]) == 1
    await eventually(counted)
    not_ready = [found["metric"] for found in observed.query(queries["Not Ready A"])]
    stalled = {metric["name"] for metric in not_ready if metric["namespace"] == team.namespace}
    assert "stalled" in stalled
    assert "demo" not in stalled
