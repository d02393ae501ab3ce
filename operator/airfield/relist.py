"""Our own resources, of which kopf's watches tell, are listed from time to time: what they lost comes right."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from airfield.kube import kinds
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Kind
from airfield.kube.resources import kept, relisted, wish
from airfield.watches import Object, Watches, key_of

K = TypeVar("K")


async def relist(watches: Watches, kube: KubeClient) -> None:
    """List our own resources anew, and have whatever changed looked at: what kopf's watches lost comes right."""
    resources = watches.resources
    resources.gone.clear()
    before = dict(resources.environments), dict(resources.tenants), dict(resources.classes)
    now = await asyncio.gather(
        _listed(kube, kinds.AIRFLOW_ENVIRONMENT, before[0]),
        _listed(kube, kinds.AIRFLOW_TENANT, before[1]),
        _listed(kube, kinds.AIRFLOW_ENVIRONMENT_CLASS, before[2]),
    )
    relisted(resources.environments, before[0], now[0], resources.gone)
    relisted(resources.tenants, before[1], now[1], resources.gone)
    relisted(resources.classes, before[2], now[2], resources.gone)
    watches.missed(before[0].keys() - resources.environments.keys())
    changed = _changed(before[0], now[0])
    watches.look_again(changed & before[0].keys())  # somebody's change, which a watch has lost
    watches.look_again(changed - before[0].keys(), routine=True)
    if _changed(before[1], now[1]) or _changed(before[2], now[2]):
        watches.look_again(resources.environments.keys(), routine=True)
    for name in resources.tenants:
        watches.tenants.add(name, routine=True)
    for name in resources.classes:
        watches.classes.add(name, routine=True)


async def _listed(kube: KubeClient, kind: Kind, known: Mapping[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """All resources of a kind by key; those that are as they were known are the bodies that are known.

    Mostly all are, and to learn that is less work than to read them.
    """
    versions = {key: body["metadata"]["resourceVersion"] for key, body in known.items()}
    if known and await _versions(kube, kind) == versions:
        return dict(known)
    objects = await kube.list(kind, boil=lambda obj: kept(known.get(key_of(obj["metadata"])), obj))
    return {key_of(obj["metadata"]): obj for obj in objects}


async def _versions(kube: KubeClient, kind: Kind) -> dict[Any, str] | None:
    """The resourceVersion of each resource of a kind; None if the list's snapshot was forgotten on the way."""
    try:
        found = await kube.versions_of_all(kind)
    except ApiError as error:
        if error.gone:
            return None
        raise
    return {key_of({"namespace": ref.namespace, "name": ref.name}): version for ref, version in found.items()}


def _changed(before: Mapping[K, Object], now: Mapping[K, Object]) -> set[K]:
    """The keys under which there is another wish than there was, or none, or one for the first time."""
    return {
        key
        for key in before.keys() | now.keys()
        if key not in before or key not in now or wish(before[key]) != wish(now[key])
    }
