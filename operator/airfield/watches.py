"""What a watch event means: which cache takes it in, and whose turn it is to be reconciled. Knows nothing of kopf."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airfield.api.conditions import ConditionType, conditions_of, is_true
from airfield.environment.reasons import Reason
from airfield.kube import kinds
from airfield.kube.inventory import Child, Inventory, tenant_of
from airfield.kube.kinds import Kind, Ref
from airfield.kube.resources import Resources, namespaces_of, wish
from airfield.kube.secrets import SecretVersions
from airfield.kube.task_pods import TaskPods
from airfield.runtime.pace import MOMENT, Pace
from airfield.runtime.queue import WorkQueue

Object = Mapping[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Watches:
    """Feeds the caches and the queues."""

    resources: Resources
    inventory: Inventory
    secrets: SecretVersions
    environments: WorkQueue[Key]
    tenants: WorkQueue[str]
    classes: WorkQueue[str]
    belongings: Inventory = field(default_factory=lambda: Inventory(tenant_of))
    """What tenants have in their namespaces beside environments."""
    tasks: TaskPods = field(default_factory=TaskPods)
    """What pods of tasks request."""
    unserved: set[Kind] = field(default_factory=set)
    """Kinds that environments may have and that the API server does not know."""
    grants: dict[Key, object] = field(default_factory=dict)
    """What environments were last seen to have of their tenants' quotas."""
    urls: dict[Key, str] = field(default_factory=dict)
    """Where environments were last seen to be reached."""
    pace: Pace[Key] = field(default_factory=Pace)
    """How soon environments are looked at."""

    def environment(self, obj: dict[str, Any], *, deleted: bool) -> None:
        """An environment appeared, changed or went."""
        metadata = obj["metadata"]
        key = (metadata["namespace"], metadata["name"])
        known = self.resources.environments.get(key)
        if self._late(known, obj, deleted=deleted):
            return
        if deleted:
            self.resources.forget(self.resources.environments, key, metadata["uid"])
            self.pace.forget(key)
        else:
            self.resources.observe(self.resources.environments, key, obj)
        now = self.resources.environments.get(key)
        changed = known is None or now is None or wish(known) != wish(now)
        if deleted or changed:
            self.environments.add(key)
            for tenant in self.resources.claims(key[0]):  # what it counts, and who may read which Secrets
                self.tenants.add_after(tenant["metadata"]["name"], MOMENT)
        moving = self.pace.moving
        (moving.add if now and is_true(now, ConditionType.RECONCILING) else moving.discard)(key)
        self._reached(key, (now.get("status") or {}).get("url") if now else None)
        granted = (now.get("status") or {}).get("granted") if now else None
        self._granted(key, granted, wished=known is not None and changed)
        if deleted or _class(known) != _class(obj):
            for name in _class(known) | _class(obj):
                self.classes.add(name)

    def _late(self, known: Object | None, obj: Object, *, deleted: bool) -> bool:
        """Whether an event comes too late to be true: kopf keeps order by uid only, and others may have told of an end.

        What is told to be gone has been replaced, or what is told to be there is known to be gone.
        """
        uid = obj["metadata"]["uid"]
        return (known is not None and known["metadata"]["uid"] != uid) if deleted else uid in self.resources.gone

    def _granted(self, key: Key, granted: object, *, wished: bool) -> None:
        """What an environment has of its tenant's quota may have changed, or what it wants (`wished`).

        The tenant looks again; and unless the environment has only got what it wanted, so does who waits for some.
        """
        before = self.grants.pop(key, None)
        if granted is not None:
            self.grants[key] = granted
        tenant = self.resources.holder(key[0])
        if tenant is not None and before != granted:
            self.tenants.add_after(tenant["metadata"]["name"], MOMENT)
        if tenant is None or not (tenant.get("spec") or {}).get("quota"):
            return
        if wished or (before is not None and before != granted):
            fellows = self.resources.in_namespaces(namespaces_of(tenant)) - {key}
            self.look_again(self._waiting(Reason.QUOTA_EXCEEDED, fellows), routine=True)

    def _reached(self, key: Key, url: str | None) -> None:
        """An environment may be reached elsewhere than before: who waits for its host name looks again."""
        before = self.urls.pop(key, None)
        if url is not None:
            self.urls[key] = url
        if before not in {None, url}:
            self.look_again(self._waiting(Reason.HOST_TAKEN, self.resources.environments), routine=True)

    def missed(self, keys: Iterable[Key]) -> None:
        """A list lacks environments of whose end nobody has told."""
        for key in keys:
            self.pace.forget(key)
            self._reached(key, None)
            self._granted(key, None, wished=False)

    def tenant(self, obj: dict[str, Any], *, deleted: bool) -> None:
        """A tenant appeared, changed or went: its environments, and the tenants it shares a claim with, look again."""
        name = obj["metadata"]["name"]
        known = self.resources.tenants.get(name)
        if self._late(known, obj, deleted=deleted):
            return
        namespaces = namespaces_of(obj) | (namespaces_of(known) if known else set())
        if deleted:
            self.resources.forget(self.resources.tenants, name, obj["metadata"]["uid"])
        else:
            self.resources.observe(self.resources.tenants, name, obj)
        now = self.resources.tenants.get(name)
        if known is None or now is None or wish(known) != wish(now):
            self.look_again(self.resources.in_namespaces(namespaces), routine=True)
            self.tenants.add(name)
            self._tenants(rival for namespace in namespaces for rival in self.resources.claims(namespace))

    def namespace(self, obj: Object, *, deleted: bool) -> None:
        """A namespace appeared, changed or went: who lists it, or is its label's, looks again.

        If it is another's now, so do all in it.
        """
        name = obj["metadata"]["name"]
        known, holder = self.resources.namespaces.get(name), self.resources.holder(name)
        if deleted:
            self.resources.namespaces.pop(name, None)
        else:
            self.resources.observe_namespace(obj)
        now = self.resources.namespaces.get(name)
        if known is None or now is None or replace(known, version="") != replace(now, version=""):
            labelled = {each.tenant for each in (known, now) if each} & self.resources.tenants.keys()
            self._tenants([*self.resources.claims(name), *map(self.resources.tenants.__getitem__, labelled)])
        if self.resources.holder(name) is not holder:
            self.look_again(self.resources.in_namespaces({name}), routine=True)

    def blueprint(self, obj: dict[str, Any], *, deleted: bool) -> None:
        """A class appeared, changed or went: its environments look again."""
        name = obj["metadata"]["name"]
        known = self.resources.classes.get(name)
        if self._late(known, obj, deleted=deleted):
            return
        if deleted:
            self.resources.forget(self.resources.classes, name, obj["metadata"]["uid"])
        else:
            self.resources.observe(self.resources.classes, name, obj)
        now = self.resources.classes.get(name)
        if known is None or now is None or wish(known) != wish(now):
            self.look_again(self.resources.of_class(name), routine=True)
            self.classes.add(name)
            self._tenants(tenant for tenant in self.resources.tenants.values() if name in _allowed_by(tenant))

    def tell(self, kind: Kind, obj: Object, *, deleted: bool) -> None:
        """Take in an object as the answer to a write had it: its event will be no news any more, whatever is new in it.

        Or, with `deleted`, one that is gone, as it was.
        """
        take_in = {
            kinds.AIRFLOW_ENVIRONMENT: self.environment,
            kinds.AIRFLOW_TENANT: self.tenant,
            kinds.AIRFLOW_ENVIRONMENT_CLASS: self.blueprint,
            kinds.NAMESPACE: self.namespace,
        }[kind]
        take_in(dict(obj), deleted=deleted)

    def belonging(self, obj: Object, *, deleted: bool) -> None:
        """An object of a tenant appeared, changed or went: it looks again, and so does who claims the namespace."""
        ref, belongings = Ref.of(obj), self.belongings
        before = belongings.find(ref)
        (belongings.forget if deleted else belongings.observe)(obj)
        after = belongings.find(ref)
        if _wanted(before) != _wanted(after):
            self.put_right(found[0] for found in (before, after) if found)
            self._tenants(self.resources.claims(ref.namespace))  # theirs, if another tenant has written over it

    def served(self, kind: Kind, yes: bool) -> None:
        """The API server knows a kind that not all do, or does not: who waits for it looks again."""
        if not yes:
            self.unserved.add(kind)
        elif kind in self.unserved:
            self.unserved.remove(kind)
            self.look_again(self._waiting(Reason.KIND_NOT_SERVED, self.resources.environments), routine=True)

    def put_right(self, tenants: Iterable[Key]) -> None:
        """Have tenants, by their key in `belongings`, looked at."""
        for _, tenant in tenants:
            self.tenants.add(tenant)

    def seen(self, obj: Object) -> None:
        """An object of an environment, or any Secret, is there."""
        self._child(obj, self.inventory.observe)
        if obj["kind"] == kinds.POD.kind:
            self.tasks.seen(obj)
        if obj["kind"] == kinds.SECRET.kind:
            metadata = obj["metadata"]
            if not self.secrets.knows(key_of(metadata), metadata.get("resourceVersion", "")):
                self.look_again(self.secrets.observe(obj) | self._administered(obj))

    def gone(self, obj: Object) -> None:
        """An object of an environment, or any Secret, is gone."""
        self._child(obj, self.inventory.forget)
        if obj["kind"] == kinds.POD.kind:
            self.tasks.gone(obj)
        if obj["kind"] == kinds.SECRET.kind:
            self.look_again(self.secrets.forget(obj))

    def knows(self, ref: Ref, version: str) -> bool:
        """Whether an object of an environment, or any Secret, was seen in that very resourceVersion."""
        known = self.inventory.knows(ref, version)
        if ref.kind != kinds.SECRET.kind:
            return known
        return self.secrets.knows((ref.namespace, ref.name), version) and (known or self.inventory.find(ref) is None)

    def listed(self, kind: Kind, namespace: str, refs: Collection[Ref], version: str) -> None:
        """What was not in a complete list is gone."""
        self.look_again(self.inventory.retain(kind, namespace, refs, version))
        present = {(ref.namespace, ref.name) for ref in refs}
        if kind == kinds.POD:
            self.tasks.retain(namespace, present)
        if kind == kinds.SECRET:
            self.look_again(self.secrets.retain(namespace, present, version))

    def _child(self, obj: Object, take_in: Callable[[Object], object]) -> None:
        ref = Ref.of(obj)
        before = self.inventory.find(ref)
        take_in(obj)
        after = self.inventory.find(ref)
        if before == after or (after is not None and _harmless(before) and _harmless(after)):
            return  # most events tell of nothing that a decision reads
        to_put_right = _wanted(before) != _wanted(after)
        for key in {found[0] for found in (before, after) if found}:
            if self._goes(key):
                if after is None and ref.kind == kinds.POD.kind:  # nothing else is waited for
                    self.environments.add_after(key, self.pace.moment())
            elif to_put_right and before is None:  # it is not lost; and most of those that appear are in the first list
                self.environments.add(key, routine=True)
            elif to_put_right:
                self.environments.add_after(key, 0.0 if self.pace.repairs_at_once(key) else MOMENT, routine=False)
            else:
                self.environments.add_after(key, self.pace.moment())

    def _goes(self, key: Key) -> bool:
        """Whether an environment is being deleted, or is not there: nothing of it is put right."""
        body = self.resources.environments.get(key)
        return body is None or "deletionTimestamp" in body["metadata"]

    def _administered(self, secret: Object) -> set[Key]:
        """The environments that may wait for the administrator of a database server, if that is a Secret of one.

        Their classes look again too.
        """
        found, key = set(), key_of(secret["metadata"])
        for name, blueprint in self.resources.classes.items():
            if key in _administrators(blueprint):
                self.classes.add(name)
                environments = self.resources.environments
                found |= {e for e in self.resources.of_class(name) if not is_true(environments[e], ConditionType.READY)}
        return found

    def _waiting(self, reason: Reason, keys: Iterable[Key]) -> set[Key]:
        """Those of the environments one of whose conditions has that reason."""
        found = ((key, conditions_of(self.resources.environments[key])) for key in keys)
        return {key for key, all_of in found if any(each.get("reason") == reason for each in all_of.values())}

    def _tenants(self, bodies: Iterable[Object]) -> None:
        """Have tenants looked at."""
        for name in {body["metadata"]["name"] for body in bodies}:
            self.tenants.add(name)

    def look_again(self, keys: Collection[Key], *, routine: bool = False) -> None:
        """Have environments looked at; with `routine` after those to which something has happened."""
        for key in keys:
            self.environments.add(key, routine=routine)


def _harmless(found: tuple[Key, Child] | None) -> bool:
    """Whether it is only one of a workload's pods, of which the workload tells: not wrong, and not at its end."""
    if found is None:
        return True
    state = found[1].state
    return found[1].ref.kind == kinds.POD.kind and not (
        state.problem or state.terminated or state.phase in {"Succeeded", "Failed"}
    )


def _wanted(found: tuple[Key, Child] | None) -> object:
    """What of an object may have to be put right; of a pod nothing, since its controller sees to it."""
    if found is None or found[1].ref.kind == kinds.POD.kind:
        return None
    return found[0], found[1].shape


def key_of(metadata: Object) -> Any:
    """The key of an object: environments go by namespace and name, the others by name."""
    return (metadata["namespace"], metadata["name"]) if metadata.get("namespace") else metadata["name"]


def _allowed_by(tenant: Object) -> Collection[str]:
    """The classes that a tenant may use."""
    return (tenant.get("spec") or {}).get("allowedClasses") or ()


def _administrators(blueprint: Object) -> set[Key]:
    """The Secrets of those who administrate a class's database servers."""
    secrets = [server.get("adminSecret", {}) for server in blueprint.get("spec", {}).get("databaseServers") or ()]
    return {(secret.get("namespace", ""), secret.get("name", "")) for secret in secrets}


def _class(environment: Object | None) -> set[str]:
    """The name of the class that an environment counts for, if any."""
    name = (environment or {}).get("spec", {}).get("className")
    return {name} if name else set()
