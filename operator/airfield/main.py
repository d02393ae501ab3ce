"""The operator's process: wires everything together and runs until it is told to stop."""

import asyncio
import contextlib
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, TypeVar

import aiohttp
import kopf
from aiohttp import web

from airfield import handlers
from airfield.environment.controller import Controller as EnvironmentController
from airfield.environment.ensure.run import Doors
from airfield.environment_class.controller import Controller as ClassController
from airfield.helm.template import Helm
from airfield.kube import credentials
from airfield.kube.client import KubeClient
from airfield.kube.inventory import Inventory
from airfield.kube.kinds import Ref
from airfield.kube.resources import Resources
from airfield.runtime import logs
from airfield.runtime.metrics import Metrics
from airfield.runtime.queue import WorkQueue
from airfield.settings import Settings
from airfield.tenant.controller import Controller as TenantController
from airfield.watches import Watches

__all__ = ["main", "operate"]

log = logging.getLogger(__name__)

K = TypeVar("K")

STUCK_SECONDS = 300.0
"""A queue in which keys wait but nothing has come to an end for so long makes the process count as dead."""


async def operate(settings: Settings) -> None:
    """Run the operator until it is cancelled or a signal arrives."""
    metrics = Metrics()
    resources, inventory = Resources(), Inventory()
    async with (
        KubeClient(credentials.load(), on_request=metrics.on_request) as kube,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64, force_close=True)) as http,
    ):
        doors = Doors(
            settings=settings,
            kube=kube,
            helm=Helm(settings.helm, on_render=metrics.on_render),
            inventory=inventory,
            resources=resources,
            http=http,
            clock=lambda: datetime.now(UTC),
            cluster=await _cluster(kube),
            kube_version=await _kube_version(kube),
        )
        watches = Watches(resources, inventory, WorkQueue(), WorkQueue(), WorkQueue())
        log.info("Airfield starts: helm %s, Kubernetes %s", await doors.helm.version(), doors.kube_version)
        await watches.relist(kube)
        async with contextlib.AsyncExitStack() as stack:
            if settings.metrics_port:
                await stack.enter_async_context(_serve(settings.metrics_port, metrics, watches))
            background = [asyncio.create_task(_relist_forever(watches, kube, settings.resync_seconds), name="relist")]
            background += [
                _work(
                    "environment",
                    watches.environments,
                    EnvironmentController(doors).reconcile,
                    settings.workers,
                    metrics,
                ),
                _work("tenant", watches.tenants, TenantController(kube, resources, doors.clock).reconcile, 2, metrics),
                _work("class", watches.classes, ClassController(doors).reconcile, 4, metrics),
            ]
            watching = asyncio.create_task(
                kopf.operator(
                    registry=handlers.registry(watches), settings=handlers.settings(), standalone=True, clusterwide=True
                ),
                name="kopf",
            )
            try:
                done, _ = await asyncio.wait([watching, *background], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                queues = (watches.environments, watches.tenants, watches.classes)
                await asyncio.gather(*(queue.stop(grace=20) for queue in queues))
                for task in (watching, *background):
                    task.cancel()
                await asyncio.gather(watching, *background, return_exceptions=True)


def _work(
    kind: str, queue: WorkQueue[K], reconcile: Callable[[K], Awaitable[float | None]], workers: int, metrics: Metrics
) -> asyncio.Task[None]:
    """Have a queue worked off, with depth, durations and outcomes in the metrics."""
    metrics.watch_queue(kind, lambda: queue.depth, lambda: queue.oldest_age)

    async def handler(key: K) -> float | None:
        started, outcome = perf_counter(), "error"
        try:
            delay = await reconcile(key)
            outcome = "ok"
            return delay
        finally:
            metrics.reconcile_seconds.labels(kind, outcome).observe(perf_counter() - started)

    return asyncio.create_task(queue.run(handler, workers), name=f"queue-{kind}")


def _ready(environment: dict[str, Any]) -> str:
    conditions = environment.get("status", {}).get("conditions", [])
    return next((c["status"] for c in conditions if c["type"] == "Ready"), "Unknown")


async def _relist_forever(watches: Watches, kube: KubeClient, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await watches.relist(kube)
        except Exception:
            log.exception("the periodic relist failed; the watches go on, it is tried again in %.0f s", every)


@contextlib.asynccontextmanager
async def _serve(port: int, metrics: Metrics, watches: Watches) -> AsyncIterator[None]:
    """Serve /metrics and /healthz. Healthy means progress: no key waits for a worker for minutes."""

    async def exposition(_: web.Request) -> web.Response:
        metrics.set_environments(Counter(map(_ready, watches.resources.environments.values())))
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def healthz(_: web.Request) -> web.Response:
        stalled = max(q.stalled_for for q in (watches.environments, watches.tenants, watches.classes))
        return web.json_response({"stalledSeconds": round(stalled, 1)}, status=503 if stalled > STUCK_SECONDS else 200)

    app = web.Application()
    app.router.add_get("/metrics", exposition)
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _cluster(kube: KubeClient) -> str:
    namespace = await kube.get(Ref("v1", "Namespace", "", "kube-system"))
    return str(namespace["metadata"]["uid"]) if namespace else "unknown"


async def _kube_version(kube: KubeClient) -> str:
    """The API server's version as Helm wants it: `1.36.3`, without what vendors append."""
    found = await kube.version()
    return found.lstrip("v").split("+")[0].split("-")[0]


def main() -> int:
    """Entry point of the operator image."""
    try:
        settings = Settings.from_environ()
    except ValueError as error:
        print(f"airfield: {error}", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(settings.log_level)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(operate(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
