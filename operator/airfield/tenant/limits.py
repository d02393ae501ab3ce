"""What Kubernetes itself holds a tenant to: a ResourceQuota and a LimitRange in each of its namespaces. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.quantity import amount
from airfield.api.tenant import AirflowTenant
from airfield.environment.quota import Ask, shown, size_of, used
from airfield.kube.kinds import LIMIT_RANGE, RESOURCE_QUOTA

Manifest = dict[str, Any]

NAME: Final = "airfield"
FLOOR: Final[Mapping[str, list[Decimal]]] = {"cpu": [Decimal(1)], "memory": [Decimal(1024**3)], "storage": []}
"""What the chart's migration Job may take, whatever the ceilings of components are."""
DEFAULT_REQUESTS: Final[Mapping[str, str]] = {"cpu": "50m", "memory": "64Mi"}
"""Of containers that request nothing, as those of a DAG's own pods may: a quota needs a number."""


def quota_of(
    tenant: AirflowTenant, here: Iterable[Ask], elsewhere: Iterable[Ask], orphaned: Iterable[str] = ()
) -> Iterator[Manifest]:
    """The ResourceQuota of one namespace: what the tenant has left there, task pods included.

    `here` and `elsewhere`: what was granted to environments in this namespace and in the tenant's others; `orphaned`:
    sizes of volumes that are nobody's. However low the quota is, those that run can be rolled out and can come back.
    """
    bounds = tenant.spec.quota.resources() if tenant.spec.quota else {}
    mine, others = used(here), used(elsewhere)
    zero = Decimal(0)
    hard = {}
    for name, limit in bounds.items():
        have = mine.get(name, zero)
        # A roll-out has a pod more of each component for a while: at most as much again.
        more = sum(map(size_of, orphaned), zero) if name == "storage" else have
        hard[f"requests.{name}"] = shown(name, max(amount(limit) - others.get(name, zero), have) + more)
    if hard:
        yield _manifest(RESOURCE_QUOTA.api_version, RESOURCE_QUOTA.kind, {"hard": hard})


def limits_of(
    tenant: AirflowTenant, classes: Mapping[str, AirflowEnvironmentClass], here: Sequence[Ask] = ()
) -> Iterator[Manifest]:
    """The LimitRange: no container and no volume is larger than the most generous class of the tenant allows.

    What was granted `here` was allowed at the time, and can come back; so can what the chart runs beside components.
    """
    allowed = [classes[name].spec.ceilings for name in tenant.spec.allowed_classes if name in classes]
    granted = {
        "cpu": [each.cpu_limit for each in here],
        "memory": [each.memory_limit for each in here],
        "storage": [each.volume for each in here],
    }
    most = {
        name: shown(name, max([amount(getattr(each, name)) for each in allowed if each] + granted[name] + FLOOR[name]))
        for name in ("cpu", "memory", "storage")
        if allowed and all(each is not None and getattr(each, name) for each in allowed)
    }
    items: list[Manifest] = []
    container = {name: value for name, value in most.items() if name != "storage"}
    if container or (tenant.spec.quota and tenant.spec.quota.resources()):
        found = {"type": "Container", "defaultRequest": dict(DEFAULT_REQUESTS)}
        items.append(found | ({"max": container} if container else {}))
    if "storage" in most:
        items.append({"type": "PersistentVolumeClaim", "max": {"storage": most["storage"]}})
    if items:
        yield _manifest(LIMIT_RANGE.api_version, LIMIT_RANGE.kind, {"limits": items})


def _manifest(api_version: str, kind: str, spec: Manifest) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": NAME}, "spec": spec}
