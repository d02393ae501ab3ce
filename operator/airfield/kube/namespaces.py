"""Namespaces as the watch saw them last, boiled down to what says whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airfield.api import meta
from airfield.kube.ownership import applied_labels

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace."""

    uid: str
    version: str
    labels: Mapping[str, str]
    owned: frozenset[str]
    """The labels that are ours by apply."""
    made_for: str
    """The tenant that the operator made it for; "" if somebody else made it."""
    deleting: bool

    @property
    def tenant(self) -> str:
        """The tenant that it is labelled as belonging to, or ""."""
        return self.labels.get(meta.LABEL_TENANT, "")


def namespace_of(obj: Mapping[str, Any]) -> Namespace:
    """Boil a live namespace down; its metadata suffices."""
    metadata = obj["metadata"]
    return Namespace(
        uid=metadata.get("uid", ""),
        version=metadata.get("resourceVersion", ""),
        labels=metadata.get("labels") or {},
        owned=applied_labels(obj),
        made_for=(metadata.get("annotations") or {}).get(meta.ANNOTATION_MADE_FOR, ""),
        deleting="deletionTimestamp" in metadata,
    )
