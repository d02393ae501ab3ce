"""Which Secrets there are, in which version, and which environments read them. No content: metadata is all it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Key = tuple[str, str]
"""Namespace and name, of an environment or of a Secret."""


class SecretVersions:
    """Fed by a watch of all Secrets' metadata. Until it is filled it knows nothing, and says so."""

    def __init__(self) -> None:
        self._versions: dict[Key, str] = {}
        self._readers: dict[Key, set[Key]] = {}
        self._read: dict[Key, frozenset[Key]] = {}
        self.filled = False

    def observe(self, obj: Mapping[str, Any]) -> frozenset[Key]:
        """Take in a Secret; the environments that read it."""
        key = _key(obj)
        self._versions[key] = obj["metadata"].get("resourceVersion", "")
        return self.readers(key)

    def knows(self, secret: Key, version: str) -> bool:
        """Whether a Secret was last observed in that very resourceVersion."""
        return self._versions.get(secret) == version

    def forget(self, obj: Mapping[str, Any]) -> frozenset[Key]:
        """Take in that a Secret is gone; the environments that read it."""
        key = _key(obj)
        self._versions.pop(key, None)
        return self.readers(key)

    def retain(self, namespace: str, present: Collection[Key], version: str) -> frozenset[Key]:
        """Take in a complete list, of a namespace if it is not ""; the environments that read a Secret that has gone.

        `version`: the list's; what is newer than it stays.
        """
        gone = [
            key
            for key, known in self._versions.items()
            if key not in present and namespace in {"", key[0]} and not _newer(known, version)
        ]
        for key in gone:
            del self._versions[key]
        self.filled = True
        return frozenset(reader for key in gone for reader in self.readers(key))

    def readers(self, secret: Key) -> frozenset[Key]:
        """The environments that read a Secret, whether it exists or not."""
        return frozenset(self._readers.get(secret, ()))

    def read_by(self, environment: Key, names: Collection[str]) -> None:
        """Remember which Secrets of its namespace an environment reads; none: it is gone."""
        wanted = frozenset((environment[0], name) for name in names)
        before = self._read.pop(environment, frozenset())
        for secret in before - wanted:
            self._readers[secret].discard(environment)
            if not self._readers[secret]:
                del self._readers[secret]
        for secret in wanted - before:
            self._readers.setdefault(secret, set()).add(environment)
        if wanted:
            self._read[environment] = wanted

    def version(self, namespace: str, name: str) -> str:
        """The resourceVersion that a Secret was last observed in; "" if it was not."""
        return self._versions.get((namespace, name), "")

    def absent(self, namespace: str, name: str) -> bool:
        """Whether a Secret is known not to exist; it may have come into being since."""
        return self.filled and (namespace, name) not in self._versions

    def unchanged(self, namespace: str, versions: Mapping[str, str]) -> bool:
        """Whether every Secret has the version it was read at; "" stands for a Secret that did not exist."""
        return self.filled and all(self.version(namespace, name) == version for name, version in versions.items())


def _newer(a: str, b: str) -> bool:
    return a.isdecimal() and b.isdecimal() and int(a) > int(b)


def _key(obj: Mapping[str, Any]) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
