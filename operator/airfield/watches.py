"""What a watch event means: which cache takes it in, and whose turn it is to be reconciled. Knows nothing of kopf."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airfield.api import meta
from airfield.kube import kinds
from airfield.kube.client import KubeClient
from airfield.kube.inventory import Inventory, key_of
from airfield.kube.kinds import Kind, Ref
from airfield.kube.resources import Resources, namespaces_of, relisted, wish
from airfield.runtime.queue import WorkQueue

log = logging.getLogger(__name__)

CHILD_KINDS: Final[tuple[Kind, ...]] = (
    kinds.CONFIG_MAP,
    kinds.SECRET,
    kinds.SERVICE,
    kinds.SERVICE_ACCOUNT,
    kinds.PERSISTENT_VOLUME_CLAIM,
    kinds.POD,
    kinds.DEPLOYMENT,
    kinds.STATEFUL_SET,
    kinds.JOB,
    kinds.ROLE,
    kinds.ROLE_BINDING,
    kinds.POD_DISRUPTION_BUDGET,
    kinds.NETWORK_POLICY,
)
SELECTOR: Final = meta.LABEL_ENVIRONMENT

Object = Mapping[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Watches:
    """Feeds the caches and the queues."""

    resources: Resources
    inventory: Inventory
    environments: WorkQueue[Key]
    tenants: WorkQueue[str]
    classes: WorkQueue[str]

    def environment(self, obj: dict[str, Any], *, deleted: bool) -> None:
        """An environment appeared, changed or went."""
        metadata = obj["metadata"]
        key = (metadata["namespace"], metadata["name"])
        known = self.resources.environments.get(key)
        if deleted:
            self.resources.environments.pop(key, None)
        else:
            self.resources.observe_environment(obj)
        if deleted or known is None or wish(known) != wish(self.resources.environments[key]):
            self.environments.add(key)
        if deleted or known is None:
            for tenant in self.resources.claims(key[0]):
                self.tenants.add(tenant["metadata"]["name"])
        if deleted or _class(known) != _class(obj):
            for name in _class(known) | _class(obj):
                self.classes.add(name)

    def tenant(self, obj: dict[str, Any], *, deleted: bool) -> None:
        """A tenant appeared, changed or went: its environments, and the tenants it shares a claim with, look again."""
        name = obj["metadata"]["name"]
        known = self.resources.tenants.get(name)
        namespaces = namespaces_of(obj) | (namespaces_of(known) if known else set())
        if deleted:
            self.resources.tenants.pop(name, None)
        else:
            self.resources.tenants[name] = obj
        if deleted or known is None or wish(known) != wish(obj):
            for key in self.resources.in_namespaces(namespaces):
                self.environments.add(key)
            rivals = {
                tenant["metadata"]["name"] for namespace in namespaces for tenant in self.resources.claims(namespace)
            }
            for rival in rivals | {name}:
                self.tenants.add(rival)

    def blueprint(self, obj: dict[str, Any], *, deleted: bool) -> None:
        """A class appeared, changed or went: its environments look again."""
        name = obj["metadata"]["name"]
        known = self.resources.classes.get(name)
        if deleted:
            self.resources.classes.pop(name, None)
        else:
            self.resources.classes[name] = obj
        if deleted or known is None or wish(known) != wish(obj):
            for key in self.resources.of_class(name):
                self.environments.add(key)
            self.classes.add(name)

    def child(self, obj: Object, *, deleted: bool) -> None:
        """An object of an environment appeared, changed or went."""
        ref = Ref.of(obj)
        before = self.inventory.find(ref)
        if deleted:
            self.inventory.forget(obj)
        else:
            self.inventory.observe(obj)
        after = self.inventory.find(ref)
        if before != after:  # most events tell of nothing that a decision reads
            for owner in {found[0] for found in (before, after) if found}:
                self.environments.add(owner)

    async def relist(self, kube: KubeClient) -> None:
        """Read everything anew, and have everything looked at: what watches lost comes right."""
        resources = self.resources
        before = dict(resources.environments), dict(resources.tenants), dict(resources.classes)
        environments, tenants, classes, *children = await asyncio.gather(
            kube.list(kinds.AIRFLOW_ENVIRONMENT),
            kube.list(kinds.AIRFLOW_TENANT),
            kube.list(kinds.AIRFLOW_ENVIRONMENT_CLASS),
            *(kube.list(kind, label_selector=SELECTOR) for kind in CHILD_KINDS),
        )
        relisted(
            resources.environments,
            before[0],
            {(obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for obj in environments},
        )
        relisted(resources.tenants, before[1], {obj["metadata"]["name"]: obj for obj in tenants})
        relisted(resources.classes, before[2], {obj["metadata"]["name"]: obj for obj in classes})
        owned: defaultdict[Key, list[Object]] = defaultdict(list)
        for objects in children:
            for obj in objects:
                if (owner := key_of(obj)) is not None:
                    owned[owner].append(obj)
        for owner in self.inventory.keys() | owned.keys():
            self.inventory.replace(owner, owned[owner])
        for key in resources.environments.keys() | before[0].keys():
            self.environments.add(key)
        for name in resources.tenants:
            self.tenants.add(name)
        for name in resources.classes:
            self.classes.add(name)


def _class(environment: Object | None) -> set[str]:
    """The name of the class that an environment counts for, if any."""
    name = (environment or {}).get("spec", {}).get("className")
    return {name} if name else set()
