"""What a rendered chart may contain: known kinds, the environment's own namespace, nothing that widens rights. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from airfield.api import meta

ALLOWED_KINDS: Final = frozenset(
    {
        ("v1", "ConfigMap"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Service"),
        ("v1", "ServiceAccount"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "Job"),
        ("cert-manager.io/v1", "Certificate"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("networking.k8s.io/v1", "Ingress"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    }
)
PHASES: Final = ("database", "schema", "workloads")
DATA_KINDS: Final = frozenset({"PersistentVolumeClaim", "Secret"})
"""Kinds that outlive the environment unless its deletion policy says Delete: they get no owner reference."""

Manifest = dict[str, Any]


class NotAdmitted(Exception):  # noqa: N818 - the condition's reason
    """The chart rendered something that an environment must not have."""


def admit(
    objects: Iterable[Mapping[str, Any]], *, owner: Mapping[str, str], labels: Mapping[str, str], host: str = ""
) -> list[Manifest]:
    """The objects to apply, in the order to apply them, stamped with namespace, labels and owner.

    `owner` has the name, namespace and uid of the environment; `host` is its host name, "" if it has none. NotAdmitted
    names the first object that is not allowed.
    """
    admitted: list[Manifest] = []
    for manifest in objects:
        kind, name = str(manifest.get("kind")), str(manifest.get("metadata", {}).get("name"))
        if (manifest.get("apiVersion"), kind) not in ALLOWED_KINDS:
            raise NotAdmitted(
                f"the chart renders {kind} {name!r}: objects of this kind are not allowed in an environment"
            )
        metadata = manifest["metadata"]
        if metadata.get("namespace", owner["namespace"]) != owner["namespace"]:
            raise NotAdmitted(
                f"the chart renders {kind} {name!r} in namespace {metadata['namespace']!r}:"
                f" only {owner['namespace']!r} is allowed"
            )
        if kind == "RoleBinding":
            _check_binding(manifest, name, owner["namespace"])
        _check_hosts(manifest, kind, name, host)
        phase = metadata.get("labels", {}).get(meta.LABEL_PHASE, PHASES[-1])
        if phase not in PHASES:
            raise NotAdmitted(
                f"the chart renders {kind} {name!r} with the label {meta.LABEL_PHASE}={phase!r}:"
                f" known are {', '.join(PHASES)}"
            )
        admitted.append(_stamped(manifest, kind, phase, owner, labels))
    return sorted(admitted, key=_order)


def _check_binding(manifest: Mapping[str, Any], name: str, namespace: str) -> None:
    if manifest.get("roleRef", {}).get("kind") != "Role":
        raise NotAdmitted(
            f"the chart renders RoleBinding {name!r} to a ClusterRole: only Roles of the environment are allowed"
        )
    for subject in manifest.get("subjects", []):
        if subject.get("kind") != "ServiceAccount" or subject.get("namespace", namespace) != namespace:
            raise NotAdmitted(
                f"the chart renders RoleBinding {name!r} for {subject.get('kind')} {subject.get('name')!r}:"
                f" only ServiceAccounts of {namespace!r} are allowed"
            )


def _check_hosts(manifest: Mapping[str, Any], kind: str, name: str, host: str) -> None:
    """Who has which host name is decided beforehand: no route may be for another, or for any."""
    spec = manifest.get("spec") or {}
    match kind:
        case "Ingress":
            found = [rule.get("host") for rule in spec.get("rules") or ()]
            found += [each for tls in spec.get("tls") or () for each in tls.get("hosts") or ()]
            found += [None] if "defaultBackend" in spec else []
        case "HTTPRoute":
            found = spec.get("hostnames") or [None]
        case "Certificate":
            found = [*(spec.get("dnsNames") or ()), *(spec[each] for each in ("commonName",) if each in spec)]
        case _:
            return
    if wrong := [each for each in found if not host or each != host]:
        raise NotAdmitted(
            f"the chart renders {kind} {name!r} for {'any host name' if wrong[0] is None else repr(wrong[0])}:"
            f" {f'only {host!r} is allowed' if host else 'this environment has none'}"
        )


def _stamped(
    manifest: Mapping[str, Any], kind: str, phase: str, owner: Mapping[str, str], labels: Mapping[str, str]
) -> Manifest:
    metadata = {
        **manifest["metadata"],
        "namespace": owner["namespace"],
        "labels": {
            **manifest["metadata"].get("labels", {}),
            **labels,
            meta.LABEL_MANAGED_BY: meta.MANAGED_BY,
            meta.LABEL_ENVIRONMENT: owner["name"],
            meta.LABEL_PHASE: phase,
        },
    }
    metadata.pop("ownerReferences", None)
    if kind not in DATA_KINDS:
        metadata["ownerReferences"] = [
            {
                "apiVersion": meta.API_VERSION,
                "kind": "AirflowEnvironment",
                "name": owner["name"],
                "uid": owner["uid"],
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    return {**manifest, "metadata": metadata}


def _order(manifest: Manifest) -> tuple[int, int, str, str]:
    """Phase by phase; within one, what pods need before the pods."""
    kind = manifest["kind"]
    late = kind in {"Deployment", "StatefulSet", "Job"}
    return PHASES.index(manifest["metadata"]["labels"][meta.LABEL_PHASE]), int(late), kind, manifest["metadata"]["name"]
