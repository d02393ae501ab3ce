"""The ledger of costs, as the operator keeps it in a real API server."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from airfield.cli.main import cli
from airfield.costs import store
from airfield.costs.ledger import Page, Segment, bounds, month_of
from airfield.kube import kinds
from airfield.kube.kinds import Ref
from clusters import kubectl
from operated_cluster import IMAGE, SYSTEM, Json, Team, eventually, restricted_container

pytestmark = pytest.mark.apiserver

PRICES: Json = {"currency": "EUR", "cpuHour": "0.04", "memoryGibHour": "0.005", "storageGibMonth": "0.1"}
COSTS = Path(__file__).parents[2] / "docs" / "costs.md"
MORE: Json = {"components": {"scheduler": {"resources": {"requests": {"cpu": "1"}}}}}


@pytest.fixture
async def team(team: Team) -> Team:
    await team.put_class(prices=PRICES)
    await team.put_tenant(labels={"cost-centre": "cc-7"})
    return team


async def page_of(team: Team) -> tuple[Page, str]:
    """The team's last page and its version."""
    names = (await store.names(team.kube, SYSTEM, team.name)).get(team.name, set())
    assert names, "there is no page"
    found = await store.load(team.kube, SYSTEM, team.name, max(names))
    assert found is not None
    return found


async def segments(team: Team, count: int, *, name: str = "demo", lasting: bool = True) -> tuple[Segment, ...]:
    """The segments of an environment, when there are that many."""

    async def there() -> tuple[Segment, ...]:
        page, _ = await page_of(team)
        found = page.entries.get((team.namespace, name), ())
        assert len(found) == count, found
        assert (found[-1].until is None) == lasting, found
        return found

    return await eventually(there)


def connected(found: tuple[Segment, ...]) -> bool:
    return all(before.until == after.since for before, after in pairwise(found))


async def test_the_life_of_an_environment(team: Team) -> None:
    """Created, resized, with a volume that grew, under other prices, deleted: a segment each, and no gap."""
    began = datetime.now(UTC)
    await team.put_environment()
    (first,) = await segments(team, 1)
    assert began - timedelta(seconds=1) < first.since < datetime.now(UTC)
    live = await team.existing(kinds.AIRFLOW_ENVIRONMENT, "demo")
    terms = first.terms
    assert (terms.uid, terms.stage, terms.class_name) == (live["metadata"]["uid"], "dev", team.name)
    assert [terms.cpu, terms.memory, terms.storage] == [Decimal("0.3"), 960 * 1024**2, 5 * 1024**3]
    assert (terms.cost_centre, terms.currency, terms.cpu_hour) == ("cc-7", "EUR", Decimal("0.04"))
    await team.put_environment(**MORE)
    assert (await segments(team, 2))[-1].terms.cpu == Decimal("1.2")
    await team.until_ready()
    grown: Json = {"logs": {"persistentVolume": {"size": "6Gi"}}}
    await team.put_class(prices={**PRICES, "cpuHour": "0.08"})
    assert (await segments(team, 3))[-1].terms.cpu_hour == Decimal("0.08")
    await team.put_tenant(labels={"cost-centre": "cc-8"})
    assert (await segments(team, 4))[-1].terms.cost_centre == "cc-8"
    await team.put_environment(**MORE, **grown)
    assert (await segments(team, 5))[-1].terms.storage == Decimal(6 * 1024**3)
    await team.kube.delete(team.environment())
    found = await segments(team, 5, lasting=False)
    assert connected(found)
    await eventually(lambda: gone(team))
    until = found[-1].until
    assert until is not None
    assert timedelta(0) <= datetime.now(UTC) - until < timedelta(seconds=30)


async def gone(team: Team, name: str = "demo") -> bool:
    return await team.kube.get(team.environment(name)) is None


async def test_an_idle_fleet_writes_nothing(team: Team) -> None:
    """Neither as time passes nor for an operator that starts."""
    await team.put_environment()
    await team.until_ready()
    await segments(team, 1)
    _, before = await page_of(team)
    for name in ("first", "second"):
        other = Team(team.site, team.kube, f"{team.name}-{name}", f"{team.name}-{name}")
        await other.settle()
        await other.put_environment()
        await segments(other, 1)  # whoever has written this has looked at all of them several times
        assert (await page_of(team))[1] == before
        await other.leave()
        with team.site.no_operator():
            pass


async def test_what_happens_while_nobody_runs(team: Team) -> None:
    """Deleted by force, resized, created: recorded as of when it is seen, and nothing stays open for ever."""
    await team.put_environment()
    await team.put_environment("other")
    await team.until_ready("demo", "other")
    await segments(team, 1)
    await segments(team, 1, name="other")
    with team.site.no_operator():
        await team.kube.delete(team.environment())
        patch = [{"op": "remove", "path": "/metadata/finalizers"}]
        await team.kube.patch(team.environment(), patch)
        await eventually(lambda: gone(team))
        await team.put_environment("other", **MORE)
        stopped = datetime.now(UTC)
    (closed,) = await segments(team, 1, lasting=False)
    assert closed.until is not None
    assert closed.until >= stopped - timedelta(seconds=1)
    assert connected(await segments(team, 2, name="other"))
    await team.put_environment()
    again = await segments(team, 2)
    assert again[0].terms.uid != again[1].terms.uid


async def test_a_page_that_somebody_changed(team: Team) -> None:
    """One that was removed is made again, one that cannot be read is followed by another."""
    await team.put_environment()
    await segments(team, 1)
    page, _ = await page_of(team)
    ref = Ref("v1", "ConfigMap", SYSTEM, f"airfield-costs.{team.name}.{page.month}.{page.number}")
    await team.kube.patch(ref, {"data": {f"{team.namespace}.demo": "cost nothing"}})
    await team.put_environment(**MORE)

    async def another() -> bool:
        assert max((await store.names(team.kube, SYSTEM, team.name))[team.name]) == (page.month, page.number + 1)
        found, _ = await page_of(team)
        return found.open()[team.namespace, "demo"].terms.cpu == Decimal("1.2")

    await eventually(another, 60)
    result = await asyncio.to_thread(report, team, "--by=environment")
    assert result.exit_code == 1
    assert f"ConfigMap {SYSTEM}/{ref.name}: '{team.namespace}.demo' is no entry of a ledger any more" in result.output
    await team.kube.delete(ref)
    result = await asyncio.to_thread(report, team, "--by=environment")
    assert result.exit_code == 0, result.output


async def test_a_page_of_a_month_before(team: Team) -> None:
    """What lasts is taken along to the month in which something changes, and the page before stays as it was."""
    await team.put_environment()
    (first,) = await segments(team, 1)
    page, _ = await page_of(team)
    with team.site.no_operator():
        begin = bounds(page.month)[0] - timedelta(days=10)
        old = first.model_copy(update={"since": begin})
        before = Page(team.name, month_of(begin), 1, {(team.namespace, "demo"): (old,)})
        ref = Ref("v1", "ConfigMap", SYSTEM, f"airfield-costs.{team.name}.{page.month}.{page.number}")
        await team.kube.delete(ref)
        version = await store.save(team.kube, SYSTEM, before, None, "")
    await team.put_environment(**MORE)
    found = await segments(team, 2)
    assert found[0].since == begin
    assert (await page_of(team))[0].name == (page.month, 1)
    loaded = await store.load(team.kube, SYSTEM, team.name, before.name)
    assert loaded == (before, version)


def report(team: Team, *options: str, kubeconfig: Path | None = None) -> Any:
    environment = {"KUBECONFIG": str(kubeconfig or team.site.cluster.kubeconfig)}
    return CliRunner().invoke(cli, ["costs", f"--tenant={team.name}", *options], env=environment)


async def test_the_report(team: Team) -> None:
    await team.put_environment()
    await team.put_environment("other", **MORE)
    begun = [(await segments(team, 1, name=name))[0].since for name in ("demo", "other")]
    # What has lasted less than a second cost nothing yet, and whichever was granted last has just begun.
    await eventually(lambda: lasted(begun))
    result = await asyncio.to_thread(report, team, "--by=environment", "-o", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [line["environment"] for line in document["lines"]] == ["demo", "other"]
    assert {line["costCentre"] for line in document["lines"]} == {"cc-7"}
    assert sum(Decimal(line["cost"]) for line in document["lines"]) == Decimal(document["totals"][0]["cost"])


async def lasted(begun: list[datetime]) -> bool:
    """Whether there is a second of each."""
    return datetime.now(UTC) - max(begun) >= timedelta(seconds=1)


async def test_who_may_not_read_the_ledger(team: Team, tmp_path: Path) -> None:
    """Somebody of the team, who sees all of its environments: one sentence, which names the right that is missing."""
    await team.put_tenant(owners=[{"kind": "ServiceAccount", "name": "default", "namespace": team.namespace}])
    token = team.site.kubectl("create", "token", "default", f"--namespace={team.namespace}").strip()
    document = yaml.safe_load(team.site.cluster.kubeconfig.read_text(encoding="utf-8"))
    document["users"][0]["user"] = {"token": token}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    result = await asyncio.to_thread(report, team, kubeconfig=file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f'cannot list resource "configmaps" in API group "" in the namespace "{SYSTEM}"' in result.stderr
    result = await asyncio.to_thread(report, team)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"Nothing was recorded for tenant {team.name!r}" in result.stderr


async def test_what_the_page_says_of_the_ledger(team: Team) -> None:
    """Its commands show the ledger, and with its Role accountants see it, which they could not before."""
    await team.put_environment()
    await segments(team, 1)
    text = (
        COSTS.read_text(encoding="utf-8").replace("2026-11", month_of(datetime.now(UTC))).replace("team-a", team.name)
    )
    first, second = (line.split()[1:] for line in text.splitlines() if line.startswith("    kubectl "))
    page = second[4]
    assert page in team.site.kubectl(*first)
    assert "demo" in team.site.kubectl(*second)
    accountant = ("--as=anna", "--as-group=accounting")
    with pytest.raises(AssertionError, match="forbidden"):
        team.site.kubectl(*first, *accountant)
    (rights,) = (block for block in blocks(text) if "kind: RoleBinding" in block)
    kubectl(team.site.cluster, "apply", "-f", "-", text=rights)
    assert page in team.site.kubectl(*first, *accountant)
    with pytest.raises(AssertionError, match="forbidden"):
        team.site.kubectl("-n", SYSTEM, "delete", "configmap", page, *accountant)


def blocks(text: str) -> list[str]:
    """The indented blocks of a page."""
    lines = (line[4:] if line.startswith("    ") else "" for line in text.splitlines())
    return "\n".join(lines).split("\n\n")


async def test_who_is_refused_gets_out_of_nothing(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    await segments(team, 1)
    await team.put_environment(className="nowhere")
    await team.until_stuck("ClassNotFound")
    await team.put_class(prices={**PRICES, "cpuHour": "0.09"})
    await team.put_tenant(labels={"cost-centre": "cc-9"})
    found = await segments(team, 2)
    assert (found[-1].terms.class_name, found[-1].terms.cost_centre) == (team.name, "cc-9")
    assert found[-1].terms.cpu_hour == Decimal("0.09")


async def test_tasks(team: Team) -> None:
    """What a task's pod requests is counted from its start to its end, also by whoever leads next."""
    await team.put_environment()
    await team.until_ready()
    await segments(team, 1)
    labels = {"airfield.dev/environment": "demo", "app.kubernetes.io/component": "worker"}
    container = restricted_container("base", IMAGE) | {"resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}
    await team.put_pod("task", {"containers": [container]}, labels=labels)

    async def started() -> str:
        live = await team.existing(kinds.POD, "task")
        return str(live.get("status", {}).get("startTime", ""))

    begin = datetime.fromisoformat(await eventually(started))
    series = f'airfield_environment_requested_cpu_cores{{name="demo",namespace="{team.namespace}"}} 2.3'

    async def told() -> bool:
        return series in team.site.operator.metrics() and datetime.now(UTC) >= begin + timedelta(seconds=2)

    await eventually(told)
    team.site.operator.stop()
    try:
        page, _ = await page_of(team)
        (segment,) = page.entries[team.namespace, "demo"]
        counted = segment.counted
        assert counted is not None
        assert segment.tasks.cpu == 2 * Decimal(int((counted - begin).total_seconds()))
        assert segment.tasks.memory == segment.tasks.cpu / 2 * 1024**3
    finally:
        team.site.operator.start()
    await team.kube.delete(team.ref(kinds.POD, "task"))
    await eventually(lambda: missing(team, "task"))
    end = datetime.now(UTC)
    await team.put_environment(**MORE)
    first, second = await segments(team, 2)
    assert first.counted is not None
    seconds = first.tasks.cpu / 2
    assert abs(seconds - Decimal((end - begin).total_seconds())) <= 3
    assert not second.tasks


async def missing(team: Team, name: str) -> bool:
    return await team.get(kinds.POD, name) is None
