"""What a pass remembers for the next one, and what it must not take for granted."""

from types import SimpleNamespace
from typing import Any, cast

from airfield.api import meta
from airfield.api.environment import AirflowEnvironmentStatus
from airfield.environment.ensure.memory import RENDERED, Memory
from airfield.environment.ensure.run import Doors, Run
from airfield.environment.history import Wanted
from airfield.environment.outcome import Done
from airfield.kube.inventory import Inventory
from airfield.kube.resources import Resources
from airfield.kube.secrets import SecretVersions
from builders import effective, environment


def claim(storage_class: str, *, live: bool) -> dict[str, Any]:
    """The claim for logs as it is rendered, or as it is in the cluster after we have made it so."""
    metadata: dict[str, Any] = {"name": "demo-logs", "namespace": "team-a"}
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class}
    if live:
        owned: dict[str, Any] = {"f:spec": {"f:storageClassName": {}}}
        entry = {"manager": meta.FIELD_MANAGER, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": owned}
        metadata |= {"uid": "1", "resourceVersion": "1", "labels": {meta.LABEL_ENVIRONMENT: "demo"}}
        metadata |= {"managedFields": [entry]}
    spec |= {"resources": {"requests": {"storage": "5Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def test_a_claim_that_was_removed_is_made_as_it_is_wanted_now() -> None:
    """Between two passes of an environment that waits: with the wrong class it could not be bound."""
    inventory = Inventory()
    secrets = SecretVersions()
    secrets.retain("", set(), "1")
    doors = SimpleNamespace(inventory=inventory, resources=Resources(), secrets=secrets)
    memory, wanted = Memory(cast("Doors", doors)), environment()
    inventory.observe(claim("slow", live=True))
    run = Run(cast("Doors", doors), wanted, effective(), Wanted(1), AirflowEnvironmentStatus())
    run.rendered = [claim("fast", live=False)]
    run.fit()
    assert run.manifests == [claim("slow", live=False)]
    assert "keeps its storage class 'slow'" in run.notes[0]
    wish = memory.wish(wanted)
    memory.remember(run, wish, dict.fromkeys(RENDERED, Done()))

    inventory.forget(claim("slow", live=True))
    resumed = memory.resume(wanted, wish)
    assert resumed is not None
    again, outcomes = resumed
    assert outcomes.keys() == RENDERED
    assert again.manifests == [claim("fast", live=False)]
    assert again.notes == []
