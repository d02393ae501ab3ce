"""Our own resources as last seen by the watches: environments, tenants, classes. In memory, no I/O."""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airfield.api import meta
from airfield.kube.namespaces import namespace_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airfield.kube.namespaces import Namespace

K = TypeVar("K")
Key = tuple[str, str]
Object = dict[str, Any]


@dataclass
class Resources:
    """The latest body of every resource. Environments go by (namespace, name), the others by name."""

    environments: dict[Key, Object] = field(default_factory=dict)
    tenants: dict[str, Object] = field(default_factory=dict)
    classes: dict[str, Object] = field(default_factory=dict)
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    """Empty where the operator looks after chosen namespaces only, and in the command line."""
    reserved: frozenset[str] = frozenset()
    """Namespaces that can belong to no tenant, beside those of the system: the operator's own."""
    gone: set[str] = field(default_factory=set, repr=False)
    """uids of what was deleted since the last relist began: a list that was made before may still have it."""
    _claims: dict[str, list[Object]] = field(default_factory=dict, repr=False)
    _indexed: tuple[Object, ...] = field(default=(), repr=False)
    """Which bodies `_claims` was made of; none is changed in place."""

    def observe(self, store: dict[K, Object], key: K, body: Object) -> None:
        """Take in a newer body of a resource; an older one than is known is dropped."""
        known = store.get(key)
        if known is None or not _older(body["metadata"], known["metadata"]):
            store[key] = slim(body)

    def forget(self, store: dict[K, Object], key: K, uid: str) -> None:
        """Take in that a resource is gone; one that has taken its name since stays."""
        self.gone.add(uid)
        if key in store and store[key]["metadata"]["uid"] == uid:
            del store[key]

    def claims(self, namespace: str) -> list[Object]:
        """The tenants that list the namespace, by name."""
        held = tuple(self.tenants.values())
        if len(held) != len(self._indexed) or not all(map(operator.is_, held, self._indexed)):
            self._indexed, self._claims = held, {}
            for _, tenant in sorted(self.tenants.items()):
                for claimed in namespaces_of(tenant):
                    self._claims.setdefault(claimed, []).append(tenant)
        return self._claims.get(namespace, [])

    def holder(self, namespace: str) -> Object | None:
        """The tenant that the namespace belongs to.

        Of several that list it, the one that the namespace's label names: whoever comes later takes nothing away.
        Without such a label the oldest one.
        """
        known = self.namespaces.get(namespace)
        label = known.tenant if known else ""
        claims = [] if self.is_reserved(namespace) else self.claims(namespace)
        return min(claims, key=lambda tenant: (tenant["metadata"]["name"] != label, _age(tenant)), default=None)

    def is_reserved(self, namespace: str) -> bool:
        """Whether a namespace can belong to no tenant, whoever lists it."""
        return namespace in self.reserved or namespace == "default" or namespace.startswith("kube-")

    def held(self, tenant: str, namespaces: Collection[str]) -> set[str]:
        """Those of the namespaces that belong to the tenant."""
        return {each for each in namespaces if _name(self.holder(each)) == tenant}

    def stamped(self, tenant: str) -> set[str]:
        """The namespaces that we have labelled as the tenant's, whether they are or not."""
        return {
            name
            for name, known in self.namespaces.items()
            if known.tenant == tenant and meta.LABEL_TENANT in known.owned
        }

    def observe_namespace(self, obj: Mapping[str, Any]) -> None:
        """Take in a newer state of a namespace; an older one than is known is dropped."""
        name, found = obj["metadata"]["name"], namespace_of(obj)
        known = self.namespaces.get(name)
        if known is None or int(known.version or 0) <= int(found.version or 0):
            self.namespaces[name] = found

    def of_class(self, name: str) -> set[Key]:
        """The environments that are built from a class."""
        return {key for key, obj in self.environments.items() if obj.get("spec", {}).get("className") == name}

    def in_namespaces(self, namespaces: set[str]) -> set[Key]:
        """The environments in any of the namespaces."""
        return {key for key in self.environments if key[0] in namespaces}


def wish(obj: Mapping[str, Any]) -> tuple[object, ...]:
    """What of one of our resources is somebody's wish: everything but its status and the server's bookkeeping."""
    metadata = obj["metadata"]
    fields = ("uid", "generation", "deletionTimestamp", "finalizers", "labels", "annotations")
    return tuple(metadata.get(field) for field in fields)


def relisted(
    store: dict[K, Object], before: Mapping[K, Object], listed: Mapping[K, Object], gone: Collection[str] = ()
) -> None:
    """Take in a complete list that was asked for when the store held `before`; what events did since stays.

    `gone`: uids of what was deleted since.
    """
    for key in before.keys() | listed.keys():
        if store.get(key) is before.get(key):
            if key in listed and gone and listed[key]["metadata"]["uid"] in gone:
                continue
            if key in listed:
                store[key] = listed[key]
            else:
                del store[key]


def namespaces_of(tenant: Mapping[str, Any]) -> set[str]:
    """The namespaces that a tenant lists."""
    return {entry.get("name", "") for entry in tenant.get("spec", {}).get("namespaces") or ()}


def _name(tenant: Object | None) -> str | None:
    return tenant["metadata"]["name"] if tenant else None


def _age(tenant: Object) -> tuple[str, str]:
    """Sorts tenants, the oldest first."""
    metadata = tenant["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["name"]


def slim(obj: Object) -> Object:
    """The object without the half of it that nobody here reads: who set which field when."""
    obj["metadata"].pop("managedFields", None)
    slimmer: Object = _sharing(obj)
    return slimmer


def _sharing(value: Any) -> Any:
    """The same, with the texts that thousands of resources have in common, keys and sentences, held once for all."""
    match value:
        case dict():
            return {sys.intern(key): _sharing(each) for key, each in value.items()}
        case list():
            return [_sharing(each) for each in value]
        case str():
            return sys.intern(value)
        case _:
            return value


def kept(known: Object | None, listed: Object) -> Object:
    """What stays of a listed object: the known body where the server has no other, so that none is held twice."""
    same = known is not None and all(
        known["metadata"].get(field) == listed["metadata"].get(field) for field in ("uid", "resourceVersion")
    )
    return known if known is not None and same else slim(listed)


def _older(metadata: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether an object's version comes before a known one. Resource versions are comparable since Kubernetes 1.35."""
    ours, theirs = metadata.get("resourceVersion", ""), known.get("resourceVersion", "")
    return (
        metadata.get("uid") == known.get("uid") and ours.isdecimal() and theirs.isdecimal() and int(ours) < int(theirs)
    )
