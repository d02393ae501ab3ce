"""kopf glue: which resources are watched, and that every event goes to `Watches`. Nothing is decided here.

Only `on.event` handlers: kopf's create, update and resume handlers write annotations of their own and lose edges, its
indices take quadratic time, and its daemons and timers write finalizers.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any

from airfield.framework import kopf
from airfield.kube import kinds
from airfield.kube.credentials import Credentials
from airfield.kube.kinds import Kind
from airfield.kube.transport import session
from airfield.watches import Watches

Handler = Callable[..., None]

CALM = 60.0
"""Seconds without a login after which the next one is made at once."""


class Nothing(kopf.DiffBaseStorage):
    """Keeps no copy of a resource on the resource, and makes none: that took half of the time of every event."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        """What would be kept."""
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """What was kept."""
        del body
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Keep it."""


class Endless:
    """Back-offs that never run out: kopf ends the operator when a finite list of them does."""

    def __iter__(self) -> Iterator[float]:
        """0.5 s, doubling to 30 s."""
        delay = 0.5
        while True:
            yield delay
            delay = min(delay * 2, 30.0)


def settings() -> kopf.OperatorSettings:
    """Settings of kopf for watching and nothing else."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.scanning.disabled = True
    found.networking.error_backoffs = Endless()
    found.watching.chunk_size = 100  # what is listed is held as a whole
    found.queueing.idle_timeout = 0.1
    found.queueing.worker_limit = 50
    # Nothing is remembered on resources, so nothing needs to be compared with what was remembered.
    found.persistence.diffbase_storage = Nothing()
    return found


async def watch(
    watches: Watches,
    access: Credentials,
    namespaces: Sequence[str],
    stop: Callable[[], None],
    on_event: Callable[[str], None],
) -> asyncio.Task[None]:
    """Have kopf watch: these namespaces, or all of them.

    `stop` is called on a signal: kopf's own way is to cancel every task, whoever started it.
    """
    ours = asyncio.all_tasks()
    spawned = await kopf.spawn_tasks(
        registry=registry(watches, access, on_event),
        settings=settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return asyncio.create_task(kopf.run_tasks(spawned, ignored=ours), name="kopf")


def registry(watches: Watches, access: Credentials, on_event: Callable[[str], None]) -> kopf.OperatorRegistry:
    """Handlers that feed `watches`. `on_event` is told the kind of each object that an event speaks of."""
    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found)(_login(access))
    fed: dict[Kind, Handler] = {
        kinds.AIRFLOW_ENVIRONMENT: watches.environment,
        kinds.AIRFLOW_TENANT: watches.tenant,
        kinds.AIRFLOW_ENVIRONMENT_CLASS: watches.blueprint,
    }
    for kind, handle in fed.items():
        kopf.on.event(_group(kind), _version(kind), kind.plural, registry=found, id=kind.plural)(
            _handler(handle, partial(on_event, kind.kind))
        )
    return found


def _login(access: Credentials) -> Callable[..., Awaitable[kopf.AiohttpSession]]:
    """Have kopf reach the API server as the rest of the operator does: its own ways know fewer certificates."""
    last, pauses = -CALM, iter(Endless())

    async def login(**_: object) -> kopf.AiohttpSession:
        """New connections. Asked for again whenever the API server refuses who we are, at once and without an end."""
        nonlocal last, pauses
        if monotonic() - last < CALM:
            await asyncio.sleep(next(pauses))
        else:
            pauses = iter(Endless())
        last = monotonic()
        return kopf.AiohttpSession(
            server=access.url, aiohttp_session=session(access), default_namespace=access.namespace
        )

    return login


def _handler(handle: Handler, count: Callable[[], None]) -> Callable[..., Any]:
    async def handler(event: dict[str, Any], **_: object) -> None:
        count()
        handle(dict(event["object"]), deleted=event["type"] == "DELETED")

    return handler


def _group(kind: Kind) -> str:
    return kind.api_version.rpartition("/")[0]


def _version(kind: Kind) -> str:
    return kind.api_version.rpartition("/")[2]
