"""Grants environments their share of the tenant's quota, one after the other."""

import asyncio
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant, Quota
from airfield.environment.ensure.run import Doors
from airfield.environment.quota import Ask, Claim, Key, ask_of, asked, check_quota, grant_of
from airfield.environment.resolve import Effective, Unresolved, resolve
from airfield.environment.unreadable import read
from airfield.kube.kinds import Ref
from airfield.kube.resources import answered, namespaces_of, wish


class Quotas:
    """Who asks for what, and a queue for each tenant: what one was granted is written before the next one is looked at.

    So two workers, or two operators one after the other, never grant the same thing twice.
    """

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._wanted: dict[Key, tuple[object, Ask | None]] = {}

    async def grant(self, tenant: AirflowTenant, effective: Effective) -> None:
        """See to it that the environment has what it asks for, as far as its tenant has a quota.

        Raises:
            Unresolved: when the quota has not that much left; says what is asked, used and allowed.
            ApiError: when the grant could not be written.
        """
        quota, name = tenant.spec.quota, tenant.metadata.name
        if quota is None:
            return
        key, ask = (effective.namespace, effective.name), asked(effective)
        async with self._locks.setdefault(name, asyncio.Lock()):
            body = self._doors.resources.environments.get(key)
            if body is None or ask_of(body.get("status") or {}) == ask:
                return
            problems = self._check(name, quota, key, ask)
            if problems:
                raise Unresolved(problems)
            ref = Ref(meta.API_VERSION, "AirflowEnvironment", *key)
            granted = grant_of(ask).model_dump(mode="json", by_alias=True)
            live = await self._doors.kube.patch(ref, {"status": {"granted": granted}}, subresource="status")
            answered(self._doors.resources.environments, key, live)

    def forget(self, key: Key) -> None:
        """Take in that an environment is gone."""
        self._wanted.pop(key, None)

    def _check(self, tenant: str, quota: Quota, key: Key, ask: Ask) -> list[Any]:
        resources = self._doors.resources
        held = resources.held(tenant, namespaces_of(resources.tenants[tenant]))
        claims = {each: self._claim(each) for each in resources.in_namespaces(held)}
        me = claims.pop(key, None)
        if me is None:  # the namespace is another tenant's by now: whose turn it is will come
            return []
        mine = Claim(key, me.born, me.granted, ask)
        return list(check_quota(tenant, quota, mine, claims.values()))

    def _claim(self, key: Key) -> Claim:
        body = self._doors.resources.environments[key]
        status = body.get("status") or {}
        granted = ask_of(status)
        leaving = "deletionTimestamp" in body["metadata"]
        settled = granted is not None and status.get("observedGeneration") == body["metadata"].get("generation")
        wanted = granted if settled or leaving else self._wants(key, body)
        if granted is None and status.get("applied"):
            granted = wanted  # it ran before there was a quota, or under an operator that knew none
        return Claim(key, body["metadata"].get("creationTimestamp", ""), granted, None if leaving else wanted)

    def _wants(self, key: Key, body: Mapping[str, Any]) -> Ask | None:
        """What an environment asks for by its specification; None when it resolves to nothing."""
        resources = self._doors.resources
        holder, blueprint = (
            resources.holder(key[0]),
            resources.classes.get((body.get("spec") or {}).get("className", "")),
        )
        wished = wish(body), holder and wish(holder), blueprint and wish(blueprint)
        known = self._wanted.get(key)
        if known is not None and known[0] == wished:
            return known[1]
        try:
            tenant = read(AirflowTenant, holder) if holder else None
            of_class = read(AirflowEnvironmentClass, blueprint) if blueprint else None
            found = asked(resolve(read(AirflowEnvironment, body), tenant, of_class))
        except (ValidationError, Unresolved):
            found = None
        self._wanted[key] = wished, found
        return found
