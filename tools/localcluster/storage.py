"""Storage class `standard`: every claim gets a directory of the instance's folder as its volume.

`run` is the body of a process of the instance.
"""

import http.client
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from localcluster.api import Api, Document
from localcluster.workspace import LocalClusterError

PROVISIONER = "airfield.dev/local-directory"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"

STORAGE_CLASS: Document = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
}


def provision(api: Api, folder: Path, claim: Document) -> None:
    """Make a volume for a claim of our class that has none."""
    metadata, spec = claim["metadata"], claim["spec"]
    unbound = not spec.get("volumeName") and not metadata.get("deletionTimestamp")
    if spec.get("storageClassName") != STORAGE_CLASS["metadata"]["name"] or not unbound:
        return
    name = f"pvc-{metadata['uid']}"
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    # Pods of any user may write, as they may in most provisioners' volumes; fsGroup works in addition.
    path.chmod(0o777)
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "storageClassName": spec["storageClassName"],
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "local": {"path": str(path)},
            # Required for local volumes. Every node of this instance is this machine.
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}
                    ]
                }
            },
        },
    }
    api.create(VOLUMES, volume)


def reclaim(api: Api, folder: Path, volume: Document) -> None:
    """Delete a volume of ours, and its data, once its claim is gone."""
    metadata = volume["metadata"]
    ours = metadata.get("annotations", {}).get(PROVISIONED_BY) == PROVISIONER
    deletable = volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    if ours and deletable and volume.get("status", {}).get("phase") == "Released":
        shutil.rmtree(folder / metadata["name"], ignore_errors=True)
        api.delete(f"{VOLUMES}/{metadata['name']}")


def follow(api: Api, path: str, handle: Callable[[Document], None]) -> None:
    """Call `handle` with every object at `path`, and again whenever it changes, for ever."""
    while True:
        try:
            for document in api.watch(path):
                handle(document)
        except (OSError, ValueError, http.client.HTTPException, LocalClusterError):
            # Whatever was missed comes again: a watch starts with everything there is.
            traceback.print_exc()
            time.sleep(1)


def run(api: Api, folder: Path) -> None:
    """Provision and reclaim volumes, as directories of `folder`, for ever."""
    threading.Thread(
        target=follow, args=(api, VOLUMES, lambda volume: reclaim(api, folder, volume)), daemon=True
    ).start()
    follow(api, CLAIMS, lambda claim: provision(api, folder, claim))
