"""The operator's process: wires everything together and runs until it is told to stop."""

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import secrets
import selectors
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from time import monotonic, perf_counter
from typing import TypeVar

import aiohttp
from prometheus_client import disable_created_metrics

from airfield import __version__, handlers
from airfield.costs.census import costs
from airfield.costs.fleet import Fleet
from airfield.costs.recorder import Recorder
from airfield.costs.usage import Usage, sources
from airfield.environment.census import census
from airfield.environment.controller import Controller as EnvironmentController
from airfield.environment.ensure.run import Doors
from airfield.environment.template.renderer import TemplateRenderer
from airfield.environment_class.controller import Controller as ClassController
from airfield.helm.template import Helm
from airfield.kube import credentials
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.inventory import Inventory
from airfield.kube.kinds import Ref
from airfield.kube.lease import Lease
from airfield.kube.resources import Resources
from airfield.kube.secrets import SecretVersions
from airfield.probes import Progress, serve
from airfield.reflectors import reflectors
from airfield.relist import relist
from airfield.runtime import logs
from airfield.runtime.leadership import Fence
from airfield.runtime.metrics import Metrics
from airfield.runtime.queue import NEWS, WorkQueue
from airfield.settings import Settings
from airfield.tenant.controller import Controller as TenantController
from airfield.watches import Watches

__all__ = ["main", "operate"]

log = logging.getLogger(__name__)

K = TypeVar("K")

RUN = secrets.token_hex(3)
"""Tells this process' passes from those of others."""
PASSES = itertools.count(1)

T = TypeVar("T")


async def operate(settings: Settings, fence: Fence) -> None:
    """Run the operator until it is cancelled or a signal arrives. `fence` stands before every write."""
    metrics = Metrics(__version__)
    resources, inventory = Resources(reserved=frozenset({settings.namespace})), Inventory()
    access = credentials.load()
    async with (
        KubeClient(
            access,
            on_request=metrics.on_request,
            before_write=fence.before_write,
            namespaces=settings.watch_namespaces,
        ) as kube,
        KubeClient(access, on_request=metrics.on_request) as apart,  # a renewal must not wait for a free connection
        KubeClient(access, on_request=metrics.on_request, connections=0) as endless,  # each watch keeps one
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64, force_close=True)) as http,
        contextlib.AsyncExitStack() as stack,
    ):
        secrets = SecretVersions()
        watches = Watches(resources, inventory, secrets, WorkQueue(), WorkQueue(), WorkQueue())
        progress = Progress(relisted=monotonic())
        metrics.watch_leadership(lambda: fence.leading)
        metrics.watch_relists(lambda: progress.unlisted, lambda: progress.unheard, settings.resync_seconds)
        metrics.watch_environments(lambda: census(resources.environments.values()))
        usage = Usage(tuple(sources(settings, access, kube, inventory)), settings.usage_seconds)
        fleet = Fleet(resources)
        metrics.watch_costs(lambda: costs(fleet.look(), watches.tasks, usage.now))
        if settings.metrics_port:
            await stack.enter_async_context(serve(settings, metrics, watches, progress, fence))
        doors = Doors(
            settings=settings,
            kube=kube,
            helm=Helm(settings.helm, on_render=metrics.on_render),
            templates=await stack.enter_async_context(TemplateRenderer()),
            inventory=inventory,
            belongings=watches.belongings,
            resources=resources,
            secrets=secrets,
            http=http,
            clock=lambda: datetime.now(UTC),
            cluster=await _answer(lambda: _cluster(kube)),
            kube_version=await _answer(lambda: _kube_version(kube)),
            tell=watches.tell,
            unserved=watches.unserved,
        )
        log.info("Airfield starts: helm %s, Kubernetes %s", await doors.helm.version(), doors.kube_version)
        await _answer(lambda: relist(watches, kube))
        progress.relisted = monotonic()
        progress.reflectors = reflectors(
            watches, endless, settings.watch_namespaces, settings.resync_seconds, metrics.on_event
        )
        reflecting = [
            asyncio.create_task(each.run(), name=f"watch-{number}") for number, each in enumerate(progress.reflectors)
        ]
        await asyncio.gather(*(each.filled.wait() for each in progress.reflectors))
        lease = progress.lease = Lease(
            apart,
            namespace=settings.namespace,
            identity=settings.identity,
            seconds=settings.lease_seconds,
            fence=fence,
        )
        holding = asyncio.create_task(lease.hold(), name="lease")
        recorder = Recorder(kube, fleet, watches.tasks, usage, namespace=settings.namespace, clock=doors.clock)
        leading = asyncio.create_task(_lead(lease, doors, watches, metrics, recorder, usage), name="lead")
        relisting = asyncio.create_task(_relist_forever(watches, doors, progress), name="relist")
        stop = asyncio.Event()
        stopping = asyncio.create_task(stop.wait(), name="stop")
        watching = await handlers.watch(watches, access, settings.watch_namespaces, stop.set, metrics.on_event)
        tasks = (stopping, watching, relisting, leading, holding, *reflecting)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            queues = (watches.environments, watches.tenants, watches.classes)
            await asyncio.gather(*(queue.stop(grace=20) for queue in queues))
            leading.cancel()
            # It has last things to write, and kopf's end is the end of every task.
            await asyncio.gather(leading, return_exceptions=True)
            for task in tasks:
                task.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            await lease.release()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _lead(
    lease: Lease, doors: Doors, watches: Watches, metrics: Metrics, recorder: Recorder, usage: Usage
) -> None:
    """Work the queues off from when this replica leads; until then only the caches are kept up."""
    await lease.held.wait()
    tenants = TenantController(doors)
    environments = EnvironmentController(doors)
    classes = ClassController(doors)
    news = max(NEWS, 2.0 * doors.settings.lease_seconds)  # nobody saw to what came between two leaders
    work = (
        _work(
            "environment",
            watches.environments,
            environments.reconcile,
            doors.settings.workers,
            metrics,
            lambda key: {"environment": "/".join(key), **_tenant(watches.resources, key)},
            news,
        ),
        _work("tenant", watches.tenants, tenants.reconcile, 2, metrics, lambda name: {"tenant": name}, news),
        _work("class", watches.classes, classes.reconcile, 4, metrics, lambda name: {"class": name}, news),
        recorder.run(),
        usage.run(),
    )
    async with asyncio.TaskGroup() as group:  # waits for all of them, whichever ends first
        for each in work:
            group.create_task(each)


def _tenant(resources: Resources, key: tuple[str, str]) -> dict[str, str]:
    """The log field that says whose an environment is; nothing as long as its namespace is no tenant's."""
    known = resources.environments.get(key, {}).get("status", {}).get("tenant")
    if known is None:
        tenant = resources.holder(key[0])
        known = tenant["metadata"]["name"] if tenant else None
    return {"tenant": known} if known else {}


async def _work(
    kind: str,
    queue: WorkQueue[K],
    reconcile: Callable[[K], Awaitable[float | None]],
    workers: int,
    metrics: Metrics,
    fields: Callable[[K], Mapping[str, str]],
    news: float,
) -> None:
    """Work a queue off, with depth, durations and outcomes in the metrics, and `fields` in the logs of each pass."""
    metrics.watch_queue(kind, lambda: queue.depth, lambda: queue.oldest_age)

    def about(key: K) -> dict[str, str]:
        return {**fields(key), "reconcile": f"{RUN}-{next(PASSES)}"}

    async def handler(key: K) -> float | None:
        started, outcome = perf_counter(), "error"
        try:
            delay = await reconcile(key)
            outcome = "ok"
            return delay
        finally:
            metrics.reconcile_seconds.labels(kind, outcome).observe(perf_counter() - started)

    await queue.run(handler, workers, about, news=news)


async def _answer(ask: Callable[[], Awaitable[T]]) -> T:
    """What the API server answers, however long it takes to come up. Starting anew would only take longer."""
    delay = 0.5
    while True:
        try:
            return await ask()
        except ApiError as error:
            log.warning("cannot start yet: %s; next try in %.1f s", error.message, delay)
        await asyncio.sleep(delay)
        delay = min(delay * 2, 10.0)


async def _relist_forever(watches: Watches, doors: Doors, progress: Progress) -> None:
    every = doors.settings.resync_seconds
    while True:
        await asyncio.sleep(every)
        try:
            await relist(watches, doors.kube)
            progress.relisted = monotonic()
        except Exception:
            log.exception("the periodic relist failed; the watches go on, it is tried again in %.0f s", every)


async def _cluster(kube: KubeClient) -> str:
    namespace = await kube.get(Ref("v1", "Namespace", "", "kube-system"))
    return str(namespace["metadata"]["uid"]) if namespace else "unknown"


async def _kube_version(kube: KubeClient) -> str:
    """The API server's version as Helm wants it: `1.36.3`, without what vendors append."""
    found = await kube.version()
    return found.lstrip("v").split("+")[0].split("-")[0]


class _Waking(selectors.DefaultSelector):
    """Looks at the fence when the process wakes up, before it handles what came in while it slept or was stopped."""

    def __init__(self, fence: Fence) -> None:
        super().__init__()
        self._fence = fence

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout)
        self._fence.check()
        return found


def _end(why: str) -> None:
    """End at once, with whatever is under way: after this moment nothing must be written."""
    log.error("ended: %s", why)
    os._exit(1)


def main() -> int:
    """Entry point of the operator image."""
    try:
        settings = Settings.from_environ()
    except ValueError as error:
        print(f"airfield: {error}", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(settings.log_level)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # When each counter began is of no use, and doubles the series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    fence = Fence(_end)
    gc.freeze()  # what was imported stays: to look through it for garbage costs time, and puts off the next look
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Waking(fence))) as runner,
    ):
        try:
            runner.run(operate(settings, fence))
        except credentials.CredentialsError as error:
            print(f"airfield: {error}", file=sys.stderr)  # noqa: T201
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
