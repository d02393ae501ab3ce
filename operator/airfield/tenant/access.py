"""Who may do what in a tenant's namespaces: bindings to the roles of the operator's chart. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from airfield.api import meta
from airfield.api.tenant import AirflowTenant, Subject, SubjectKind
from airfield.environment.secrets import Key
from airfield.kube.kinds import ROLE, ROLE_BINDING

Manifest = dict[str, Any]

_RBAC: Final = "rbac.authorization.k8s.io"


def access(
    tenant: AirflowTenant, environments: Mapping[str, Mapping[str, Any]], generated: Collection[str] = ()
) -> list[Manifest]:
    """The Roles and RoleBindings of one namespace, Roles first.

    `environments`: the specification of each, by name. `generated`: the Secrets there that the operator made.

    The roles themselves are ClusterRoles of the operator's chart. What they cannot say is which Secrets may be read:
    RBAC knows names only, so those that environments refer to are listed; of the generated ones only the
    administrators'.
    """
    spec = tenant.spec
    writers = (*spec.owners, *spec.editors)
    theirs = {name for each in environments.values() for name in secrets_of(each)}
    theirs -= {*generated, *(key.secret(name) for name in environments for key in Key)}
    logins = {Key.ADMIN.secret(name) for name in environments}
    found = [
        *_reading("airfield-secrets", theirs, writers),
        *_reading("airfield-logins", logins, spec.owners),
        *_binding("airfield-owner", "ClusterRole", spec.owners),
        *_binding("airfield-editor", "ClusterRole", spec.editors),
        *_binding("airfield-viewer", "ClusterRole", spec.viewers),
    ]
    return sorted(found, key=lambda manifest: str(manifest["kind"]))


def belonging(tenant: AirflowTenant, namespace: str, manifest: Manifest) -> Manifest:
    """An object that the tenant has in a namespace, with the labels that say so."""
    labels = {
        **(tenant.spec.labels or {}),
        meta.LABEL_MANAGED_BY: meta.MANAGED_BY,
        meta.LABEL_TENANT: tenant.metadata.name,
    }
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace, "labels": labels}}


def secrets_of(spec: Mapping[str, Any]) -> Iterator[str]:
    """The Secrets that an environment's specification, as it is in the cluster, names."""
    for bundle in (spec.get("dags") or {}).get("bundles") or ():
        yield from _name((bundle.get("git") or {}).get("credentialsSecret"))
    for variable in spec.get("env") or ():
        yield from _name(variable.get("secretKeyRef"))
    for secret in (spec.get("image") or {}).get("pullSecrets") or ():
        yield from _name(secret)
    yield from _name((spec.get("identity") or {}).get("clientSecretRef"))
    own = (spec.get("exposure") or {}).get("secretName")
    yield from _name({"name": own})
    yield from _name(((spec.get("database") or {}).get("external") or {}).get("secret"))


def _name(reference: Mapping[str, Any] | None) -> Iterator[str]:
    if reference and reference.get("name"):
        yield str(reference["name"])


def _reading(name: str, secrets: Iterable[str], subjects: Sequence[Subject]) -> Iterator[Manifest]:
    """The right to read certain Secrets, if there are any, and somebody to have it."""
    if secrets and subjects:
        rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": sorted(secrets), "verbs": ["get"]}
        yield {"apiVersion": ROLE.api_version, "kind": ROLE.kind, "metadata": {"name": name}, "rules": [rule]}
        yield from _binding(name, ROLE.kind, subjects)


def _binding(name: str, kind: str, subjects: Sequence[Subject]) -> Iterator[Manifest]:
    if subjects:
        yield {
            "apiVersion": ROLE_BINDING.api_version,
            "kind": ROLE_BINDING.kind,
            "metadata": {"name": name},
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
            "subjects": [_subject(subject) for subject in dict.fromkeys(subjects)],
        }


def _subject(subject: Subject) -> dict[str, str]:
    if subject.kind is SubjectKind.SERVICE_ACCOUNT:
        return {"kind": subject.kind.value, "name": subject.name, "namespace": subject.namespace or ""}
    return {"apiGroup": _RBAC, "kind": subject.kind.value, "name": subject.name}
