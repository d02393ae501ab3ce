"""What Kubernetes and Prometheus ask the process: does it get on, could it lead, what has it done."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from time import monotonic

from aiohttp import web

from airfield.kube.lease import Lease
from airfield.kube.reflector import Reflector
from airfield.runtime.leadership import Fence
from airfield.runtime.metrics import Metrics
from airfield.runtime.progress import Signs, problems
from airfield.settings import Settings
from airfield.watches import Watches


@dataclass
class Progress:
    """How far the process is, for its probes."""

    relisted: float
    """When our own resources were last listed with success, or when the process began; monotonic seconds."""
    reflectors: Sequence[Reflector] = ()
    lease: Lease | None = None
    """None until the caches are filled: a replica with cold caches is of no use as a leader."""

    @property
    def unlisted(self) -> float:
        """Seconds since the last list of the collection whose last list is the longest ago."""
        oldest: float = min([self.relisted, *(each.listed_at for each in self.reflectors)])
        return monotonic() - oldest

    @property
    def unheard(self) -> float:
        """Seconds since the watch that has been silent for longest last said anything."""
        return max((monotonic() - each.heard_at for each in self.reflectors), default=0.0)


@contextlib.asynccontextmanager
async def serve(
    settings: Settings, metrics: Metrics, watches: Watches, progress: Progress, fence: Fence
) -> AsyncIterator[None]:
    """Serve /metrics, /healthz (it gets on; else a restart may help) and /readyz (it could lead)."""

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def healthz(_: web.Request) -> web.Response:
        queues = (watches.environments, watches.tenants, watches.classes)
        signs = Signs(
            stalled=max(queue.stalled_for for queue in queues),
            blocked=max(queue.blocked_for for queue in queues),
            unlisted=progress.unlisted,
            unheard=progress.unheard,
            silent=progress.lease.silent_for if progress.lease else 0.0,
        )
        found = problems(signs, settings.resync_seconds)
        ages = {name: round(age, 1) for name, age in asdict(signs).items()}
        return web.json_response(
            {"problems": found, "leading": fence.leading, "seconds": ages}, status=503 if found else 200
        )

    async def readyz(_: web.Request) -> web.Response:
        ready = progress.lease is not None and progress.lease.looked
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    app = web.Application()
    app.router.add_get("/metrics", exposition)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=settings.metrics_port).start()
    try:
        yield
    finally:
        await runner.cleanup()
