"""kopf glue: which resources are watched, and that every event goes to `Watches`. Nothing is decided here.

Only `on.event` handlers: kopf's create, update and resume handlers write annotations of their own and lose edges, its
indices take quadratic time, and its daemons and timers write finalizers.
"""

from collections.abc import Callable, Iterator
from typing import Any

import kopf

from airfield.api import meta
from airfield.kube.kinds import Kind
from airfield.watches import CHILD_KINDS, SELECTOR, Watches

Handler = Callable[..., None]


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
    for kind in CHILD_KINDS:
        found.watching.label_selectors[_group(kind), kind.plural] = SELECTOR
    return found


def registry(watches: Watches) -> kopf.OperatorRegistry:
    """Handlers that feed `watches`."""
    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found)(kopf.login_via_client)
    ours: dict[str, Handler] = {
        "airflowenvironments": watches.environment,
        "airflowtenants": watches.tenant,
        "airflowenvironmentclasses": watches.blueprint,
    }
    for plural, handle in ours.items():
        kopf.on.event(meta.GROUP, meta.VERSION, plural, registry=found, id=plural)(_handler(handle))
    for kind in CHILD_KINDS:
        kopf.on.event(_group(kind), _version(kind), kind.plural, registry=found, id=kind.plural)(
            _handler(watches.child)
        )
    return found


def _handler(handle: Handler) -> Callable[..., Any]:
    async def on_event(event: dict[str, Any], **_: object) -> None:
        handle(dict(event["object"]), deleted=event["type"] == "DELETED")

    return on_event


def _group(kind: Kind) -> str:
    return kind.api_version.rpartition("/")[0]


def _version(kind: Kind) -> str:
    return kind.api_version.rpartition("/")[2]
