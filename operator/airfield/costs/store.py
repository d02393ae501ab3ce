"""Pages of the ledger as ConfigMaps in the operator's namespace."""

from collections.abc import Mapping
from typing import Any

from airfield.api import meta
from airfield.costs.ledger import Key, Page, read, written
from airfield.kube.client import KubeClient
from airfield.kube.kinds import CONFIG_MAP, Ref

Object = Mapping[str, Any]
Name = tuple[str, int]
"""Month and number of a page."""


class Unreadable(ValueError):  # noqa: N818 - what is wrong
    """A ConfigMap of the ledger that somebody has changed."""


async def names(kube: KubeClient, namespace: str, tenant: str | None = None) -> dict[str, set[Name]]:
    """Which pages there are, by tenant."""
    selector = f"{meta.LABEL_COSTS}" + (f",{meta.LABEL_TENANT}={tenant}" if tenant else "")
    found: dict[str, set[Name]] = {}
    for obj in await kube.list(CONFIG_MAP, namespace, selector, metadata_only=True):
        labels, number = obj["metadata"]["labels"], obj["metadata"]["name"].rpartition(".")[2]
        if number.isdecimal() and labels.get(meta.LABEL_TENANT):
            found.setdefault(labels[meta.LABEL_TENANT], set()).add((labels[meta.LABEL_COSTS], int(number)))
    return found


async def load(kube: KubeClient, namespace: str, tenant: str, name: Name) -> tuple[Page, str] | None:
    """A page and its version; None if there is none. Unreadable says which ConfigMap cannot be read."""
    obj = await kube.get(_ref(namespace, tenant, name))
    if obj is None:
        return None
    entries = {}
    for each, entry in (obj.get("data") or {}).items():
        try:
            entries[_key(each)] = read(entry)
        except ValueError:
            where = f"ConfigMap {namespace}/{obj['metadata']['name']}"
            raise Unreadable(f"{where}: {each!r} is no entry of a ledger any more; put it back") from None
    return Page(tenant, *name, entries), obj["metadata"]["resourceVersion"]


async def save(kube: KubeClient, namespace: str, page: Page, before: Page | None, version: str) -> str | None:
    """Write a page: what is new of it since `before`, of that version, if it is the same. The version afterwards.

    None if it is another page by now than was thought, or gone.

    Raises:
        ApiError: when it could not be written; also `conflict`, when somebody else was faster.
    """
    ref, known = _ref(namespace, page.tenant, page.name), before.entries if before and before.name == page.name else {}
    changed = {key: segments for key, segments in page.entries.items() if segments is not known.get(key)}
    data = {_name(key): written(segments) for key, segments in changed.items()}
    if before is None or before.name != page.name:
        labels = {meta.LABEL_MANAGED_BY: meta.MANAGED_BY, meta.LABEL_TENANT: page.tenant, meta.LABEL_COSTS: page.month}
        metadata = {"name": ref.name, "namespace": namespace, "labels": labels}
        live = await kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    else:
        live = await kube.patch(ref, {"metadata": {"resourceVersion": version}, "data": data})
    return None if live is None else str(live["metadata"]["resourceVersion"])


def _ref(namespace: str, tenant: str, name: Name) -> Ref:
    return Ref("v1", "ConfigMap", namespace, f"airfield-costs.{tenant}.{name[0]}.{name[1]}")


def _name(key: Key) -> str:
    return ".".join(key)


def _key(name: str) -> Key:
    namespace, _, environment = name.partition(".")
    return namespace, environment
