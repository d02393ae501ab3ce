"""The kinds of object that Airfield touches, and how to name one object.

The registry is static on purpose: no discovery at start, and an object of a kind that is not here is refused before it
reaches the API server.
"""

from __future__ import annotations

from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnknownKind(LookupError):  # noqa: N818 - read as `raise UnknownKind`, like LookupError's own siblings
    """An object's apiVersion and kind are not in the registry."""

    def __init__(self, api_version: object, kind: object) -> None:
        super().__init__(f"kind {kind!r} of apiVersion {api_version!r} is not one that Airfield handles")


@dataclass(frozen=True)
class Kind:
    """One kind of object, and where the API server keeps it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        """URL path of the collection, or of one object. Without a namespace: of the collection over all namespaces."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{self.api_version}{scope}/{self.plural}" + (f"/{name}" if name else "")


CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
PERSISTENT_VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
POD = Kind("v1", "Pod", "pods")
POD_METRICS = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
LIMIT_RANGE = Kind("v1", "LimitRange", "limitranges")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
EVENT = Kind("events.k8s.io/v1", "Event", "events")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
JOB = Kind("batch/v1", "Job", "jobs")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
CERTIFICATE = Kind("cert-manager.io/v1", "Certificate", "certificates")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
AIRFLOW_ENVIRONMENT = Kind("airfield.dev/v1alpha1", "AirflowEnvironment", "airflowenvironments")
AIRFLOW_TENANT = Kind("airfield.dev/v1alpha1", "AirflowTenant", "airflowtenants", namespaced=False)
AIRFLOW_ENVIRONMENT_CLASS = Kind(
    "airfield.dev/v1alpha1", "AirflowEnvironmentClass", "airflowenvironmentclasses", namespaced=False
)

KINDS: Mapping[tuple[str, str], Kind] = {
    (kind.api_version, kind.kind): kind for kind in list(globals().values()) if isinstance(kind, Kind)
}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The registered kind of a manifest.

    Raises:
        UnknownKind: when it is not in the registry.
    """
    return kind_named(manifest.get("apiVersion"), manifest.get("kind"))


def kind_named(api_version: object, kind: object) -> Kind:
    """The registered kind of that apiVersion and name, or UnknownKind."""
    found = KINDS.get((api_version, kind)) if isinstance(api_version, str) and isinstance(kind, str) else None
    if found is None:
        raise UnknownKind(api_version, kind)
    return found


@dataclass(frozen=True, order=True, slots=True)
class Ref:
    """The name of one object. `namespace` is "" for cluster-scoped objects, and where a manifest leaves it out."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @staticmethod
    def of(manifest: Mapping[str, Any]) -> Ref:
        """The name that a manifest or a live object carries; the kind need not be registered."""
        metadata = manifest["metadata"]
        # Of a hundred thousand names all but the last part are the same few strings.
        return Ref(
            intern(manifest["apiVersion"]),
            intern(manifest["kind"]),
            intern(metadata.get("namespace") or ""),
            metadata["name"],
        )

    def __str__(self) -> str:
        """Like `Deployment team-a/demo-scheduler`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
