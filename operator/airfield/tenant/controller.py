"""The reconcile of one tenant: its namespaces and its status; and how it leaves."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.tenant import AirflowTenant, TenantDeletionPolicy
from airfield.environment.admit import DATA_KINDS
from airfield.environment.checks import Problem
from airfield.environment.ensure.run import Doors
from airfield.environment.reasons import Reason
from airfield.environment.unreadable import read, unreadable_status
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref
from airfield.kube.resources import answered, namespaces_of
from airfield.tenant.namespaces import POD_SECURITY, labelled, made, refused, stamps, to_stamp
from airfield.tenant.status import in_use, tenant_status

log = logging.getLogger(__name__)

RETRY_SECONDS = 15.0
"""After the API server has refused something: mostly a right that the operator lacks."""

Body = Mapping[str, Any]


class Controller:
    """Keeps tenants' namespaces theirs, and says of each tenant whether its claims hold and what it has."""

    def __init__(self, doors: Doors) -> None:
        self._doors, self._kube, self._resources = doors, doors.kube, doors.resources
        self._looks_after_all = not doors.settings.watch_namespaces

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
        if leaving:
            problems = [in_use(environments, leaving=_policy(body) is TenantDeletionPolicy.DELETE)]
        else:
            problems = await self._keep(tenant)
        status = tenant_status(tenant, problems, environments, self._doors.clock())
        await self._write(body, status.model_dump(mode="json", by_alias=True, exclude_none=True))
        return RETRY_SECONDS if any(problem.reason is Reason.API_REFUSED for problem in problems) else None

    async def _keep(self, tenant: AirflowTenant) -> list[Problem]:
        """Make, adopt and label the tenant's namespaces, and let go of those that are its own no more."""
        name, labels, problems = tenant.metadata.name, stamps(tenant), []
        listed = {place.name for place in tenant.spec.namespaces}
        for namespace in sorted(listed):
            problem = refused(namespace, name, self._resources)
            try:
                if problem is None and self._looks_after_all:
                    await self._stamp(namespace, name, labels)
            except ApiError as error:
                if error.transient:
                    raise
                problem = Problem(Reason.API_REFUSED, f"namespace {namespace!r}: {error.message}")
            problems += [problem] if problem else []
        for namespace in sorted(self._resources.stamped(name) - listed):
            await self._let_go(namespace)
        return problems

    async def _stamp(self, namespace: str, tenant: str, labels: Mapping[str, str]) -> None:
        if namespace not in self._resources.namespaces:
            live = await self._kube.create(made(namespace, tenant))
            if live is None:  # somebody else has just made it, of which the watch will tell
                return
            log.info("made namespace %s", namespace)
            self._resources.observe_namespace(live)
        known = self._resources.namespaces[namespace]
        if to_stamp(known, labels):
            self._resources.observe_namespace(await self._kube.apply(labelled(namespace, known, labels)))

    async def _let_go(self, namespace: str) -> None:
        """Take the tenant's labels off a namespace. That it is restricted stays: what runs there has not changed."""
        known = self._resources.namespaces[namespace]
        if not known.deleting:
            self._resources.observe_namespace(await self._kube.apply(labelled(namespace, known, POD_SECURITY)))
            log.info("let go of namespace %s", namespace)

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
        for namespace in sorted(self._resources.stamped(name)):
            known = self._resources.namespaces[namespace]
            if policy is TenantDeletionPolicy.DELETE and known.made_for == name and not self._orphans(namespace):
                await self._kube.delete(Ref("v1", "Namespace", "", namespace), uid=known.uid)
                log.info("deleted namespace %s", namespace)
            else:
                await self._let_go(namespace)
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
