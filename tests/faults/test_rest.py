"""Where nothing happens the operator sends nothing: at rest, and when it comes back and finds all as it left it."""

from typing import Any

from airfield.kube import kinds
from faults.fault_site import FaultSite
from operated_cluster import SYSTEM, Team, eventually

PAGES = "airfield-costs."
COMPLETE: dict[str, Any] = {"executor": "KubernetesExecutor", "components": {"apiServer": {"replicas": 2}}}
"""With this an environment has objects of all kinds."""


def sent(site: FaultSite, team: Team) -> list[str]:
    """Requests about a team's objects so far, watches apart, and writes to the operator's own namespace.

    Among those are pages of the ledger, of which others' are others' business.
    """
    ours = page_of(team)
    requests = [each.request for each in list(site.proxy.seen) if each.request.verb != "watch"]
    return [
        f"{each.verb} {each.kind} {each.name}"
        for each in requests
        if team.name in {each.namespace, each.name}
        or (each.writes and each.namespace == SYSTEM and (each.name.startswith(ours) or PAGES not in each.name))
    ]


def page_of(team: Team) -> str:
    """How the names of a team's pages of the ledger begin."""
    return f"{PAGES}{team.name}."


async def until_recorded(team: Team) -> None:
    """Wait until the ledger has what the environment requests, which is written a few seconds later."""

    async def recorded() -> bool:
        pages = await team.kube.list(kinds.CONFIG_MAP, SYSTEM)
        return any(page["metadata"]["name"].startswith(page_of(team)) for page in pages)

    await eventually(recorded)


def lists(site: FaultSite) -> int:
    """How often environments were listed."""
    return len(
        [s for s in list(site.proxy.seen) if (s.request.verb, s.request.kind) == ("list", "airflowenvironments")]
    )


async def test_at_rest_nothing_is_sent(site: FaultSite, team: Team) -> None:
    """Neither health polls nor relists write anything, or read any Secret."""
    await team.put_environment(**COMPLETE)
    await team.until_ready()
    await until_recorded(team)
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
