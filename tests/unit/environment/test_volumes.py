"""What becomes of volume claims that exist when something else is wanted."""

from dataclasses import replace
from typing import Any

import pytest

from airfield.environment.volumes import settled
from airfield.kube.state import ClaimSpec
from builders import by_ref, child

LIVE = ClaimSpec("5Gi", "fast", ("ReadWriteOnce",))


def claim(size: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "demo-db", "namespace": "team-a"},
        "spec": {"accessModes": ["ReadWriteOnce"], **spec, "resources": {"requests": {"storage": size}}},
    }


@pytest.mark.parametrize(
    ("wanted", "live", "sent", "notes"),
    [
        (claim("5Gi"), LIVE, claim("5Gi"), []),
        # Kubernetes takes leaving out what we once named for a change.
        (claim("5Gi"), replace(LIVE, named=True), claim("5Gi", storageClassName="fast"), []),
        (claim("5Gi", storageClassName="fast"), replace(LIVE, named=True), claim("5Gi", storageClassName="fast"), []),
        # So it is not named if that changes nothing: a wish that is taken back leaves no trace.
        (claim("5Gi", storageClassName="fast"), LIVE, claim("5Gi"), []),
        (claim("5120Mi"), LIVE, claim("5Gi"), []),
        (claim("6Gi"), LIVE, claim("6Gi"), []),
        (
            claim("4Gi"),
            LIVE,
            claim("5Gi"),
            ["volume 'demo-db' keeps its size 5Gi (4Gi is wanted; volumes do not shrink)"],
        ),
        (
            claim("5Gi", storageClassName="slow"),
            LIVE,
            claim("5Gi"),
            ["volume 'demo-db' keeps its storage class 'fast' ('slow' is wanted)"],
        ),
        (
            claim("5Gi", accessModes=["ReadWriteMany"]),
            LIVE,
            claim("5Gi"),
            ["volume 'demo-db' keeps its access mode ReadWriteOnce (ReadWriteMany is wanted)"],
        ),
        # Not made by us, in a notation that we do not write: as it is.
        (claim("6Gi"), ClaimSpec("5e9", "", ("ReadWriteOnce",)), claim("5e9"), []),
        (claim("6Gi", storageClassName="fast"), ClaimSpec("", "", ()), claim("6Gi", storageClassName="fast"), []),
    ],
)
def test_an_existing_claim(wanted: Any, live: ClaimSpec, sent: Any, notes: list[str]) -> None:
    present = by_ref(child("PersistentVolumeClaim", "demo-db", claim=live))
    assert settled([wanted], present) == ([sent], notes)


def test_what_is_new_or_no_claim_is_sent_as_it_is() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo", "namespace": "team-a"}}
    manifests = [claim("1Gi"), config]
    assert settled(manifests, {}) == (manifests, [])
    assert settled(manifests, by_ref(child("ConfigMap", "demo"))) == (manifests, [])
