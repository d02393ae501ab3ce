"""Every fault, while an environment is made and while it is changed: it comes to the same end, and nobody runs hot.

Each fault has an environment of its own, and all of them are under way at the same time.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from airfield.kube.client import KubeClient
from faultproxy import Answer, Cut, Drop, End, Hold, Late, Rule, Script, Seen, Stale
from faultproxy.rules import READS, WRITES, Action
from faults.fault_site import FaultSite
from faults.stories import STORIES, Story, ends_as, undisturbed
from operated_cluster import eventually

Json = dict[str, Any]
EVENT = frozenset({"event"})
RETRY_AFTER = 2.0
CREATE, CHANGE = STORIES[0], STORIES[1]


@dataclass(frozen=True)
class Fault:
    name: str
    do: Action
    verbs: frozenset[str] = WRITES
    first: int = 1
    times: int = 3
    kind: str = ""

    def rule(self, namespace: str) -> Rule:
        return Rule(self.do, self.verbs, self.kind, namespace, first=self.first, times=self.times)


REQUESTS = (
    Fault("cut-before", Cut(), first=4),
    Fault("cut-after", Cut(after=True), first=4),
    Fault("cut-reads", Cut(), READS, times=5),
    Fault("conflict", Answer(409, "Conflict"), first=2),
    Fault("conflict-of-status", Answer(409, "Conflict"), kind="airflowenvironments", times=2),
    Fault("exists-already", Answer(409, "AlreadyExists"), frozenset({"create"}), times=2, kind="secrets"),
    Fault("gone", Answer(410, "Expired"), first=3, times=1),
    Fault("too-many", Answer(429, "TooManyRequests", RETRY_AFTER), first=2),
    Fault("broken", Answer(500, "InternalError"), first=3),
    Fault("unavailable", Answer(503, "ServiceUnavailable"), first=3),
    Fault("starting", Answer(503, "ServiceUnavailable", RETRY_AFTER), first=3),
    Fault("reads-broken", Answer(500, "InternalError"), READS, times=1),  # what is refused is asked again much later
    Fault("slow", Late(1.5), first=2, times=4),
    Fault("stale-reads", Stale(), READS, times=6),
)
EVENTS = (
    Fault("lost", Drop(), EVENT, times=40),
    Fault("late", Late(2.0), EVENT, times=40),
    Fault("out-of-order", Hold(3), EVENT, times=40),
    Fault("watch-cut", Cut(), EVENT, first=2, times=3),
    Fault("watch-expired", End(410, "Expired"), EVENT, first=2, times=3),
)
ENDLESS = (
    Fault("hanging", Late(90.0), first=5, times=2),
    Fault("hanging-reads", Late(90.0), READS, times=1),
)


def retries(seen: list[Seen]) -> list[float]:
    """The seconds that passed after each answer 429 until the same was asked again."""
    pauses = []
    for number, refused in enumerate(seen):
        if refused.status == 429:
            again = next(later for later in seen[number + 1 :] if later.request == refused.request)
            pauses.append(again.at - refused.at)
    return pauses


async def endure(
    site: FaultSite, kube: KubeClient, faults: tuple[Fault, ...], *stories: Story, seconds: float = 120
) -> None:
    """Have stories happen one after the other under the faults; each must come to the end that it has in peace."""
    teams = {fault: site.new_team(kube) for fault in faults}
    for story in stories:
        end, quiet = await undisturbed(site, kube, story)
        rules = [fault.rule(team.namespace) for fault, team in teams.items()]
        before = len(site.proxy.seen)
        for team in teams.values():
            if story is CREATE:
                await team.settle()
        with site.faults(*rules) as script:
            await asyncio.gather(*(story.act(team) for team in teams.values()))
            results = await asyncio.gather(
                *(ends_as(team, end, seconds) for team in teams.values()), return_exceptions=True
            )
        failed = [f"{fault.name}: {result}" for fault, result in zip(teams, results, strict=True) if result]
        assert not failed, "\n".join(failed)
        for fault, team in teams.items():
            here = [seen for seen in site.proxy.seen[before:] if seen.request.namespace == team.namespace]
            assert [r for r in script.taken if r.namespace == team.namespace] or story is CHANGE, (
                f"{fault.name}: unused"
            )
            assert len([seen for seen in here if seen.request.writes]) <= 3 * quiet + 20, f"{fault.name} runs hot"
            assert len(here) <= 8 * quiet + 60, f"{fault.name} runs hot"
            assert all(pause >= RETRY_AFTER for pause in retries(here)), fault.name
    for team in teams.values():
        await team.leave()


async def test_faults_of_requests(site: FaultSite, kube: KubeClient) -> None:
    await endure(site, kube, REQUESTS, CREATE)


@pytest.mark.long
async def test_faults_of_requests_of_a_change(site: FaultSite, kube: KubeClient) -> None:
    await endure(site, kube, REQUESTS, CREATE, CHANGE)


@pytest.mark.long
async def test_requests_that_hang(site: FaultSite, kube: KubeClient) -> None:
    """A connection on which no answer ever comes costs a minute; nothing else waits for it."""
    await endure(site, kube, ENDLESS, CREATE, CHANGE, seconds=240)


@pytest.mark.parametrize("stories", [(CREATE,), pytest.param((CREATE, CHANGE), marks=pytest.mark.long)], ids=len)
async def test_stale_lists(site: FaultSite, kube: KubeClient, stories: tuple[Story, ...]) -> None:
    """Complete lists that are long out of date: what they lack need not be gone, what they hold need not be there."""
    site.operator.kill()
    site.operator.start(RESYNC_SECONDS="3", HEALTH_SECONDS="3")
    team = site.new_team(kube)
    await team.settle()
    try:
        for story in stories:
            end, quiet = await undisturbed(site, kube, story)
            before = len(site.proxy.writes(team.namespace))
            with site.faults(Rule(Stale(), frozenset({"list"}), times=60)) as script:
                await story.act(team)

                async def listed(script: Script = script) -> bool:
                    taken = len(script.taken)
                    assert taken > 10, f"only {taken} lists were stale"
                    return True

                await eventually(listed)
                await ends_as(team, end)
            await ends_as(team, end)
            assert len(site.proxy.writes(team.namespace)) - before <= 3 * quiet + 20, "runs hot"
        await team.leave()
    finally:
        site.operator.kill()
        site.operator.start()


@pytest.mark.parametrize("stories", [(CREATE,), pytest.param((CREATE, CHANGE), marks=pytest.mark.long)], ids=len)
async def test_faults_of_watches(site: FaultSite, kube: KubeClient, stories: tuple[Story, ...]) -> None:
    """What a watch loses comes with the next complete list."""
    site.operator.kill()
    site.operator.start(RESYNC_SECONDS="3", HEALTH_SECONDS="3")
    try:
        await endure(site, kube, EVENTS, *stories)
    finally:
        site.operator.kill()
