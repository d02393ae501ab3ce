"""Whatever people do, in whatever order: in the end everything is as if it had just been made as it is wished now."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from airfield.api.meta import ANNOTATION_ACCEPT_KEY_LOSS
from airfield.kube import kinds
from faults.fault_site import FaultSite
from faults.state import SLOWLY, difference, is_as_ready, state_of
from operated_cluster import FEW, PAUSED, VERSION, Team, eventually

if TYPE_CHECKING:
    from airfield.kube.client import KubeClient

Json = dict[str, Any]
T = TypeVar("T")
SPECS: tuple[Json, ...] = (
    {"executor": "LocalExecutor", "deletionPolicy": "Delete"},
    {"executor": "KubernetesExecutor", "deletionPolicy": "Delete"},
    {"executor": "KubernetesExecutor", "deletionPolicy": "Orphan", "config": {"core": {"parallelism": "7"}}},
    {"deletionPolicy": "Delete", "components": {"apiServer": {"replicas": 2}}},
    {"deletionPolicy": "Orphan", "env": [{"name": "GREETING", "value": "{{ hello }}"}]},
)
DEFAULTS: tuple[Json, ...] = (
    {"version": VERSION, "executor": "LocalExecutor", "components": FEW},
    {"version": VERSION, "executor": "LocalExecutor", "components": FEW, "config": {"core": {"x": "1"}}},
    {"version": VERSION, "executor": "LocalExecutor", "env": [{"name": "FROM_CLASS", "value": "y"}]},
)
LABELS: tuple[dict[str, str], ...] = ({}, {"cost-centre": "1"}, {"cost-centre": "2", "owner": "me"})
CHILDREN: tuple[tuple[kinds.Kind, str, Json], ...] = (
    (kinds.DEPLOYMENT, "scheduler", {"spec": {"replicas": 3}}),
    (kinds.CONFIG_MAP, "config", {"data": {"airflow.cfg": "[core]"}}),
    (kinds.SERVICE, "api-server", {"spec": {"selector": {"app.kubernetes.io/component": "scheduler"}}}),
    (kinds.SERVICE_ACCOUNT, "airflow", {"automountServiceAccountToken": True}),
    (kinds.NETWORK_POLICY, "default", {"spec": {"egress": [{}]}}),
)
"""Some of what an environment has, and how somebody spoils it."""
RESTARTS = 2
"""The most in one story: they take longer than everything else."""
SECRETS = ("api", "jwt", "admin", "database")
names = st.sampled_from(("a", "b"))


@dataclass
class World:
    """What is wished now."""

    environments: dict[str, Json] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    orphaned: set[str] = field(default_factory=set)
    """Names under which an environment was ever deleted whose data were to stay."""
    accepted: dict[str, str] = field(default_factory=dict)
    """The fingerprints of lost keys whose loss somebody has accepted; who edits the environment leaves that alone."""
    defaults: Json = field(default_factory=lambda: DEFAULTS[0])
    labels: dict[str, str] = field(default_factory=dict)


class Stories(RuleBasedStateMachine):
    """Each step is somebody's deed; nobody waits for the operator before the next one."""

    site: ClassVar[FaultSite]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.kube: KubeClient = self.do(self.site.connect().__aenter__())
        self.team = self.site.new_team(self.kube)
        self.restarts = 0

    def do(self, deed: Awaitable[T]) -> T:
        async def done() -> T:
            return await deed

        return self.runner.run(done())

    @initialize(spec=st.sampled_from(SPECS))
    def settle(self, spec: Json) -> None:
        self.do(self.team.settle())
        self.create_or_edit("a", spec)

    @rule(name=names, spec=st.sampled_from(SPECS))
    def create_or_edit(self, name: str, spec: Json) -> None:
        if name not in self.world.environments:
            self.do(eventually(lambda: is_gone(self.team, name), 60))
        self.do(self.team.put_environment(name, annotations=self.annotations(name), **spec))
        self.world.environments[name] = spec

    @precondition(lambda self: self.world.environments)
    @rule(name=names)
    def delete(self, name: str) -> None:
        spec = self.world.environments.pop(name, None)
        if spec is not None:
            if spec["deletionPolicy"] == "Orphan":
                self.world.orphaned.add(name)
            self.do(self.kube.delete(self.team.environment(name)))
        self.world.paused.discard(name)
        self.world.accepted.pop(name, None)

    @rule(defaults=st.sampled_from(DEFAULTS))
    def change_class(self, defaults: Json) -> None:
        self.do(self.team.put_class(defaults=defaults))
        self.world.defaults = defaults

    @rule(labels=st.sampled_from(LABELS))
    def change_tenant(self, labels: dict[str, str]) -> None:
        self.do(self.team.put_tenant(labels=labels))
        self.world.labels = labels

    @precondition(lambda self: self.world.environments)
    @rule(name=names, child=st.sampled_from(CHILDREN))
    def delete_a_child(self, name: str, child: tuple[kinds.Kind, str, Json]) -> None:
        self.do(self.kube.delete(self.team.ref(child[0], f"{name}-{child[1]}")))

    @precondition(lambda self: self.world.environments)
    @rule(name=names, child=st.sampled_from(CHILDREN), what=st.sampled_from(("tenant", "manager", "content")))
    def edit_a_child(self, name: str, child: tuple[kinds.Kind, str, Json], what: str) -> None:
        edit = {
            "tenant": {"metadata": {"labels": {"airfield.dev/tenant": "thieves"}}},
            "manager": {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}},
            "content": child[2],
        }[what]
        self.do(self.kube.patch(self.team.ref(child[0], f"{name}-{child[1]}"), edit))

    @precondition(lambda self: self.world.environments)
    @rule(name=names, child=st.sampled_from(CHILDREN))
    def label_a_child_away(self, name: str, child: tuple[kinds.Kind, str, Json]) -> None:
        edit = {"metadata": {"labels": {"airfield.dev/environment": None}}}
        self.do(self.kube.patch(self.team.ref(child[0], f"{name}-{child[1]}"), edit))

    @precondition(lambda self: self.world.environments)
    @rule(name=names, secret=st.sampled_from(SECRETS))
    def delete_a_secret(self, name: str, secret: str) -> None:
        if name in self.world.environments:  # what an orphan has kept is all there is of it
            self.do(self.kube.delete(self.team.ref(kinds.SECRET, f"{name}-{secret}")))

    @precondition(lambda self: self.world.environments)
    @rule(name=names)
    def lose_the_fernet_key(self, name: str) -> None:
        """With the word of a person that the loss is accepted."""
        live = self.do(self.kube.get(self.team.environment(name)))
        keys = {key["name"]: key["fingerprint"] for key in ((live or {}).get("status") or {}).get("keys", ())}
        if name in self.world.environments and "fernet" in keys:
            self.world.accepted[name] = keys["fernet"]
            accepted = {"metadata": {"annotations": self.annotations(name)}}
            self.do(self.kube.patch(self.team.environment(name), accepted))
            self.do(self.kube.delete(self.team.ref(kinds.SECRET, f"{name}-fernet")))

    @precondition(lambda self: self.world.environments)
    @rule(name=names, paused=st.booleans())
    def pause(self, name: str, paused: bool) -> None:
        if name in self.world.environments:
            (self.world.paused.add if paused else self.world.paused.discard)(name)
            edit = {"metadata": {"annotations": {"airfield.dev/paused": "true" if paused else None}}}
            self.do(self.kube.patch(self.team.environment(name), edit))

    @precondition(lambda self: self.restarts < RESTARTS)
    @rule()
    def restart_the_operator(self) -> None:
        self.restarts += 1
        self.site.operator.kill()
        self.site.operator.start()

    @precondition(lambda self: self.world.environments)
    @rule(name=names)
    def wait(self, name: str) -> None:
        if name in self.world.environments and name not in self.world.paused:
            self.do(self.team.until_ready(name))

    def annotations(self, name: str) -> dict[str, str]:
        found = dict(PAUSED) if name in self.world.paused else {}
        if name in self.world.accepted:
            found[ANNOTATION_ACCEPT_KEY_LOSS] = self.world.accepted[name]
        return found

    def teardown(self) -> None:
        try:
            self.do(self.compare())
        finally:
            self.do(self.team.leave())
            self.do(self.kube.__aexit__())
            self.runner.close()

    async def compare(self) -> None:
        """Everything is as in a world that was made like this in the first place, and stays so without a write."""
        world = self.world
        for name in world.paused:
            edit = {"metadata": {"annotations": {"airfield.dev/paused": None}}}
            await self.kube.patch(self.team.environment(name), edit)
        fresh = self.site.new_team(self.kube)
        fresh.class_spec, fresh.tenant_spec = {"defaults": world.defaults}, {"labels": world.labels}
        await fresh.settle()
        for name, spec in world.environments.items():
            await fresh.put_environment(name, **spec)
        if world.environments:
            await fresh.until_ready(*world.environments)
        for name in ("a", "b"):
            await fresh.settled_versions(name)
            wanted = await state_of(fresh, name, history=False)

            async def same(name: str = name, wanted: Json = wanted) -> bool:
                assert await is_as_ready(self.team, wanted, name), f"{name} is not as if new"
                found = await state_of(self.team, name, history=False)
                if name not in world.environments and name in world.orphaned:
                    found = {what: about for what, about in found.items() if not outlives(what)}
                lines = difference(found, wanted)
                assert not lines, "\n".join([f"{name} is not as if new:", *lines])
                return True

            await eventually(same, 90, pause=SLOWLY)
            if name not in world.environments:
                await eventually(lambda name=name: self.nothing_is_left(name), 90)  # type: ignore[misc]
        await self.team.settled_versions("a")
        writes = len(self.site.proxy.writes(self.team.namespace))
        await self.team.settled_versions("b")
        assert len(self.site.proxy.writes(self.team.namespace)) == writes, "writes go on"
        await fresh.leave()

    async def nothing_is_left(self, name: str) -> bool:
        """Not of what has lost its labels either: Kubernetes' own collector removes it."""
        refs = (await self.team.objects("")).keys()
        left = {ref for ref in refs if ref.name.startswith(f"{name}-") and not outlives(f"{ref.kind} ")}
        assert not left, f"left of {name}: {left}"
        return True


def outlives(what: str) -> bool:
    """Whether an environment's deletion may leave it; whatever is left is taken up by one of the same name."""
    return what.startswith(("Secret ", "PersistentVolumeClaim ", "database "))


async def is_gone(team: Team, name: str) -> bool:
    return await team.kube.get(team.environment(name)) is None


def play(site: FaultSite, examples: int, steps: int, *, always_the_same: bool) -> None:
    machine = type("TheStories", (Stories,), {"site": site})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=always_the_same,
            database=None,
            phases=[Phase.generate],  # what took a minute to find would take an hour to make smaller
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_some_stories(site: FaultSite) -> None:
    play(site, 2, 12, always_the_same=True)


@pytest.mark.long
def test_many_stories(site: FaultSite) -> None:
    play(site, 60, 30, always_the_same=False)
