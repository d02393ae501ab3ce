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
from airfield.environment.checks import Problem
from airfield.environment.ensure.run import Doors
from airfield.environment.quota import Ask, Claim, Key, ask_of, asked, check_quota, grant_of, nothing
from airfield.environment.resolve import Effective, Unresolved, resolve
from airfield.environment.unreadable import read
from airfield.kube.kinds import AIRFLOW_ENVIRONMENT, Ref
from airfield.kube.resources import namespaces_of, wish


class Quotas:
    """Who asks for what, and a queue for each tenant: what one was granted is written before the next one is looked at.

    So two workers, or two operators one after the other, never grant the same thing twice.
    """

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._wanted: dict[Key, tuple[object, Ask | None]] = {}

    def asked(self, effective: Effective) -> Ask:
        """What an environment asks for, volumes that it has and wants smaller included."""
        key = effective.namespace, effective.name
        children = self._doors.inventory.children(key).values()
        return asked(effective, {child.ref.name: child.state.claim.size for child in children if child.state.claim})

    async def grant(self, tenant: str, effective: Effective) -> None:
        """See to it that the environment has what it asks for, as far as its tenant has a quota.

        Raises:
            Unresolved: when the quota has not that much left; says what is asked, used and allowed.
            ApiError: when the grant could not be written.
        """
        resources, key = self._doors.resources, (effective.namespace, effective.name)
        ask = self.asked(effective)
        async with self._locks.setdefault(tenant, asyncio.Lock()):
            quota = self._quota(tenant)
            body = resources.environments.get(key)
            if quota is None or body is None or ask_of(body.get("status") or {}) == ask:
                return
            problems = self._check(tenant, quota, key, ask)
            if problems:
                raise Unresolved(problems)
            ref = Ref(meta.API_VERSION, "AirflowEnvironment", *key)
            granted = grant_of(ask).model_dump(mode="json", by_alias=True)
            live = await self._doors.kube.patch(ref, {"status": {"granted": granted}}, subresource="status")
            if live is not None:
                self._doors.tell(AIRFLOW_ENVIRONMENT, live, deleted=False)

    def forget(self, key: Key) -> None:
        """Take in that an environment is gone."""
        self._wanted.pop(key, None)

    def _quota(self, tenant: str) -> Quota | None:
        """The tenant's quota as it is now; None also where another pass will find out that there is no such tenant."""
        body = self._doors.resources.tenants.get(tenant)
        try:
            return read(AirflowTenant, body).spec.quota if body else None
        except ValidationError:
            return None

    def _check(self, tenant: str, quota: Quota, key: Key, ask: Ask) -> list[Problem]:
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
        metadata, status = body["metadata"], body.get("status") or {}
        granted, wants = ask_of(status), self._wants(key, body)
        if granted is None and status.get("applied"):  # it ran before there were quotas
            granted = wants or nothing(body.get("spec") or {})
        paused = (metadata.get("annotations") or {}).get(meta.ANNOTATION_PAUSED) == "true"
        wanted = None if paused or "deletionTimestamp" in metadata else wants
        return Claim(key, metadata.get("creationTimestamp", ""), granted, wanted)

    def _wants(self, key: Key, body: Mapping[str, Any]) -> Ask | None:
        """What an environment asks for by its specification; None when it resolves to nothing."""
        resources, class_name = self._doors.resources, (body.get("spec") or {}).get("className", "")
        holder, blueprint = resources.holder(key[0]), resources.classes.get(class_name)
        wished = wish(body), holder and wish(holder), blueprint and wish(blueprint)
        known = self._wanted.get(key)
        if known is not None and known[0] == wished:
            return known[1]
        try:
            tenant = read(AirflowTenant, holder) if holder else None
            of_class = read(AirflowEnvironmentClass, blueprint) if blueprint else None
            found = self.asked(resolve(read(AirflowEnvironment, body), tenant, of_class))
        except (ValidationError, Unresolved):
            found = None
        self._wanted[key] = wished, found
        return found
