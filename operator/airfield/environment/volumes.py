"""What of a volume claim can still be changed once it exists. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from airfield.api.quantity import amount
from airfield.environment.admit import Manifest
from airfield.kube.inventory import Child
from airfield.kube.kinds import Ref
from airfield.kube.state import ClaimSpec

_FIXED: Final = {"storageClassName": "storage class", "accessModes": "access mode"}


def settled(manifests: Sequence[Manifest], children: Mapping[Ref, Child]) -> tuple[list[Manifest], list[str]]:
    """The manifests, with claims that exist left as they must be; and a sentence for each wish that is not granted.

    Kubernetes lets a claim grow and nothing else. A class whose defaults change must not stop the environments that
    already have their volumes.
    """
    found: list[Manifest] = []
    notes: list[str] = []
    for manifest in manifests:
        live = children.get(Ref.of(manifest))
        if live is None or live.state.claim is None:
            found.append(manifest)
            continue
        spec, kept = _spec(manifest["spec"], live.state.claim)
        found.append({**manifest, "spec": spec})
        notes += [f"volume {live.ref.name!r} keeps its {what}" for what in kept]
    return found, notes


def _spec(wanted: Mapping[str, Any], live: ClaimSpec) -> tuple[dict[str, Any], list[str]]:
    fixed: dict[str, str | list[str]] = {"accessModes": list(live.access_modes), "storageClassName": live.storage_class}
    kept = [
        f"{word} {_text(fixed[field])} ({_text(wanted[field])} is wanted)"
        for field, word in _FIXED.items()
        if field in wanted and fixed[field] and wanted[field] != fixed[field]
    ]
    size = wanted["resources"]["requests"]["storage"]
    if live.size and not _less(live.size, size):
        if _less(size, live.size):
            kept.append(f"size {live.size} ({size} is wanted; volumes do not shrink)")
        size = live.size
    spec = {**wanted, **{field: value for field, value in fixed.items() if value}}
    if live.storage_class and not live.named:
        del spec["storageClassName"]  # what we once name we can never take back
    return {**spec, "resources": {"requests": {"storage": size}}}, kept


def _less(a: str, b: str) -> bool:
    """Whether `a` is certainly smaller. Of what somebody else wrote in another notation (1e9) nothing is certain."""
    try:
        return amount(a) < amount(b)
    except ValueError:
        return False


def _text(value: str | list[str]) -> str:
    return ", ".join(value) if isinstance(value, list) else repr(value)
