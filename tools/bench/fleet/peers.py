"""Other ways to the same objects: `helm upgrade --install`, and `kubectl apply --server-side`."""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from airfield.cli.render import NOT_CREATED, asked, derived, generated
from airfield.environment.resolve import Effective
from airfield.environment.template.sandbox import render_values
from airfield.environment.values import context
from airfield.helm.template import Helm
from bench.fleet.floor import rendered, resolved
from bench.fleet.wire import wire
from bench.fleet.world import SYSTEM, World, chart, surroundings
from localcluster import tool

PEERS = {
    "helm": "`helm upgrade --install`, two at a time",
    "helm-wait": "`helm upgrade --install --wait`, two at a time",
    "kubectl": "`helm template`, `kubectl apply --server-side`, four at a time",
}


async def measure(world: World, environments: int, peer: str) -> float:
    """Seconds until the last command has ended."""
    async with wire(world.cluster.kubeconfig) as api:
        around = list(surroundings(environments, world.database))
        for kind in ("Namespace", "Secret"):
            await api.apply_all(obj for obj in around if obj["kind"] == kind)
    effective = resolved(environments, around)
    with TemporaryDirectory() as folder:
        waiting = iter(effective)

        async def work() -> None:
            for each in waiting:
                await (_kubectl if peer == "kubectl" else _helm)(world, each, Path(folder), peer)

        started = time.monotonic()
        await asyncio.gather(*(work() for _ in range(4 if peer == "kubectl" else 2)))
        return time.monotonic() - started


async def _helm(world: World, each: Effective, folder: Path, peer: str) -> None:
    digests = dict.fromkeys(sorted({*generated(each), *derived(each), *asked(each)}), NOT_CREATED)
    values = render_values(None, context(each, digests, operator_namespace=SYSTEM))
    file = folder / f"{each.name}.yaml"
    file.write_text(yaml.safe_dump(values))
    command = ["upgrade", "--install", each.name, str(chart()), f"--namespace={each.namespace}", f"--values={file}"]
    await _run(str(tool("helm")), *command, f"--kubeconfig={world.cluster.kubeconfig}", *_waits(peer))


def _waits(peer: str) -> list[str]:
    return ["--wait", "--timeout=30m"] if peer == "helm-wait" else []


async def _kubectl(world: World, each: Effective, folder: Path, _: str) -> None:
    objects = await rendered(Helm(str(tool("helm"))), each, chart())
    file = folder / f"{each.name}.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    kubeconfig = f"--kubeconfig={world.cluster.kubeconfig}"
    await _run(str(tool("kubectl")), "apply", "--server-side", kubeconfig, f"--filename={file}")


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise ValueError(f"{' '.join(command)}: {errors.decode()[-500:]}")
