"""The operator is killed at a write to a tenant, to its namespaces or to a class: the next one comes to the same end.

What is done to one team is done to another one at the same time, to which nothing happens but that.
"""

from collections.abc import Awaitable, Callable

import pytest

from airfield.kube.client import KubeClient
from faults.fault_site import FaultSite
from faults.state import difference, state_of, state_of_class, state_of_tenant
from faults.stories import create, delete_tenant, label_tenant, put_tenant, remove_tenant, tenant_of, until_labelled
from operated_cluster import Team, eventually

TENANT_ACTS: tuple[tuple[str, Callable[[Team], Awaitable[object]]], ...] = (
    ("create", put_tenant),
    ("change", lambda team: team.put_tenant(namespaces=[{"name": team.namespace}, {"name": f"{team.namespace}-more"}])),
    ("label", label_tenant),
    ("delete", delete_tenant),
)


async def life(site: FaultSite, kube: KubeClient, kind: str, write: int, *, after: bool) -> int:
    """How often the operator was killed at its n-th write of each act; the stories have those in a namespace."""
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
        kills += await site.killed(rule, act(hit), same)
    await calm.leave()
    await hit.leave()
    return kills


async def test_crash_at_the_first_write_of_a_tenant(site: FaultSite, kube: KubeClient) -> None:
    assert await life(site, kube, "airflowtenants", 1, after=True) == len(TENANT_ACTS)


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["airflowtenants", "namespaces"])
async def test_crash_at_every_write_of_a_tenant(site: FaultSite, kube: KubeClient, kind: str, after: bool) -> None:
    """Finalizer, namespaces and status, through a tenant's life: until no act has so many writes."""
    kills = [await life(site, kube, kind, 1, after=after)]
    assert kills == [len(TENANT_ACTS)]
    while kills[-1]:
        kills.append(await life(site, kube, kind, len(kills) + 1, after=after))
    assert len(kills) > 2, kills


@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.long)], ids=["before", "after"])
async def test_crash_at_a_write_to_a_class(site: FaultSite, kube: KubeClient, after: bool) -> None:
    """While it gets its first environment: most of the time that is the only one."""
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
    rule = site.killed_at(1, "", after=after, kind="airflowenvironmentclasses", name=hit.name)
    assert await site.killed(rule, make(hit), same)
    await calm.leave()
    await hit.leave()


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
