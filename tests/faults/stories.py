"""What people do with an environment, and what comes of it when nothing goes wrong."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from airfield.kube.client import KubeClient
from faults.fault_site import FaultSite
from faults.state import difference, state_of
from operated_cluster import IMAGE, Team, eventually

Json = dict[str, Any]
SPEC: Json = {"executor": "KubernetesExecutor", "deletionPolicy": "Delete"}


@dataclass(frozen=True)
class Story:
    """Something that people do, and what was there before."""

    name: str
    prepare: Callable[[Team], Awaitable[object]]
    act: Callable[[Team], Awaitable[object]]
    ready: bool = True
    """Whether it ends with an environment that is Ready."""


async def create(team: Team) -> None:
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


STORIES = (
    Story("create", nothing, create),
    Story("change", create_and_wait, change),
    Story("upgrade", create_and_wait, upgrade),
    Story("delete", create_and_wait, delete, ready=False),
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
    await team.settled_versions()
    end, writes = await state_of(team), len(site.proxy.writes(team.namespace)) - before
    await team.leave()
    site.ends[story.name] = end, writes
    return end, writes


async def end_of(team: Team, story: Story) -> None:
    """Wait until a story has come to its end."""
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
        found = difference(await state_of(team), end)
        assert not found, "\n".join(["not as without the fault:", *found])
        return True

    await eventually(ended, seconds)
