"""Every property of the resources with every kind of value: the operator copes, says so, and finds the way back."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from airfield.helm.manifests import documents
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref
from faults.fault_site import FaultSite
from faults.state import SLOWLY, difference, is_as_ready, state_of
from invariants import check_invariants
from mutations import Mutation, leaves, mutated, values
from operated_cluster import Team, eventually

Json = dict[str, Any]
CRDS = Path(__file__).parents[2] / "crds"
KINDS = ("AirflowEnvironment", "AirflowTenant", "AirflowEnvironmentClass")
SEED = 20261121
SLOTS = 8
"""So many environments are mutated at a time, and half as many in a sample."""


@cache
def schemas() -> dict[str, Json]:
    """The schema of each kind's specification."""
    manifests = [found for path in CRDS.glob("*.yaml") for found in documents(path.read_text())]
    return {
        found["spec"]["names"]["kind"]: found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        for found in manifests
    }


def all_mutations(most: int) -> list[Mutation]:
    """All values of all properties, in an order by chance but always the same; of strings `most` each."""
    choose = random.Random(SEED)  # noqa: S311
    found = [
        Mutation(kind, path, value)
        for kind in KINDS
        for path, schema in leaves(schemas()[kind])
        for value in values(schema, most, choose)
    ]
    choose.shuffle(found)
    return found


def test_every_property_has_values() -> None:
    mutations = {(mutation.kind, mutation.path) for mutation in all_mutations(3)}
    lacking = [(kind, *path) for kind in KINDS for path, _ in leaves(schemas()[kind]) if (kind, path) not in mutations]
    assert not lacking


@dataclass
class Slot:
    """A team with an environment that is Ready, and what it looks like then."""

    site: FaultSite
    team: Team
    seeds: dict[str, Json]
    state: Json

    def ref(self, kind: str) -> Ref:
        where = self.team.namespace if kind == "AirflowEnvironment" else ""
        return Ref("airfield.dev/v1alpha1", kind, where, "demo" if where else self.team.name)

    async def put(self, kind: str, spec: Json) -> None:
        await self.team.put_resource(kind, self.ref(kind).name, spec)

    async def mutate(self, mutation: Mutation) -> str:
        """Have a property changed and seen, and changed back; what the API server or the environment said to it."""
        spec = mutated(self.seeds[mutation.kind], schemas()[mutation.kind], mutation)
        looks = self.site.looks(self.team)
        try:
            await self.put(mutation.kind, spec)
        except ApiError as error:
            if error.invalid:
                return "refused"
            raise
        try:
            await eventually(lambda: self.observed(mutation.kind))
            said = await eventually(lambda: self.felt(mutation.kind, looks))
        except AssertionError as error:
            raise AssertionError(f"{mutation}: {error}") from error
        await self.put(mutation.kind, self.seeds[mutation.kind])

        async def back() -> bool:
            assert await is_as_ready(self.team, self.state), f"after {mutation}"
            lines = difference(await state_of(self.team, history=False), self.state)
            assert not lines, "\n".join([f"after {mutation}:", *lines])
            return True

        await eventually(back, 60, pause=SLOWLY)
        return str(said["reason"])

    async def observed(self, kind: str) -> bool:
        live = await self.team.kube.get(self.ref(kind))
        assert live is not None
        seen = live.get("status", {}).get("observedGeneration")
        assert seen == live["metadata"]["generation"], f"generation {seen} is the latest that was seen"
        check_invariants(live["status"]["conditions"], seen)
        return True

    async def felt(self, kind: str, looks: int) -> Json:
        """What the environment says of itself after a pass with the change in it, or since it is no longer Ready."""
        said = await self.team.condition("Ready")
        live = await self.team.kube.get(self.ref(kind))
        unchanged = live is not None and live["spec"] == self.seeds[kind]
        assert unchanged or said["status"] != "True" or self.site.looks(self.team) > looks, "not looked at since"
        return said


async def new_slot(site: FaultSite, kube: KubeClient) -> Slot:
    team = site.new_team(kube)
    await team.settle()
    await team.put_environment()
    await team.until_ready()
    await team.settled_versions()
    slot = Slot(site, team, {}, await state_of(team, history=False))
    for kind in KINDS:
        live = await kube.get(slot.ref(kind))
        assert live is not None
        slot.seeds[kind] = live["spec"]
    return slot


async def mutate_all(
    site: FaultSite, kube: KubeClient, mutations: Sequence[Mutation], *, at_once: int = SLOTS
) -> list[str]:
    pid, log = site.operator.pid, site.operator.log
    already = log.stat().st_size
    slots = await asyncio.gather(*(new_slot(site, kube) for _ in range(at_once)))
    queues = [mutations[number :: len(slots)] for number in range(len(slots))]

    async def work(slot: Slot, queue: Sequence[Mutation]) -> list[str]:
        return [await slot.mutate(mutation) for mutation in queue]

    results = await asyncio.gather(*itertools.starmap(work, zip(slots, queues, strict=True)), return_exceptions=True)
    failed = [str(result) for result in results if isinstance(result, BaseException)]
    assert not failed, "\n".join(failed)
    assert site.operator.pid == pid
    said = log.read_text()[already:].splitlines()
    assert not [line for line in said if "in a row" in line and "ApiError" not in line]
    for slot in slots:
        await slot.team.leave()
    return [reason for result in results if isinstance(result, list) for reason in result]


async def test_some_values_of_some_properties(site: FaultSite, kube: KubeClient) -> None:
    said = await mutate_all(site, kube, all_mutations(3)[: 2 * SLOTS], at_once=SLOTS // 2)
    assert set(said) - {"refused"}


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
async def test_all_values_of_all_properties(site: FaultSite, kube: KubeClient, part: int) -> None:
    said = await mutate_all(site, kube, all_mutations(6)[part::8])
    assert len([reason for reason in said if reason != "refused"]) > len(said) / 4
