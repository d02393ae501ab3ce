"""The operator is killed at a write: what it leaves is put in order by the next one, to the same end.

Each case is first done without a fault: that gives the end state and the writes. Then the operator is killed before and
after each of them.
"""

import random
from typing import Any

import pytest

from airfield.kube.client import KubeClient
from faultproxy import Script
from faults.fault_site import FaultSite
from faults.state import SLOWLY, difference, is_as_ready, state_of
from faults.stories import (
    STORIES,
    Story,
    create,
    ends_as,
    nothing,
    undisturbed,
)
from operated_cluster import eventually

Json = dict[str, Any]
SEED = 20261121
SAMPLE = [story for story in STORIES if story.name not in {"change", "label-tenant"}]
"""Stories of which one crash is always tried; the others are left to the long campaign."""


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


@pytest.mark.parametrize("story", SAMPLE, ids=lambda story: story.name)
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
    # A busy machine joins some of them into one.
    assert sum(killed) >= 0.75 * len(chosen), f"only {sum(killed)} of {len(chosen)} writes came"


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
