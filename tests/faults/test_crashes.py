"""The operator is killed at a write: what it leaves is put in order by the next one, to the same end.

Each case is first done without a fault: that gives the end state and the writes. Then the operator is killed before and
after each of them.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airfield.kube.client import KubeClient
from faultproxy import Rule, Script
from faults.fault_site import FaultSite
from faults.state import SLOWLY, difference, is_as_ready, state_of, state_of_class, state_of_tenant
from faults.stories import (
    STORIES,
    Story,
    create,
    delete_tenant,
    ends_as,
    label_tenant,
    nothing,
    put_tenant,
    remove_tenant,
    tenant_of,
    undisturbed,
    until_labelled,
)
from operated_cluster import Team, eventually

Json = dict[str, Any]
SEED = 20261121


async def crash(site: FaultSite, kube: KubeClient, story: Story, end: Json, write: int, *, after: bool) -> bool:
    """Whether the operator was killed: it may get by with fewer writes than another time."""
    team = site.new_team(kube)
    await team.settle()
    await story.prepare(team)
    if story.prepare is not nothing:
        await team.settled_versions()
    looks = site.looks(team)
    with site.faults(site.killed_at(write, team.namespace, after=after)) as script:
        await story.act(team)

        async def killed_or_done() -> bool:
            return not site.operator.running or (
                await is_as_ready(team, end) and not difference(await state_of(team), end)
            )

        await eventually(killed_or_done, pause=SLOWLY)
    if killed := bool(script.taken):
        await eventually(site.stopped)
        site.operator.start()
        if story.ready:
            await site.until_looked_at(team, since=looks)

    await ends_as(team, end)
    await team.leave()
    return killed


def points(writes: int) -> list[tuple[int, bool]]:
    """Every write, before and after it reaches the API server."""
    return [(write, after) for write in range(1, writes + 1) for after in (False, True)]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_crash_at_some_write(site: FaultSite, kube: KubeClient, story: Story) -> None:
    end, writes = await undisturbed(site, kube, story)
    # Not the last ones: there may be fewer the next time.
    write, after = random.Random(f"{SEED} {story.name}").choice(points(max(1, writes - 4)))  # noqa: S311
    assert await crash(site, kube, story, end, write, after=after)


@pytest.mark.long
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_crash_at_every_write(site: FaultSite, kube: KubeClient, story: Story) -> None:
    end, writes = await undisturbed(site, kube, story)
    chosen = points(writes)
    killed = [await crash(site, kube, story, end, write, after=after) for write, after in chosen]
    assert sum(killed) >= 0.9 * len(chosen), f"only {sum(killed)} of {len(chosen)} writes came"


@pytest.mark.long
async def test_many_short_lives(site: FaultSite, kube: KubeClient) -> None:
    """Operators that die one after the other somewhere on the way leave nothing that the last one cannot mend."""
    story = STORIES[0]
    end, writes = await undisturbed(site, kube, story)
    choose = random.Random(SEED)  # noqa: S311
    team = site.new_team(kube)
    await team.settle()
    await create(team)
    for _ in range(3):
        rule = site.killed_at(choose.randint(1, writes // 2), team.namespace, after=choose.random() < 0.5)
        with site.faults(rule) as script:
            if not site.operator.running:
                site.operator.start()

            async def killed(script: Script = script) -> bool:
                return bool(script.taken) and not site.operator.running

            await eventually(killed)
    site.operator.start()
    await ends_as(team, end)
    await team.leave()


TENANT_ACTS: tuple[tuple[str, Callable[[Team], Awaitable[object]]], ...] = (
    ("create", put_tenant),
    ("change", lambda team: team.put_tenant(namespaces=[{"name": team.namespace}, {"name": f"{team.namespace}-more"}])),
    ("label", label_tenant),
    ("delete", delete_tenant),
)


@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.long), True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("kind", "write"),
    [
        ("airflowtenants", 1),
        ("namespaces", 1),
        *(pytest.param(kind, 2, marks=pytest.mark.long) for kind in ("airflowtenants", "namespaces")),
    ],
)
async def test_crash_at_every_write_of_a_tenant(
    site: FaultSite, kube: KubeClient, kind: str, write: int, after: bool
) -> None:
    """Finalizer, namespaces and status, through a tenant's life; the stories have the writes in its namespace."""
    calm, hit = site.new_team(kube), site.new_team(kube)
    for team in (calm, hit):
        await team.settle()
        await remove_tenant(team)
        await team.put_environment()
        await team.until_stuck("NoTenant")

    async def same() -> bool:
        """Now: the one that nothing happened to may still be on its way, too."""
        found, wanted = [[await state_of_tenant(team), await state_of(team)] for team in (hit, calm)]
        lines = difference(found, wanted)
        assert not lines, "\n".join(lines)
        return True

    kills = 0
    for name, act in TENANT_ACTS:
        await act(calm)
        await until_told(calm, name)

        rule = site.killed_at(write, "", after=after, kind=kind, name="" if kind == "namespaces" else hit.name)
        kills += await killed(site, rule, act(hit), same)
    assert kills
    await calm.leave()
    await hit.leave()


@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.long)], ids=["before", "after"])
@pytest.mark.parametrize("write", [1, *(pytest.param(each, marks=pytest.mark.long) for each in (2, 3))])
async def test_crash_at_a_write_to_a_class(site: FaultSite, kube: KubeClient, write: int, after: bool) -> None:
    """While it gets its first environment."""
    calm, hit = site.new_team(kube), site.new_team(kube)

    async def make(team: Team) -> None:
        await team.settle()
        await create(team)

    async def same() -> bool:
        found, wanted = [[await state_of_class(team), await state_of(team)] for team in (hit, calm)]
        lines = difference(found, wanted)
        assert not lines, "\n".join(lines)
        return True

    await make(calm)
    await calm.until_ready()
    await calm.settled_versions()
    kind = "airflowenvironmentclasses"
    made = [seen for seen in site.proxy.writes() if (seen.request.kind, seen.request.name) == (kind, calm.name)]
    assert made
    if write <= len(made):
        rule = site.killed_at(write, "", after=after, kind=kind, name=hit.name)
        assert await killed(site, rule, make(hit), same)
    await calm.leave()
    await hit.leave()


async def killed(site: FaultSite, rule: Rule, act: Awaitable[object], same: Callable[[], Awaitable[bool]]) -> bool:
    """Whether the operator was killed while something was done; another one brings it to the same end."""
    with site.faults(rule) as script:
        await act

        async def killed_or_done() -> bool:
            return not site.operator.running or await same()

        await eventually(killed_or_done, pause=SLOWLY)
    if script.taken:
        await eventually(site.stopped)
        site.operator.start()
    await eventually(same, pause=SLOWLY)
    return bool(script.taken)


async def until_told(team: Team, act: str) -> None:
    if act == "delete":
        await team.until_stuck("NoTenant")
        return
    if act == "label":
        await until_labelled(team)
    await team.settled_versions()  # what is rolled out may not have begun to be unready yet
    await team.until_ready()

    async def told() -> bool:
        tenant = await team.kube.get(tenant_of(team))
        assert tenant is not None
        return bool(tenant.get("status", {}).get("observedGeneration") == tenant["metadata"]["generation"])

    await eventually(told)
