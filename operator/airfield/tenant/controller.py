"""The reconcile of one tenant: its namespaces and its status; and how it leaves."""

import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.tenant import AirflowTenant, TenantDeletionPolicy
from airfield.environment.checks import Problem
from airfield.environment.ensure.run import Doors
from airfield.environment.reasons import Reason
from airfield.environment.unreadable import read, unreadable_status
from airfield.kube.kinds import AIRFLOW_TENANT, SECRET, Ref
from airfield.kube.kinds import PERSISTENT_VOLUME_CLAIM as CLAIM
from airfield.kube.resources import namespaces_of
from airfield.tenant.ensure import ensure_belongings, ensure_namespaces, granted, let_go, refusals, remove_belongings
from airfield.tenant.status import in_use, tenant_status

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 15.0
"""After the API server has refused something: mostly a right that the operator lacks."""
LEAVING_SECONDS: Final = 2.0
"""Until the next look at a tenant that cannot leave yet: Kubernetes needs some time to remove what is deleted."""
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
        if leaving:
            return await self._leave(body, held)
        try:
            tenant = read(AirflowTenant, body)
        except ValidationError as error:
            await self._write(body, unreadable_status(body, error, self._doors.clock()))
            return None
        holding = await ensure_namespaces(self._doors, tenant)
        applied, refused = await ensure_belongings(self._doors, tenant, holding)
        return await self._report(body, tenant, held, [*holding.problems, *refused], applied)

    async def _report(
        self, body: Body, tenant: AirflowTenant, held: Collection[str], problems: list[Problem], applied: str | None
    ) -> float | None:
        """Write the status, if it is another one. When to look again."""
        known = self._resources.environments
        environments = {key: _stage(known[key]) for key in self._resources.in_namespaces(set(held))}
        staying = {key for key in environments if not self._goes(key)}
        share = granted(self._doors, set(held))
        status = tenant_status(tenant, problems, environments, staying, share, applied, self._doors.clock())
        await self._write(body, status.model_dump(mode="json", by_alias=True, exclude_none=True))
        return RETRY_SECONDS if REFUSED & {problem.reason for problem in problems} else None

    async def _leave(self, body: Body, held: Collection[str]) -> float | None:
        """Take the tenant's leave, as far as its policy lets it go; and say what keeps it."""
        name, policy = body["metadata"]["name"], _policy(body)
        environments = self._resources.in_namespaces(set(held))
        staying = {key for key in environments if not self._goes(key)}
        if policy is TenantDeletionPolicy.DELETE:
            for key in sorted(staying):
                uid = self._resources.environments[key]["metadata"]["uid"]
                await self._kube.delete(Ref(meta.API_VERSION, "AirflowEnvironment", *key), uid=uid)
            staying = set()
        if environments and policy is not TenantDeletionPolicy.ORPHAN:
            return await self._stays(body, held, [in_use(staying or environments, leaving=not staying)])
        await remove_belongings(self._doors, name)
        kept, problems = set[str](), list[Problem]()
        for namespace in sorted(self._resources.stamped(name)):
            known = self._resources.namespaces.get(namespace)
            mine = policy is TenantDeletionPolicy.DELETE and self._only_for(name, namespace)
            data = await self._data_in(namespace) if mine else set()
            if known is None or known.deleting:
                continue
            if mine and data == {"going"}:
                message = f"volumes and Secrets of its environments in namespace {namespace!r} are still being removed"
                problems.append(Problem(Reason.DELETING, message))
            elif mine and not data:
                with refusals(problems, namespace):
                    place = Ref("v1", "Namespace", "", namespace)
                    await self._kube.delete(place, uid=known.uid, version=known.version)  # another may just get it
                    log.info("deleted namespace %s", namespace)
            else:
                kept.add(namespace)
        problems += await let_go(self._doors, name, kept)
        if problems:
            await self._stays(body, held, problems)
            return LEAVING_SECONDS
        of_others = [f for f in body["metadata"]["finalizers"] if f != meta.TENANT_FINALIZER]
        await self._set_finalizers(body, of_others)
        if not of_others:
            self._doors.tell(AIRFLOW_TENANT, body, deleted=True)
        return None

    async def _stays(self, body: Body, held: Collection[str], problems: list[Problem]) -> float | None:
        """Say what keeps a tenant that is to be deleted."""
        try:
            tenant = read(AirflowTenant, body)
        except ValidationError as error:
            await self._write(body, unreadable_status(body, error, self._doors.clock()))
            return RETRY_SECONDS
        return await self._report(body, tenant, held, problems, tenant.status.applied if tenant.status else None)

    def _only_for(self, tenant: str, namespace: str) -> bool:
        """Whether a namespace was made for a tenant, has become no other one's, and has no environment in it."""
        resources = self._resources
        known, holder = resources.namespaces.get(namespace), resources.holder(namespace)
        made = known is not None and known.made_for == tenant
        others = holder is not None and holder["metadata"]["name"] != tenant
        return made and not others and not resources.in_namespaces({namespace})

    def _goes(self, key: tuple[str, str]) -> bool:
        """Whether an environment is being deleted, or gone."""
        body = self._resources.environments.get(key)
        return body is None or "deletionTimestamp" in body["metadata"]

    async def _data_in(self, namespace: str) -> set[str]:
        """Whether environments' volumes and Secrets are "kept" in a namespace, or "going": asked of the cluster."""
        lists = [
            await self._kube.list(kind, namespace, meta.LABEL_ENVIRONMENT, metadata_only=True)
            for kind in (SECRET, CLAIM)
        ]
        return {"going" if "deletionTimestamp" in obj["metadata"] else "kept" for found in lists for obj in found}

    async def _set_finalizers(self, body: Body, finalizers: list[str]) -> None:
        metadata = body["metadata"]
        ref = Ref(meta.API_VERSION, "AirflowTenant", "", metadata["name"])
        await self._kube.set_finalizers(ref, metadata["uid"], metadata["resourceVersion"], finalizers)

    async def _write(self, body: Body, status: Mapping[str, Any]) -> None:
        name = body["metadata"]["name"]
        if status != body.get("status"):
            live = await self._kube.apply_status(Ref(meta.API_VERSION, "AirflowTenant", "", name), status)
            if live is not None:
                self._doors.tell(AIRFLOW_TENANT, live, deleted=False)


def _stage(environment: Body) -> str:
    return str((environment.get("spec") or {}).get("stage", ""))


def _policy(body: Body) -> TenantDeletionPolicy:
    """What becomes of the tenant's environments; Refuse where it cannot be read."""
    found = (body.get("spec") or {}).get("deletionPolicy")
    return TenantDeletionPolicy(found) if found in set(TenantDeletionPolicy) else TenantDeletionPolicy.REFUSE
