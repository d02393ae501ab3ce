"""What is listed and watched without kopf, and which of the watches' methods each kind of object goes to."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from airfield.api import meta
from airfield.kube import kinds
from airfield.kube.client import KubeClient
from airfield.kube.kinds import Kind, Ref
from airfield.kube.reflector import Reflector, Sink
from airfield.watches import Object, Watches, key_of

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
    kinds.INGRESS,
    kinds.HTTP_ROUTE,
    kinds.CERTIFICATE,
)
OPTIONAL: Final = frozenset({kinds.HTTP_ROUTE, kinds.CERTIFICATE})
"""Kinds that not every cluster serves; their definitions may come later, and go."""
BELONGINGS: Final[tuple[Kind, ...]] = (
    kinds.ROLE,
    kinds.ROLE_BINDING,
    kinds.RESOURCE_QUOTA,
    kinds.LIMIT_RANGE,
    kinds.NETWORK_POLICY,
)
"""What tenants have in their namespaces beside environments."""
OF_ENVIRONMENTS: Final = f"{meta.LABEL_ENVIRONMENT},{meta.LABEL_ENVIRONMENT}!="
"""The label is there, and not empty: nobody's objects are not kept, so each list would read them again."""
OF_TENANTS: Final = (
    f"{meta.LABEL_MANAGED_BY}={meta.MANAGED_BY},{meta.LABEL_TENANT},{meta.LABEL_TENANT}!=,!{meta.LABEL_ENVIRONMENT}"
)


def reflectors(
    watches: Watches,
    kube: KubeClient,
    namespaces: Sequence[str],
    resync_seconds: float,
    on_event: Callable[[str], None],
) -> list[Reflector]:
    """What feeds the watches: one for each kind, in each of the namespaces or, without, in all."""

    def one(kind: Kind, sink: Sink, namespace: str = "", **options: Any) -> Reflector:
        return Reflector(kube, kind, sink, namespace=namespace, resync_seconds=resync_seconds, **options)

    places = tuple(namespaces) or ("",)
    # Of Secrets all are watched, but only their metadata: environments refer to Secrets of their users.
    whole = {"label_selector": OF_ENVIRONMENTS, "on_event": on_event}
    metadata = {"metadata_only": True, "on_event": on_event}
    children = [
        one(
            kind,
            watches,
            place,
            **(metadata if kind == kinds.SECRET else whole),
            on_served=partial(watches.served, kind) if kind in OPTIONAL else None,
        )
        for kind in CHILD_KINDS
        for place in places
    ]
    belongings = [
        one(kind, _Belongings(watches), place, label_selector=OF_TENANTS) for kind in BELONGINGS for place in places
    ]
    own = [
        one(kind, _Ends(watches), place, metadata_only=True)
        for kind in (kinds.AIRFLOW_ENVIRONMENT, kinds.AIRFLOW_TENANT, kinds.AIRFLOW_ENVIRONMENT_CLASS)
        for place in (places if kind.namespaced else ("",))
    ]
    # Who looks after chosen namespaces makes none, and needs no right to see others.
    around = [] if namespaces else [one(kinds.NAMESPACE, _Namespaces(watches), metadata_only=True)]
    return [*children, *belongings, *own, *around]


@dataclass(frozen=True)
class _Ends:
    """Tells of our own resources that are gone. When kopf lists anew, nothing does: a list has no deletions."""

    watches: Watches

    def seen(self, obj: Object) -> None:
        """Is for kopf to tell."""

    def knows(self, ref: Ref, version: str) -> bool:
        """Nothing is read of it."""
        del ref, version
        return True

    def gone(self, obj: Object) -> None:
        """One is gone."""
        store, tell = self._of(obj["kind"])
        known = store.get(key_of(obj["metadata"]))
        if known is not None and known["metadata"]["uid"] == obj["metadata"]["uid"]:
            tell(known, deleted=True)

    def listed(self, kind: Kind, namespace: str, refs: Collection[Ref], version: str) -> None:
        """Whatever is not in the list, and not newer, is gone."""
        store, tell = self._of(kind.kind)
        for obj in list(store.values()):
            metadata = obj["metadata"]
            ref = Ref(kind.api_version, kind.kind, metadata.get("namespace") or "", metadata["name"])
            older = int(metadata["resourceVersion"]) <= int(version)
            if older and ref not in refs and namespace in {"", ref.namespace}:
                tell(obj, deleted=True)

    def _of(self, kind: str) -> tuple[dict[Any, dict[str, Any]], Callable[..., None]]:
        resources, watches = self.watches.resources, self.watches
        match kind:
            case "AirflowEnvironment":
                return resources.environments, watches.environment
            case "AirflowTenant":
                return resources.tenants, watches.tenant
            case _:
                return resources.classes, watches.blueprint


@dataclass(frozen=True)
class _Namespaces:
    """Tells of namespaces."""

    watches: Watches

    def seen(self, obj: Object) -> None:
        """One is there."""
        self.watches.namespace(obj, deleted=False)

    def gone(self, obj: Object) -> None:
        """One is gone."""
        self.watches.namespace(obj, deleted=True)

    def knows(self, ref: Ref, version: str) -> bool:
        """Whether it is as it was seen."""
        known = self.watches.resources.namespaces.get(ref.name)
        return known is not None and known.version == version

    def listed(self, kind: Kind, namespace: str, refs: Collection[Ref], version: str) -> None:
        """Whatever is not in the list, and not newer, is gone."""
        del kind, namespace
        present = {ref.name for ref in refs}
        for name, known in list(self.watches.resources.namespaces.items()):
            if name not in present and int(known.version) <= int(version):
                self.watches.namespace({"metadata": {"name": name}}, deleted=True)


@dataclass(frozen=True)
class _Belongings:
    """Tells of what tenants have in their namespaces."""

    watches: Watches

    def seen(self, obj: Object) -> None:
        """An object of a tenant is there."""
        self.watches.belonging(obj, deleted=False)

    def gone(self, obj: Object) -> None:
        """One is gone."""
        self.watches.belonging(obj, deleted=True)

    def knows(self, ref: Ref, version: str) -> bool:
        """Whether it is as it was seen."""
        return self.watches.belongings.knows(ref, version)

    def listed(self, kind: Kind, namespace: str, refs: Collection[Ref], version: str) -> None:
        """Whatever is not in the list, and not newer, is gone."""
        self.watches.put_right(self.watches.belongings.retain(kind, namespace, refs, version))
