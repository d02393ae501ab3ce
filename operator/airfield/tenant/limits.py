"""What Kubernetes itself holds a tenant to: a ResourceQuota and a LimitRange in each of its namespaces. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.quantity import amount
from airfield.api.tenant import AirflowTenant
from airfield.environment.quota import Ask, shown, used
from airfield.kube.kinds import LIMIT_RANGE, RESOURCE_QUOTA

Manifest = dict[str, Any]

NAME: Final = "airfield"
SURGE: Final = Decimal(2)
"""A roll-out has a pod more of each component for a while, which a quota must not stop: at most as much again."""
DEFAULT_REQUESTS: Final[Mapping[str, str]] = {"cpu": "50m", "memory": "64Mi"}
"""Of containers that request nothing, as those of a DAG's own pods may: a quota needs a number."""


def quota_of(tenant: AirflowTenant, here: Iterable[Ask], elsewhere: Iterable[Ask]) -> Iterator[Manifest]:
    """The ResourceQuota of one namespace: what the tenant has left there, task pods included.

    `here` and `elsewhere`: what was granted to environments in this namespace and in the tenant's others. However low
    the quota is, those that run can be rolled out and can come back.
    """
    bounds = tenant.spec.quota.resources() if tenant.spec.quota else {}
    mine, others = used(here), used(elsewhere)
    zero = Decimal(0)
    hard = {}
    for name, limit in bounds.items():
        have = mine.get(name, zero)
        left = max(amount(limit) - others.get(name, zero), have)
        surge = zero if name == "storage" else have * (SURGE - 1)
        hard[f"requests.{name}"] = shown(name, left + surge)
    if hard:
        yield _manifest(RESOURCE_QUOTA.api_version, RESOURCE_QUOTA.kind, {"hard": hard})


def limits_of(tenant: AirflowTenant, classes: Mapping[str, AirflowEnvironmentClass]) -> Iterator[Manifest]:
    """The LimitRange: no container and no volume is larger than the most generous class of the tenant allows."""
    allowed = [classes[name].spec.ceilings for name in tenant.spec.allowed_classes if name in classes]
    most = {
        field: max((getattr(each, field) for each in allowed if each), key=amount)
        for field in ("cpu", "memory", "storage")
        if allowed and all(each is not None and getattr(each, field) for each in allowed)
    }
    items: list[Manifest] = []
    container = {name: value for name, value in most.items() if name != "storage"}
    if container or (tenant.spec.quota and tenant.spec.quota.resources()):
        requests = {
            name: min(value, container.get(name, value), key=amount) for name, value in DEFAULT_REQUESTS.items()
        }
        items.append({"type": "Container", "defaultRequest": requests} | ({"max": container} if container else {}))
    if "storage" in most:
        items.append({"type": "PersistentVolumeClaim", "max": {"storage": most["storage"]}})
    if items:
        yield _manifest(LIMIT_RANGE.api_version, LIMIT_RANGE.kind, {"limits": items})


def _manifest(api_version: str, kind: str, spec: Manifest) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": NAME}, "spec": spec}
