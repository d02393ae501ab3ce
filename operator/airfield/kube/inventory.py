"""What the cluster looked like at the last watch event: the children of every environment, in memory.

Pure: no I/O. It is a cache that may be lost at any time; the next list repairs it, and all that a gap costs is a
server-side apply that changes nothing.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any

from airfield.api import meta
from airfield.kube.kinds import Ref
from airfield.kube.ownership import digest, owned_digest
from airfield.kube.state import ChildState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from airfield.kube.kinds import Kind

TOMBSTONES = 4096
"""Deletions remembered: many more than can happen while the answer to one request is under way."""

Key = tuple[str, str]
"""Namespace and name of an environment; of a tenant an empty text and its name."""


@dataclass(frozen=True, slots=True)
class Child:
    """One object of an environment, boiled down to what decisions need."""

    ref: Ref
    uid: str
    owned: str
    labels: Mapping[str, str]
    state: ChildState
    deleting: bool

    @property
    def shape(self) -> tuple[object, ...]:
        """All of it but the state, of which only what a claim asks for counts."""
        return self.uid, self.owned, self.labels, self.deleting, self.state.claim


@dataclass(frozen=True, slots=True)
class _Seen:
    """A child and the version it was seen at."""

    child: Child
    version: int | None


def _version(obj: Mapping[str, Any]) -> int | None:
    """An object's resourceVersion."""
    return _number(obj["metadata"].get("resourceVersion", ""))


def _number(version: str) -> int | None:
    """A resourceVersion. They are comparable numbers since Kubernetes 1.35; None where they are not."""
    return int(version) if version.isdecimal() else None


def _older(a: int | None, b: int | None) -> bool:
    """Whether version `a` is known to come before version `b`."""
    return a is not None and b is not None and a < b


def child_of(obj: Mapping[str, Any], ref: Ref) -> Child:
    """Boil a live object down; `ref` is its name."""
    metadata = obj["metadata"]
    return Child(
        ref=ref,
        uid=metadata.get("uid", ""),
        owned=intern(owned_digest(obj)),  # the same for the same object of other environments
        labels=_shared(tuple((metadata.get("labels") or {}).items())),
        state=state_of(obj),
        deleting="deletionTimestamp" in metadata,
    )


@lru_cache(maxsize=1024)
def _shared(labels: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Labels, kept once for the objects of an environment that have the same; they are seen one after the other."""
    return {intern(key): intern(value) for key, value in labels}


def environment_of(obj: Mapping[str, Any]) -> Key | None:
    """The environment that an object says it belongs to."""
    metadata = obj["metadata"]
    name = (metadata.get("labels") or {}).get(meta.LABEL_ENVIRONMENT)
    return (intern(metadata.get("namespace", "")), intern(name)) if name else None


def tenant_of(obj: Mapping[str, Any]) -> Key | None:
    """The tenant that an object of no environment says it belongs to: its name, after an empty namespace."""
    labels = obj["metadata"].get("labels") or {}
    name = None if meta.LABEL_ENVIRONMENT in labels else labels.get(meta.LABEL_TENANT)
    return ("", intern(name)) if name else None


def _fingerprint(records: Mapping[Ref, object]) -> str:
    """Digest of what was applied and of what we own, object by object."""
    return digest([(str(ref), records[ref]) for ref in sorted(records)])


class Inventory:
    """Children by environment, and what was last applied to each of them.

    Watch events and the answers to our own writes arrive in any order; an older view never replaces a newer one.
    """

    def __init__(self, key_of: Callable[[Mapping[str, Any]], Key | None] = environment_of) -> None:
        """`key_of`: whose an object is, by its labels; None: nobody's that is of interest."""
        self._key_of = key_of
        self._seen: dict[Key, dict[Ref, _Seen]] = {}
        self._applied: dict[Key, dict[Ref, tuple[str, str]]] = {}
        self._home: dict[Ref, Key] = {}
        self._revisions: dict[Key, int] = {}
        self._changes = itertools.count(1)  # of all environments: a number is never given twice
        self._deleted: dict[str, int | None] = {}  # uid → version of the deletion; the latest TOMBSTONES of them

    def observe(self, obj: Mapping[str, Any]) -> Key | None:
        """Take in an object from a watch event or an answer; the environment it belongs to, or did until now."""
        ref, key, version = Ref.of(obj), self._key_of(obj), _version(obj)
        home = self._home.get(ref)
        if home is not None and version is not None and version == self._seen[home][ref].version:
            return home  # the event of what an answer has told already, or a list of what events have
        deletion = self._deleted.get(obj["metadata"].get("uid", ""))
        if _older(version, deletion) or (home is not None and _older(version, self._seen[home][ref].version)):
            return home or key
        if home is not None and home != key:
            self._remove(home, ref)
        if key is not None:
            known = self._seen.setdefault(key, {}).get(ref)
            child = child_of(obj, known.child.ref if known else ref)
            self._seen[key][ref] = _Seen(child, version)
            self._home[ref] = key
            if known is None or known.child.shape != child.shape:
                self._revise(key, ref)
        return key or home

    def knows(self, ref: Ref, version: str) -> bool:
        """Whether an object was taken in in that very resourceVersion."""
        home, number = self._home.get(ref), _number(version)
        return home is not None and number is not None and number == self._seen[home][ref].version

    def forget(self, obj: Mapping[str, Any]) -> Key | None:
        """Take in a DELETED event; the environment that the object belonged to, if any."""
        ref, version = Ref.of(obj), _version(obj)
        # The answer to an apply may be handled after the event of a later deletion; it must not bring the object back.
        self._deleted[obj["metadata"].get("uid", "")] = version
        if len(self._deleted) > TOMBSTONES:
            del self._deleted[next(iter(self._deleted))]
        home = self._home.get(ref)
        if home is not None and not _older(version, self._seen[home][ref].version):
            self._remove(home, ref)
        return home or self._key_of(obj)

    def gone(self, ref: Ref) -> None:
        """Take in the news that an object of that name does not exist any more."""
        home = self._home.get(ref)
        if home is not None:
            self._remove(home, ref)

    def retain(self, kind: Kind, namespace: str, present: Collection[Ref], version: str) -> set[Key]:
        """Take in a complete list of a kind, of a namespace if it is not "": whatever else of it was older is gone.

        The environments that lost something. `version`: the list's.
        """
        latest = _number(version)
        gone = [
            (ref, key)
            for ref, key in self._home.items()
            if ref.kind == kind.kind
            and ref not in present
            and namespace in {"", ref.namespace}
            and not _older(latest, self._seen[key][ref].version)
        ]
        for ref, key in gone:
            self._remove(key, ref)
        return {key for _, key in gone}

    def children(self, key: Key) -> dict[Ref, Child]:
        """The children of an environment, as last seen."""
        return {ref: seen.child for ref, seen in self._seen.get(key, {}).items()}

    def find(self, ref: Ref) -> tuple[Key, Child] | None:
        """The environment that an object belongs to, and the object as last seen."""
        home = self._home.get(ref)
        return None if home is None else (home, self._seen[home][ref].child)

    def keys(self) -> set[Key]:
        """All environments that have children."""
        return set(self._seen)

    def in_namespace(self, namespace: str) -> set[Key]:
        """The environments of a namespace that have children, whether they exist any more or not."""
        return {key for key in self._seen if key[0] == namespace}

    def applied(self, key: Key, ref: Ref) -> tuple[str, str] | None:
        """Hash of the manifest last applied, and digest of what we owned right after; None when unknown."""
        return self._applied.get(key, {}).get(ref)

    def record_applied(self, key: Key, live_obj: Mapping[str, Any], desired_hash: str) -> None:
        """Remember an apply: the object that the API server answered with, and `digest` of the manifest sent."""
        if self.observe(live_obj) != key:
            return
        seen = self._seen.get(key, {}).get(Ref.of(live_obj))
        if seen is None:  # gone again
            return
        # A later change of somebody else's may have been seen already; what counts is what we owned right after ours.
        owned = seen.child.owned if seen.version == _version(live_obj) else owned_digest(live_obj)
        self._applied.setdefault(key, {})[seen.child.ref] = (desired_hash, owned)

    def needs_apply(self, key: Key, manifest: Mapping[str, Any]) -> bool:
        """Whether the object is missing, wanted differently, touched by someone else, or of unknown history."""
        ref = Ref.of(manifest)
        seen = self._seen.get(key, {}).get(ref)
        return seen is None or self.applied(key, ref) != (digest(manifest), seen.child.owned)

    def drifted(self, key: Key, manifest: Mapping[str, Any]) -> bool:
        """Whether somebody has touched the object since this very manifest was applied to it, as far as is known."""
        ref = Ref.of(manifest)
        wished, _ = self.applied(key, ref) or ("", "")
        return wished == digest(manifest) and self.needs_apply(key, manifest)

    def fingerprint(self, key: Key, refs: Iterable[Ref]) -> str:
        """Digest of what was applied to these objects and of what we own of them; "" if one was not applied."""
        applied, seen = self._applied.get(key, {}), self._seen.get(key, {})
        records = {ref: applied.get(ref) for ref in refs}
        if any(
            record is None or ref not in seen or record[1] != seen[ref].child.owned for ref, record in records.items()
        ):
            return ""
        return _fingerprint(records)

    def recognise(self, key: Key, manifests: Iterable[Mapping[str, Any]], fingerprint: str) -> bool:
        """Take these manifests for applied if, as the objects are now, their `fingerprint` is this one.

        So a new process finds an environment as the last one left it, and applies nothing.
        """
        seen = self._seen.get(key, {})
        wanted = {Ref.of(manifest): digest(manifest) for manifest in manifests}
        if self._applied.get(key) or not seen.keys() >= wanted.keys():
            return False
        records = {ref: (hashed, seen[ref].child.owned) for ref, hashed in wanted.items()}
        if _fingerprint(records) != fingerprint:
            return False
        self._applied[key] = records
        return True

    def revision(self, key: Key) -> int:
        """Another number after each change of an environment's objects that may have to be put right; not of pods."""
        return self._revisions.get(key, 0)

    def let_go(self, key: Key) -> None:
        """Take in that an environment is gone: what was applied is history, what was orphaned is still seen."""
        self._applied.pop(key, None)
        self._revisions.pop(key, None)

    def _revise(self, key: Key, ref: Ref) -> None:
        if ref.kind != "Pod":
            self._revisions[key] = next(self._changes)

    def _remove(self, key: Key, ref: Ref) -> None:
        del self._home[ref]
        del self._seen[key][ref]
        self._applied.get(key, {}).pop(ref, None)
        self._revise(key, ref)
        if not self._seen[key]:
            del self._seen[key]
            self._applied.pop(key, None)
            self._revisions.pop(key, None)
