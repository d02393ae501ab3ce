"""Which namespaces are a tenant's, and what it says of them in their labels. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from airfield.api import meta
from airfield.api.tenant import AirflowTenant
from airfield.environment.checks import Problem
from airfield.environment.reasons import Reason
from airfield.kube.namespaces import Namespace
from airfield.kube.resources import Resources

POD_SECURITY: Final[Mapping[str, str]] = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
}
"""The Pod Security Standard that all pods of Airflow keep to; a namespace has it for good."""


def refused(namespace: str, tenant: str, resources: Resources) -> Problem | None:
    """Why a namespace that the tenant lists is not the tenant's; None if it is."""
    if resources.is_reserved(namespace):
        return Problem(
            Reason.NAMESPACE_RESERVED,
            f"spec.namespaces: {namespace!r} is the operator's own namespace, or one of the system's, and can belong to"
            " no tenant; remove it",
        )
    holder = resources.holder(namespace)
    whose = holder["metadata"]["name"] if holder else tenant
    if whose != tenant:
        return Problem(
            Reason.NAMESPACE_CONFLICT,
            f"spec.namespaces: {namespace!r} belongs to tenant {whose!r}; remove it here, or first from that tenant",
        )
    known = resources.namespaces.get(namespace)
    if known is not None and known.deleting:
        return Problem(
            Reason.NAMESPACE_DELETED,
            f"spec.namespaces: namespace {namespace!r} is being deleted; it is made again when it is gone,"
            " unless it is removed here",
        )
    return None


def stamps(tenant: AirflowTenant) -> dict[str, str]:
    """The labels that each of the tenant's namespaces has."""
    return {**(tenant.spec.labels or {}), **POD_SECURITY, meta.LABEL_TENANT: tenant.metadata.name}


def to_stamp(known: Namespace, labels: Mapping[str, str]) -> bool:
    """Whether a namespace lacks one of the labels, or has one that we set and do not want any more."""
    return known.owned != labels.keys() or any(known.labels.get(key) != value for key, value in labels.items())


def labelled(name: str, known: Namespace, labels: Mapping[str, str]) -> dict[str, Any]:
    """What is applied to a namespace: nothing but labels, and to no other one that has taken its name."""
    metadata = {"name": name, "uid": known.uid, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def made(name: str, tenant: str) -> dict[str, Any]:
    """A namespace that there is not yet; it remembers whom it was made for."""
    metadata = {"name": name, "annotations": {meta.ANNOTATION_MADE_FOR: tenant}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
