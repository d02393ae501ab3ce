"""What people do with an environment, and what comes of it when nothing goes wrong."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from airfield.kube.client import KubeClient
from airfield.kube.kinds import Ref
from faults.fault_site import FaultSite
from faults.state import SLOWLY, difference, is_as_ready, state_of
from operated_cluster import IMAGE, Team, eventually

Json = dict[str, Any]
GIVEN = "given"
"""A Secret of the team's own, which the operator reads: of what it makes itself it knows that there is none."""
SPEC: Json = {
    "executor": "KubernetesExecutor",
    "deletionPolicy": "Delete",
    "env": [{"name": "WORD", "secretKeyRef": {"name": GIVEN, "key": "word"}}],
}


@dataclass(frozen=True)
class Story:
    """Something that people do, and what was there before."""

    name: str
    prepare: Callable[[Team], Awaitable[object]]
    act: Callable[[Team], Awaitable[object]]
    ready: bool = True
    """Whether it ends with an environment that is Ready."""
    ended: Callable[[Team], Awaitable[object]] | None = None
    """Returns when it has come to its end; without it that is Ready, or that nothing is left."""


async def create(team: Team) -> None:
    await team.put_secret(GIVEN, {"word": "hello"})
    await team.put_environment(**SPEC)


async def create_and_wait(team: Team) -> None:
    await create(team)
    await team.until_ready()


async def nothing(_: Team) -> None:
    pass


async def change(team: Team) -> None:
    """Something comes, something goes, something restarts."""
    await team.put_environment(
        deletionPolicy="Delete",
        executor="LocalExecutor",
        config={"core": {"parallelism": "7"}},
        env=[{"name": "GREETING", "value": "hello"}],
        components={"apiServer": {"replicas": 2}},
    )


async def upgrade(team: Team) -> None:
    await team.put_environment(**SPEC, image={"reference": f"{IMAGE}-next"})


async def delete(team: Team) -> None:
    await team.kube.delete(team.environment())


async def without_tenant(team: Team) -> None:
    await remove_tenant(team)
    await create(team)
    await until_orphaned(team)


async def put_tenant(team: Team) -> None:
    await team.put_tenant()


async def label_tenant(team: Team) -> None:
    """What its objects carry changes."""
    await team.put_tenant(labels={"cost-centre": "4711"})


async def delete_tenant(team: Team) -> None:
    await team.kube.delete(tenant_of(team))


async def remove_tenant(team: Team) -> None:
    """Once the operator has let it go itself: an environment that comes then is never made for it."""

    async def finalizers() -> Json | None:
        found = await team.kube.get(tenant_of(team))
        return found and found["metadata"].get("finalizers")

    await eventually(finalizers)
    await delete_tenant(team)

    async def gone() -> bool:
        return await team.kube.get(tenant_of(team)) is None

    await eventually(gone)


def tenant_of(team: Team) -> Ref:
    return Ref("airfield.dev/v1alpha1", "AirflowTenant", "", team.name)


async def until_orphaned(team: Team) -> None:
    await team.until_stuck("NoTenant")


async def until_labelled(team: Team) -> None:
    """All objects have the tenant's label, and what restarted for it serves again."""

    async def labelled() -> bool:
        objects = [obj for obj in (await team.objects()).values() if obj["kind"] not in {"Pod", "Job"}]
        return all(obj["metadata"]["labels"].get("cost-centre") == "4711" for obj in objects)

    await eventually(labelled)
    await team.until_ready()


STORIES = (
    Story("create", nothing, create),
    Story("change", create_and_wait, change),
    Story("upgrade", create_and_wait, upgrade),
    Story("delete", create_and_wait, delete, ready=False),
    Story("create-tenant", without_tenant, put_tenant),
    Story("label-tenant", create_and_wait, label_tenant, ended=until_labelled),
    Story("delete-tenant", create_and_wait, delete_tenant, ready=False, ended=until_orphaned),
)


async def undisturbed(site: FaultSite, kube: KubeClient, story: Story) -> tuple[dict[str, Any], int]:
    """The end state, and the number of writes on the way there; found out once."""
    if story.name in site.ends:
        return site.ends[story.name]
    team = site.new_team(kube)
    await team.settle()
    await story.prepare(team)
    await team.settled_versions()
    before = len(site.proxy.writes(team.namespace))
    await story.act(team)
    await end_of(team, story)
    end, writes = await settled_state(team, story), len(site.proxy.writes(team.namespace)) - before
    await team.leave()
    site.ends[story.name] = end, writes
    return end, writes


async def settled_state(team: Team, story: Story) -> Json:
    """Everything of an environment once it is as it stays: not amid what controllers of the cluster come to later."""

    async def look() -> tuple[Json]:
        await team.settled_versions()
        if story.ready:
            condition = await team.condition("Ready")
            assert condition["status"] == "True", condition
        return (await state_of(team),)

    (found,) = await eventually(look, 60, pause=SLOWLY)
    return found


async def end_of(team: Team, story: Story) -> None:
    """Wait until a story has come to its end."""
    if story.ended is not None:
        await story.ended(team)
        return
    if story.ready:
        await team.until_ready()
        return

    async def gone() -> bool:
        left = await state_of(team)
        assert not left, sorted(left)
        return True

    await eventually(gone)


async def ends_as(team: Team, end: Json, seconds: float = 120) -> None:
    """Wait until everything of a team's environment is as it was in another one's end."""

    async def ended() -> bool:
        assert await is_as_ready(team, end), await team.kube.get(team.environment())
        found = difference(await state_of(team), end)
        assert not found, "\n".join(["not as without the fault:", *found])
        return True

    await eventually(ended, seconds, pause=SLOWLY)
