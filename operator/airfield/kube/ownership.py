"""Which fields of a live object are ours, by what the API server keeps of server-side apply. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from airfield.api import meta

if TYPE_CHECKING:
    from collections.abc import Mapping


def digest(document: Any) -> str:
    """A short digest of a JSON document that does not depend on the order of keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def owned_fields(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The set of fields that we own by apply, as `{"f:spec": {"f:replicas": {}}}`; None when the object has none."""
    for entry in obj["metadata"].get("managedFields") or ():
        applied = entry.get("operation") == "Apply" and not entry.get("subresource")
        if applied and entry.get("manager") == meta.FIELD_MANAGER:
            fields: Mapping[str, Any] = entry.get("fieldsV1") or {}
            return fields
    return None


def owned_labels(obj: Mapping[str, Any]) -> frozenset[str]:
    """The labels whose present value is ours, by apply, by creation or by a patch."""
    ours = (e for e in obj["metadata"].get("managedFields") or () if e.get("manager") == meta.FIELD_MANAGER)
    return frozenset(name for entry in ours for name in _labels(entry.get("fieldsV1") or {}))


def applied_labels(obj: Mapping[str, Any]) -> frozenset[str]:
    """The labels whose present value is ours by apply: those that go when they are applied no more."""
    return frozenset(_labels(owned_fields(obj) or {}))


def _labels(fields: Mapping[str, Any]) -> list[str]:
    """The names of the labels in a set of fields."""
    return [name.removeprefix("f:") for name in fields.get("f:metadata", {}).get("f:labels", {}) if name != "."]


def owned_digest(obj: Mapping[str, Any]) -> str:
    """Digest of the set of fields that we own; "" when there is none.

    A foreign write that changes or removes one of our values takes that field out of our set, so the digest changes.
    Writes to status, to fields that we never set, or of equal values leave it as it is.
    """
    fields = owned_fields(obj)
    return "" if fields is None else digest(fields)
