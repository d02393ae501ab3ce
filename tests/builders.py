"""Environments, tenants, classes and their children, as decisions see them; every argument has a sensible default."""

from collections.abc import Mapping, Sequence
from typing import Any

from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant
from airfield.environment.resolve import Effective, resolve
from airfield.kube.inventory import Child
from airfield.kube.kinds import Ref
from airfield.kube.state import ChildState
from resource_cases import resource

Json = dict[str, Any]
OURS = {"app.kubernetes.io/managed-by": "airfield", "airfield.dev/environment": "demo"}
CATALOG = {
    "versions": [{"version": "3.3.2", "image": "airflow:3.3.2"}, {"version": "3.2.0", "image": "airflow:3.2.0"}],
    "channels": [{"name": "stable", "version": "3.3.2"}],
}
SERVER = {"name": "main", "host": "db.example.com", "adminSecret": {"namespace": "databases", "name": "admin"}}
_API_VERSIONS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "Job": "batch/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "Ingress": "networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Certificate": "cert-manager.io/v1",
}


def environment(name: str = "demo", namespace: str = "team-a", /, **spec: Any) -> AirflowEnvironment:
    body = resource("AirflowEnvironment", {"className": "standard", "stage": "dev", "version": "3.3.2", **spec}, name)
    metadata = {"namespace": namespace, "uid": "uid-1", "generation": 1}
    return AirflowEnvironment.model_validate({**body, "metadata": {**body["metadata"], **metadata}})


def tenant(name: str = "team", /, namespaces: Sequence[str | Json] = ("team-a",), **spec: Any) -> AirflowTenant:
    named = [{"name": each} if isinstance(each, str) else each for each in namespaces]
    given = {"namespaces": named, "allowedClasses": ["standard"], **spec}
    return AirflowTenant.model_validate(resource("AirflowTenant", given, name))


def blueprint(name: str = "standard", /, **spec: Any) -> AirflowEnvironmentClass:
    return AirflowEnvironmentClass.model_validate(
        resource("AirflowEnvironmentClass", {"catalog": CATALOG, **spec}, name)
    )


def effective(
    wanted: AirflowEnvironment | None = None,
    of_class: AirflowEnvironmentClass | None = None,
    of_tenant: AirflowTenant | None = None,
) -> Effective:
    return resolve(wanted or environment(), of_tenant or tenant(), of_class or blueprint())


def git_bundle(name: str = "main", /, **git: Any) -> Json:
    return {"name": name, "git": {"url": "https://git.example.com/dags.git", "ref": "main", **git}}


def child(
    kind: str = "Deployment",
    name: str = "demo-scheduler",
    /,
    *,
    labels: Mapping[str, str] | None = None,
    deleting: bool = False,
    owned: str = "something",
    **state: Any,
) -> Child:
    """A child of team-a/demo; `labels` replace those that make it ours, `state` are fields of ChildState.

    `owned` stands for what we have applied of it.
    """
    return Child(
        ref=Ref(_API_VERSIONS.get(kind, "v1"), kind, "team-a", name),
        uid=f"uid-{name}",
        owned=owned,
        labels=OURS if labels is None else labels,
        state=ChildState(**{"ready": False, **state}),
        deleting=deleting,
    )


def component(kind: str, component_name: str, /, name: str = "", **state: Any) -> Child:
    """A child that belongs to one component of Airflow."""
    labels = {**OURS, "app.kubernetes.io/component": component_name}
    return child(kind, name or f"demo-{component_name}", labels=labels, **state)


def by_ref(*children: Child) -> dict[Ref, Child]:
    return {found.ref: found for found in children}
