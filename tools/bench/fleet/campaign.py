"""One campaign against the operator with N environments: make, rest, change, damage, restart, delete."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.fleet.operator import Reading, quiet, read, running
from bench.fleet.usage import Usage
from bench.fleet.wire import Json, Wire, available, is_applied, is_ready, path_of, wire
from bench.fleet.world import World, blueprint, fleet, keys, surroundings
from operator_process import Operator

IDLE_SECONDS: Final = 120
DAMAGED: Final = 100
"""Deployments that are deleted, one in each of so many environments."""
AT_A_TIME: Final = 5
ENVIRONMENTS: Final = "/apis/airfield.dev/v1alpha1/airflowenvironments"
OURS: Final = "labelSelector=airfield.dev/environment"
DEPLOYMENTS: Final = f"/apis/apps/v1/deployments?{OURS}"
CONFIG_MAPS: Final = f"/api/v1/configmaps?{OURS}"
LEFTOVERS: Final = (
    "/api/v1/secrets",
    "/api/v1/configmaps",
    "/api/v1/services",
    "/api/v1/serviceaccounts",
    "/api/v1/persistentvolumeclaims",
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/apps/v1/replicasets",
    "/apis/batch/v1/jobs",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
)


@dataclass(frozen=True)
class Phase:
    """What one phase took."""

    seconds: float
    reading: Reading
    cluster: Mapping[str, float] = field(default_factory=dict)
    """CPU seconds of the control plane's processes, where they were looked at."""


@dataclass
class Results:
    """What a campaign found out."""

    environments: int
    phases: dict[str, Phase] = field(default_factory=dict)
    applied: float = 0.0
    """Seconds until the status of every new environment says that all of it is applied."""
    repairs: list[float] = field(default_factory=list)
    """Seconds from the deletion of a Deployment to its return."""
    leftovers: int = 0


async def run(world: World, environments: int, log: Path) -> Results:
    """All phases, one after the other."""
    results = Results(environments)
    async with wire(world.cluster.kubeconfig) as api:
        around = list(surroundings(environments, world.database))
        await api.apply_all(obj for obj in around if obj["kind"] == "Namespace")
        await api.apply_all(obj for obj in around if obj["kind"] != "Namespace")
        async with running(world, log) as operator:
            campaign = _Campaign(world, api, operator, results, log)
            await campaign.all()
    return results


@dataclass
class _Campaign:
    world: World
    api: Wire
    operator: Operator
    results: Results
    log: Path

    async def all(self) -> None:
        await self._create()
        await self._rest()
        await self._change()
        await self._damage()
        await self._restart()
        await self._takeover()
        await self._delete()

    @property
    def _count(self) -> int:
        return self.results.environments

    @property
    def _well(self) -> int:
        """How many environments become Ready."""
        return self._count - len(self.world.trouble.failing_ones([name for _, name in keys(self._count)]))

    @property
    def _troubled(self) -> set[str]:
        """The names of environments that become Ready late or never."""
        names, trouble = [name for _, name in keys(self._count)], self.world.trouble
        return {*trouble.slow_ones(names), *trouble.huge_ones(names), *trouble.failing_ones(names)}

    def _cluster(self) -> dict[str, float]:
        pids = self.world.cluster.pids()
        return {process: Usage.of(pid).own for process, pid in pids.items() if process != "storage"}

    @asynccontextmanager
    async def _phase(self, name: str, title: str) -> AsyncIterator[None]:
        cluster, before = self._cluster(), await asyncio.to_thread(read, self.operator)
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        reading = (await asyncio.to_thread(read, self.operator)).since(before)
        used = {process: cpu - cluster.get(process, 0.0) for process, cpu in self._cluster().items()}
        self.results.phases[name] = Phase(seconds, reading, used)
        usage = reading.usage
        self.world.say(
            f"{self._count} environments: {title}: {seconds:.1f} s,"
            f" {usage.own:.1f} + {usage.children:.1f} CPU s (Helm), peak {usage.peak:.0f} MiB,"
            f" {reading.writes} writes of {reading.requests.total()} requests, {reading.passes} passes"
        )

    async def _create(self) -> None:
        async with self._phase("create", "created until all are Ready"):
            started = time.monotonic()
            making = asyncio.create_task(self.api.apply_all(fleet(self._count, self.world.trouble)))
            applied: set[str] = set()

            def ready(environment: Json) -> bool:
                """And when all of them were applied is noted on the way."""
                if is_applied(environment) and len(applied) < self._count:
                    applied.add(path_of(environment))
                    self.results.applied = time.monotonic() - started
                return is_ready(environment)

            if self.world.trouble:
                troubled = self._troubled
                others = self._count - len(troubled)
                await self.api.until(ENVIRONMENTS, lambda e: ready(e) and e["metadata"]["name"] not in troubled, others)
                self.world.say(f"the {others} without trouble: Ready after {time.monotonic() - started:.1f} s")
            await self.api.until(ENVIRONMENTS, ready, self._well)
            await making
        await quiet(self.operator)

    async def _rest(self) -> None:
        async with self._phase("idle", "two minutes at rest"):
            await asyncio.sleep(IDLE_SECONDS)

    async def _change(self) -> None:
        changed = blueprint(parallelism=64)

        def reached(config: Json) -> bool:
            return any("parallelism = 64" in text for text in config.get("data", {}).values())

        async with self._phase("change", "a change of the class until it is everywhere"):
            await self.api.apply(changed)
            await self.api.until(CONFIG_MAPS, reached, self._count)
            await self._settled()
        await quiet(self.operator)

    async def _settled(self) -> None:
        """Wait until every environment is Ready and no Deployment is being rolled out."""
        await self.api.until(DEPLOYMENTS, available, self._well * 4)
        await self.api.until(ENVIRONMENTS, is_ready, self._well)

    async def _damage(self) -> None:
        dice = random.Random(1)  # noqa: S311 - the same in every run
        chosen = dice.sample(keys(self._count), min(DAMAGED, self._count))
        victims = asyncio.Queue[str]()
        for namespace, name in chosen:
            component = dice.choice(("api-server", "scheduler", "dag-processor", "triggerer"))
            victims.put_nowait(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}-{component}")
        back = _Arrivals(self.api)
        watching = asyncio.create_task(back.follow())
        await back.listed.wait()

        async def work() -> None:
            while not victims.empty():
                path = victims.get_nowait()
                arrival = back.expect(path)
                started = time.monotonic()
                await self.api.delete(path)
                self.results.repairs.append(await asyncio.wait_for(arrival, 300) - started)

        async with self._phase("repair", f"{len(chosen)} deleted Deployments"):
            await asyncio.gather(*(work() for _ in range(AT_A_TIME)))
        watching.cancel()
        await self._settled()
        await quiet(self.operator)

    async def _restart(self) -> None:
        self.operator.kill()
        started = time.monotonic()
        await asyncio.to_thread(self.operator.start)
        await quiet(self.operator)
        reading = await asyncio.to_thread(read, self.operator)
        seconds = time.monotonic() - started - 10
        self.results.phases["restart"] = Phase(seconds, reading)
        self.world.say(
            f"{self._count} environments: restart: steady after {seconds:.1f} s, {reading.usage.own:.1f} CPU s,"
            f" peak {reading.usage.peak:.0f} MiB, {reading.writes} writes"
        )

    async def _takeover(self) -> None:
        """Kill the leader, damage something, and wait for the second replica to repair it."""
        name = "takeover"
        async with running(self.world, self.log, IDENTITY="second") as second:
            await quiet(second)
            namespace, environment = keys(self._count)[0]
            path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{environment}-scheduler"
            back = _Arrivals(self.api)
            watching = asyncio.create_task(back.follow())
            await back.listed.wait()
            self.operator.kill()
            started, arrival = time.monotonic(), back.expect(path)
            await self.api.delete(path)
            await asyncio.wait_for(arrival, 300)
            seconds = time.monotonic() - started
            watching.cancel()
            await quiet(second)
            reading = await asyncio.to_thread(read, second)
            self.results.phases[name] = Phase(seconds, reading)
            self.world.say(
                f"{self._count} environments: leader killed: {seconds:.1f} s until the other one repairs,"
                f" {reading.writes} writes"
            )
        await asyncio.to_thread(self.operator.start)
        await quiet(self.operator)

    async def _delete(self) -> None:
        async with self._phase("delete", "deleted until nothing is left"):
            await asyncio.gather(*(self.api.delete(path_of(obj)) for obj in fleet(self._count)))
            await self._gone(lambda: self.api.list(ENVIRONMENTS, limit=1), 3600)
        self.results.leftovers = await self._gone(self._left, 120)

    @staticmethod
    async def _gone(left: Callable[[], Awaitable[list[Json]]], seconds: float) -> int:
        """How much is left when nothing is, or after some seconds."""
        deadline = time.monotonic() + seconds
        while True:
            found = await left()
            if not found or time.monotonic() > deadline:
                return len(found)
            await asyncio.sleep(1)

    async def _left(self) -> list[Json]:
        lists = await asyncio.gather(*(self.api.list(f"{path}?{OURS}") for path in LEFTOVERS))
        return [obj for objects in lists for obj in objects]


class _Arrivals:
    """Tells when Deployments that were deleted come back."""

    def __init__(self, api: Wire) -> None:
        self._api = api
        self._expected: dict[str, asyncio.Future[float]] = {}
        self.listed = asyncio.Event()

    def expect(self, path: str) -> "asyncio.Future[float]":
        """The time of a Deployment's next appearance."""
        self._expected[path] = asyncio.get_running_loop().create_future()
        return self._expected[path]

    async def follow(self) -> None:
        async for kind, obj in self._api.watch(DEPLOYMENTS):
            if kind == "BOOKMARK":
                self.listed.set()
            if kind == "ADDED":
                metadata = obj["metadata"]
                path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments/{metadata['name']}"
                found = self._expected.pop(path, None)
                if found is not None:
                    found.set_result(time.monotonic())
