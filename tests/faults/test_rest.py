"""Where nothing happens the operator sends nothing: at rest, and when it comes back and finds all as it left it."""

from typing import Any

from faults.fault_site import FaultSite
from operated_cluster import SYSTEM, Team, eventually

COMPLETE: dict[str, Any] = {"executor": "KubernetesExecutor", "components": {"apiServer": {"replicas": 2}}}
"""With this an environment has objects of all kinds."""


def sent(site: FaultSite, team: Team) -> list[str]:
    """Requests about a team's objects so far, watches apart, and writes to the operator's own namespace."""
    requests = [each.request for each in list(site.proxy.seen) if each.request.verb != "watch"]
    return [
        f"{each.verb} {each.kind} {each.name}"
        for each in requests
        if team.name in {each.namespace, each.name} or (each.writes and each.namespace == SYSTEM)
    ]


def lists(site: FaultSite) -> int:
    """How often environments were listed."""
    return len(
        [s for s in list(site.proxy.seen) if (s.request.verb, s.request.kind) == ("list", "airflowenvironments")]
    )


async def test_at_rest_nothing_is_sent(site: FaultSite, team: Team) -> None:
    """Neither health polls nor relists write anything, or read any Secret."""
    await team.put_environment(**COMPLETE)
    await team.until_ready()
    site.operator.kill()
    looks = site.looks(team)
    site.operator.start(HEALTH_SECONDS="1", RESYNC_SECONDS="2")
    try:
        await site.until_looked_at(team, since=looks)
        before = await team.settled_versions()
        requests, looks, listed = sent(site, team), site.looks(team), lists(site)

        async def looked_again() -> bool:
            assert site.looks(team) >= looks + 4
            assert lists(site) >= listed + 2
            return True

        await eventually(looked_again)
        assert sent(site, team) == requests
        assert await team.versions() == before
    finally:
        site.operator.kill()


async def test_who_comes_back_changes_nothing(site: FaultSite, team: Team) -> None:
    await team.put_environment(**COMPLETE)
    await team.until_ready()
    before = await team.settled_versions()
    site.operator.kill()
    writes, looks = len(site.proxy.writes(team.namespace)), site.looks(team)
    site.operator.start()
    await site.until_looked_at(team, since=looks)
    assert await team.settled_versions() == before
    assert len(site.proxy.writes(team.namespace)) == writes, "it finds everything as it was left, and applies nothing"
