"""The reconcile of one tenant: its namespaces and its status; and how it leaves."""

import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.tenant import AirflowTenant, TenantDeletionPolicy
from airfield.environment.admit import DATA_KINDS
from airfield.environment.ensure.run import Doors
from airfield.environment.reasons import Reason
from airfield.environment.unreadable import read, unreadable_status
from airfield.kube.kinds import Ref
from airfield.kube.resources import answered, namespaces_of
from airfield.tenant.ensure import ensure_belongings, ensure_namespaces, granted, let_go, remove_belongings
from airfield.tenant.status import in_use, tenant_status

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 15.0
"""After the API server has refused something: mostly a right that the operator lacks."""
REFUSED: Final = frozenset({Reason.API_REFUSED, Reason.APPLY_REFUSED})

Body = Mapping[str, Any]


class Controller:
    """Keeps tenants' namespaces theirs, and says of each tenant whether its claims hold and what it has."""

    def __init__(self, doors: Doors) -> None:
        self._doors, self._kube, self._resources = doors, doors.kube, doors.resources

    async def reconcile(self, name: str) -> float | None:
        """One pass. The seconds until the next one, if something was refused; every change is an event."""
        body = self._resources.tenants.get(name)
        if body is None:
            return None
        leaving = "deletionTimestamp" in body["metadata"]
        finalizers = body["metadata"].get("finalizers") or []
        if leaving and meta.TENANT_FINALIZER not in finalizers:
            return None
        if meta.TENANT_FINALIZER not in finalizers:
            await self._set_finalizers(body, [*finalizers, meta.TENANT_FINALIZER])
            return None  # the answer is an event
        held = self._resources.held(name, namespaces_of(body))
        if leaving and await self._leave(body, held):
            return None
        try:
            tenant = read(AirflowTenant, body)
        except ValidationError as error:
            await self._write(body, unreadable_status(body, error, self._doors.clock()))
            return None
        environments = self._resources.in_namespaces(held)
        applied = tenant.status.applied if tenant.status else None
        if leaving:
            problems = [in_use(environments, leaving=_policy(body) is TenantDeletionPolicy.DELETE)]
        else:
            usable, problems = await ensure_namespaces(self._doors, tenant)
            applied, refusals = await ensure_belongings(self._doors, tenant, usable)
            problems += refusals
        share = granted(self._doors, held)
        status = tenant_status(tenant, problems, environments, share, applied, self._doors.clock())
        await self._write(body, status.model_dump(mode="json", by_alias=True, exclude_none=True))
        return RETRY_SECONDS if REFUSED & {problem.reason for problem in problems} else None

    async def _leave(self, body: Body, held: Collection[str]) -> bool:
        """Take the tenant's leave, as far as its policy lets it go; whether it is gone."""
        name, policy = body["metadata"]["name"], _policy(body)
        environments = self._resources.in_namespaces(set(held))
        if environments and policy is TenantDeletionPolicy.DELETE:
            for key in sorted(environments):
                metadata = self._resources.environments[key]["metadata"]
                if "deletionTimestamp" not in metadata:
                    await self._kube.delete(Ref(meta.API_VERSION, "AirflowEnvironment", *key), uid=metadata["uid"])
        if environments and policy is not TenantDeletionPolicy.ORPHAN:
            return False
        await remove_belongings(self._doors, name)
        for namespace in sorted(self._resources.stamped(name)):
            known = self._resources.namespaces[namespace]
            if policy is TenantDeletionPolicy.DELETE and known.made_for == name and not self._orphans(namespace):
                await self._kube.delete(Ref("v1", "Namespace", "", namespace), uid=known.uid)
                log.info("deleted namespace %s", namespace)
            else:
                await let_go(self._doors, namespace)
        await self._set_finalizers(body, [f for f in body["metadata"]["finalizers"] if f != meta.TENANT_FINALIZER])
        self._resources.forget(self._resources.tenants, name, body["metadata"]["uid"])
        return True

    def _orphans(self, namespace: str) -> bool:
        """Whether there are data in a namespace of environments that are gone, and whose policy was to keep them."""
        inventory = self._doors.inventory
        return any(
            ref.kind in DATA_KINDS for key in inventory.in_namespace(namespace) for ref in inventory.children(key)
        )

    async def _set_finalizers(self, body: Body, finalizers: list[str]) -> None:
        metadata = body["metadata"]
        ref = Ref(meta.API_VERSION, "AirflowTenant", "", metadata["name"])
        await self._kube.set_finalizers(ref, metadata["uid"], metadata["resourceVersion"], finalizers)

    async def _write(self, body: Body, status: Mapping[str, Any]) -> None:
        name = body["metadata"]["name"]
        if status != body.get("status"):
            live = await self._kube.apply_status(Ref(meta.API_VERSION, "AirflowTenant", "", name), status)
            answered(self._resources.tenants, name, live)


def _policy(body: Body) -> TenantDeletionPolicy:
    """What becomes of the tenant's environments; Refuse where it cannot be read."""
    found = (body.get("spec") or {}).get("deletionPolicy")
    return TenantDeletionPolicy(found) if found in set(TenantDeletionPolicy) else TenantDeletionPolicy.REFUSE
