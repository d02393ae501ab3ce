"""Gives each environment its host name, and none to two."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant
from airfield.environment.ensure.run import Doors
from airfield.environment.exposure import SCHEME, Key, wanted_host
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective, Unresolved, resolve
from airfield.environment.unreadable import read

Object = Mapping[str, Any]
MOST = 3
"""Host names that an environment can have while it moves: that which it leaves, the next, and a change of mind."""


class Hosts:
    """Who has which host name: in memory as soon as it is given; in `status.url` and routes for whoever leads next."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._holders: dict[str, Key] | None = None
        self._held: dict[Key, set[str]] = {}
        """All that an environment has: while it moves to another host name, it has two."""

    def take(self, effective: Effective) -> bool:
        """Give the environment the host name that it comes to. Whether it had not had it before.

        Raises:
            Unresolved: when another one has it, or wants it too and is older; says who.
        """
        if effective.exposed is None:
            return False
        host, key = effective.exposed.host, (effective.namespace, effective.name)
        first = self._holder(host)
        if first is None:
            mine = (_born(self._doors.resources.environments.get(key, {})), key)
            first = min([mine, *self._others(host, key)])[1]
        if first != key:
            raise Unresolved.because(
                Reason.HOST_TAKEN,
                f"the host name {host!r} is that of environment {'/'.join(first)}; give one of the two another name,"
                " or its own in spec.exposure.host where the class allows that",
            )
        held = self._held.get(key, set())
        if host not in held and len(held) >= MOST:
            raise Unresolved.because(
                Reason.HOST_TAKEN,
                f"this environment has {', '.join(sorted(held))}, and has not moved from the one to the other yet; go"
                f" back to one of them, or wait, before it asks for {host!r}",
            )
        if host in held:
            return False
        self._give(host, key)
        return True

    def give_back(self, effective: Effective) -> None:
        """Take in that an environment cannot be what it was just given a host name for."""
        if effective.exposed is not None:
            self._free(effective.exposed.host, (effective.namespace, effective.name))

    def settled(self, key: Key, url: str) -> None:
        """Take in where an environment is reached, and that it is no longer reached anywhere else."""
        for host in self._held.get(key, set()) - {url.removeprefix(SCHEME)}:
            self._free(host, key)

    def forget(self, key: Key) -> None:
        """Take in that an environment is gone."""
        for host in self._held.get(key, set()).copy():
            self._free(host, key)

    def _holder(self, host: str) -> Key | None:
        """Who has a host name. Nobody who is gone: that may be known before its last pass has come to an end."""
        holder = self._known().get(host)
        if holder is None or holder in self._doors.resources.environments:
            return holder
        self._free(host, holder)
        return None

    def _known(self) -> dict[str, Key]:
        if self._holders is None:
            self._holders = {}
            environments = self._doors.resources.environments
            oldest_first = sorted(environments, key=lambda key: (_born(environments[key]), key))
            for found in (self._told, self._routed):
                for key in oldest_first:
                    for host in found(key):
                        if host not in self._holders:
                            self._give(host, key)
        return self._holders

    def _told(self, key: Key) -> Iterator[str]:
        """Where an environment's status says that it is reached."""
        url = str((self._doors.resources.environments[key].get("status") or {}).get("url") or "")
        if url.startswith(SCHEME):
            yield url.removeprefix(SCHEME)

    def _routed(self, key: Key) -> Iterator[str]:
        """The host names of an environment's routes: the next one, too, if whoever led before was stopped midway."""
        for child in self._doors.inventory.children(key).values():
            if child.owned:  # one that only bears our label is somebody else's
                yield from child.state.hosts

    def _give(self, host: str, key: Key) -> None:
        self._known()[host] = key
        self._held.setdefault(key, set()).add(host)

    def _free(self, host: str, key: Key) -> None:
        if self._known().get(host) != key:  # another one has got it, since this one was gone
            return
        del self._known()[host]
        self._held[key].discard(host)
        if not self._held[key]:
            del self._held[key]

    def _others(self, host: str, me: Key) -> Iterator[tuple[str, Key]]:
        """When those were created who want the host name, too, and could have it."""
        for key, body in self._doors.resources.environments.items():
            if key != me and self._wants(host, key, body):
                yield _born(body), key

    def _wants(self, host: str, key: Key, body: Object) -> bool:
        metadata, resources = body["metadata"], self._doors.resources
        blueprint = resources.classes.get((body.get("spec") or {}).get("className", ""))
        tenant = resources.holder(key[0])
        if blueprint is None or tenant is None:
            return False
        # Of a thousand environments few come to the same, and only those are looked at closely.
        if wanted_host(body, tenant["metadata"]["name"], blueprint) != host:
            return False
        paused = (metadata.get("annotations") or {}).get(meta.ANNOTATION_PAUSED) == "true"
        if paused or "deletionTimestamp" in metadata:
            return False
        try:
            resolve(
                read(AirflowEnvironment, body), read(AirflowTenant, tenant), read(AirflowEnvironmentClass, blueprint)
            )
        except (ValidationError, Unresolved):
            return False
        return True


def _born(body: Object) -> str:
    return str((body.get("metadata") or {}).get("creationTimestamp", ""))
