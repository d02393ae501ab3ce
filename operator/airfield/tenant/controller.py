"""The reconcile of one tenant: its status, so far."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.tenant import AirflowTenant
from airfield.environment.unreadable import read, unreadable_status
from airfield.kube.client import KubeClient
from airfield.kube.kinds import Ref
from airfield.kube.resources import Resources, answered, namespaces_of
from airfield.tenant.status import tenant_status


class Controller:
    """Says of each tenant whether its claims hold, and how many environments it has."""

    def __init__(self, kube: KubeClient, resources: Resources, clock: Callable[[], datetime]) -> None:
        self._kube, self._resources, self._clock = kube, resources, clock

    async def reconcile(self, name: str) -> float | None:
        """One pass; nothing to come back for, every change is an event."""
        body = self._resources.tenants.get(name)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        try:
            tenant = read(AirflowTenant, body)
        except ValidationError as error:
            await self._write(body, unreadable_status(body, error, self._clock()))
            return None
        namespaces = namespaces_of(body)
        contested = {
            namespace: others
            for namespace in namespaces
            if (
                others := [
                    c["metadata"]["name"] for c in self._resources.claims(namespace) if c["metadata"]["name"] != name
                ]
            )
        }
        status = tenant_status(tenant, contested, len(self._resources.in_namespaces(namespaces)), self._clock())
        await self._write(body, status.model_dump(mode="json", by_alias=True, exclude_none=True))
        return None

    async def _write(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        name = body["metadata"]["name"]
        if status != body.get("status"):
            live = await self._kube.apply_status(Ref(meta.API_VERSION, "AirflowTenant", "", name), status)
            answered(self._resources.tenants, name, live)
