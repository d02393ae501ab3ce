"""The floor: what any way of making the fleet's objects costs at least, on this machine, with Helm and apply."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airfield.airflow import keys as generate
from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant
from airfield.cli.render import KUBE_VERSION, render_one
from airfield.environment.resolve import Effective, resolve
from airfield.environment.template.renderer import TemplateRenderer
from airfield.helm.template import Helm
from bench.fleet.usage import Usage
from bench.fleet.wire import Json, Wire, available, wire
from bench.fleet.world import SYSTEM, World, blueprint, chart, fleet, surroundings
from localcluster import tool

COMPONENTS = 4
"""Deployments of an environment."""


@dataclass(frozen=True)
class Floor:
    """Seconds of wall time, and where the CPU seconds went, of which a machine has as many a second as cores."""

    objects: int
    applied: float
    """Until every object is applied."""
    serving: float
    """Until every Deployment is available: the simulated nodes' and the controllers' work on top."""
    changed: float
    """From a change of all of them until every Deployment has been rolled out anew."""
    render_cpu: float
    client_cpu: float
    server_cpu: float


async def measure(world: World, environments: int) -> Floor:
    """Render every environment once and apply the same objects that the operator would, as fast as can be."""
    async with wire(world.cluster.kubeconfig) as api:
        around = list(surroundings(environments, world.database))
        await api.apply_all(obj for obj in around if obj["kind"] == "Namespace")
        await api.apply_all(obj for obj in around if obj["kind"] == "Secret")
        effective = resolved(environments, around)
        helm = Helm(str(tool("helm")))
        server = world.pid("kube-apiserver")
        mine, theirs = Usage.of(os.getpid()), Usage.of(server)
        started = time.monotonic()
        objects = await _make(api, helm, effective)
        applied = time.monotonic() - started
        used, served = Usage.of(os.getpid()).since(mine), Usage.of(server).since(theirs)
        await api.until("/apis/apps/v1/deployments", available, environments * COMPONENTS)
        serving = time.monotonic() - started
        started = time.monotonic()
        await _make(api, helm, resolved(environments, around, parallelism=64), with_secrets=False)
        await api.until("/apis/apps/v1/deployments", available, environments * COMPONENTS)
        changed = time.monotonic() - started
    return Floor(objects, applied, serving, changed, used.children, used.own, served.own)


def resolved(environments: int, around: list[Json], parallelism: int = 32) -> list[Effective]:
    """What the operator would resolve the environments to."""
    of_class = AirflowEnvironmentClass.model_validate(blueprint(parallelism))
    tenants = {
        obj["metadata"]["name"]: AirflowTenant.model_validate(obj) for obj in around if obj["kind"] == "AirflowTenant"
    }
    return [
        resolve(AirflowEnvironment.model_validate(obj), tenants[obj["metadata"]["namespace"]], of_class)
        for obj in fleet(environments)
    ]


async def _make(api: Wire, helm: Helm, effective: list[Effective], *, with_secrets: bool = True) -> int:
    """Render and apply side by side; the number of objects."""
    waiting = iter(effective)
    count = 0

    async def work() -> None:
        nonlocal count
        for each in waiting:
            objects = [*await rendered(helm, each, chart()), *(secrets(each) if with_secrets else ())]
            count += len(objects)
            await asyncio.gather(*map(api.apply, objects))

    await asyncio.gather(*(work() for _ in range(2 * (os.cpu_count() or 1))))
    return count


async def rendered(helm: Helm, effective: Effective, where: Path) -> list[Json]:
    """The chart's objects, without an owner: nothing here owns them, and the garbage collector would take them."""
    async with TemplateRenderer() as templates:
        objects = await render_one(
            helm, templates, where, effective, operator_namespace=SYSTEM, kube_version=KUBE_VERSION
        )
    return [
        {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "ownerReferences"}} for obj in objects
    ]


def secrets(effective: Effective) -> Iterator[Json]:
    """The Secrets that belong to it."""
    private, jwks = generate.jwt_keys()
    contents = {
        "fernet": {"fernet-key": generate.fernet_key()},
        "api": {"secret-key": generate.api_secret_key()},
        "jwt": {"private.pem": private, "jwks.json": jwks},
        "admin": {"username": "admin", "password": generate.password()},
        "database": {"uri": "postgresql://", "host": "h", "port": "1", "username": "u", "password": "p"},
    }
    for name, content in contents.items():
        metadata = {"name": f"{effective.name}-{name}", "namespace": effective.namespace}
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}
