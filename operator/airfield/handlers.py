"""kopf glue: which resources are watched, and that every event goes to `Watches`. Nothing is decided here.

Only `on.event` handlers: kopf's create, update and resume handlers write annotations of their own and lose edges, its
indices take quadratic time, and its daemons and timers write finalizers.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import kopf

from airfield.kube import kinds
from airfield.kube.kinds import Kind
from airfield.watches import Watches

Handler = Callable[..., None]


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
    found.watching.chunk_size = 500
    found.queueing.idle_timeout = 0.1
    found.queueing.worker_limit = 50
    # Nothing is remembered on resources, so nothing needs to be compared with what was remembered.
    found.persistence.diffbase_storage = Nothing()
    return found


def registry(watches: Watches, on_event: Callable[[str], None] = lambda _: None) -> kopf.OperatorRegistry:
    """Handlers that feed `watches`. `on_event` is told the kind of each object that an event speaks of."""
    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found)(kopf.login_via_client)
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


def _handler(handle: Handler, count: Callable[[], None]) -> Callable[..., Any]:
    async def handler(event: dict[str, Any], **_: object) -> None:
        count()
        handle(dict(event["object"]), deleted=event["type"] == "DELETED")

    return handler


def _group(kind: Kind) -> str:
    return kind.api_version.rpartition("/")[0]


def _version(kind: Kind) -> str:
    return kind.api_version.rpartition("/")[2]
