"""`owned_digest` on a real API server: it changes with every foreign change of what is ours, and with nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from airfield.kube import credentials
from airfield.kube.client import KubeClient
from airfield.kube.inventory import Inventory
from airfield.kube.kinds import Ref
from airfield.kube.ownership import digest, owned_digest
from airfield.kube.state import state_of
from localcluster import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.apiserver

Object = dict[str, Any]
LABELS = {"airfield.dev/environment": "demo", "team": "a"}


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    async with KubeClient(credentials.from_kubeconfig(path=str(kubeconfig))) as client:
        yield client


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    name = f"inventory-{uuid.uuid4().hex[:8]}"
    await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await client.delete(Ref("v1", "Namespace", "", name))


def container(name: str) -> Object:
    return {
        "name": name,
        "image": "airfield/airflow:3.3.2",
        "args": ["scheduler", "--verbose"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "ports": [{"name": f"p-{name}", "containerPort": 8000 + len(name)}],
        "resources": {"requests": {"cpu": "100m", "memory": "0.5Gi"}},
    }


def deployment(namespace: str, *, replicas: int | None = 1) -> Object:
    labels = {"app.kubernetes.io/instance": "demo"}
    spec: Object = {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels, "annotations": {"checksum": "x"}},
            "spec": {"containers": [container("main"), container("sidecar")]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    metadata = {"namespace": namespace, "name": "demo", "labels": LABELS, "annotations": {"note": "ours"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def settings(namespace: str, kind: str = "ConfigMap") -> Object:
    metadata = {"namespace": namespace, "name": "demo", "labels": LABELS}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": {"a": "MQ==", "b": "Mg=="}}


def claim(namespace: str) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"namespace": namespace, "name": "demo", "labels": LABELS}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def service(namespace: str) -> Object:
    spec = {"selector": {"x": "y"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    metadata = {"namespace": namespace, "name": "demo", "labels": LABELS}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


MAKERS = {
    "deployment": deployment,
    "autoscaled": lambda ns: deployment(ns, replicas=None),
    "configmap": settings,
    "secret": lambda ns: settings(ns, "Secret"),
    "pvc": claim,
    "service": service,
}


def kubectl(kubeconfig: Path, namespace: str, *arguments: str, stdin: str = "", editor: str = "") -> None:
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "KUBE_EDITOR": editor}
    command = [str(tool("kubectl")), "--namespace", namespace, *arguments]
    done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def patch(kind: str, document: object, *more: str) -> list[str]:
    form = "json" if isinstance(document, list) else "strategic"
    return ["patch", kind, "demo", "--type", form, "--patch", json.dumps(document), *more]


def pod(**spec: Any) -> Object:
    return {"spec": {"template": {"spec": spec}}}


CONTAINERS = "/spec/template/spec/containers"


@pytest.mark.parametrize(
    ("maker", "arguments", "changes"),
    [
        # Foreign changes of what is ours.
        ("deployment", ["label", "deployment/demo", "team=b", "--overwrite"], True),
        ("deployment", ["label", "deployment/demo", "team-"], True),
        ("deployment", ["annotate", "deployment/demo", "note-"], True),
        ("deployment", ["scale", "deployment/demo", "--replicas=3"], True),
        ("deployment", ["set", "image", "deployment/demo", "main=elsewhere/airflow:1"], True),
        ("deployment", ["set", "env", "deployment/demo", "--containers=main", "A=9"], True),
        ("deployment", ["set", "env", "deployment/demo", "--containers=main", "A-"], True),
        ("deployment", ["set", "resources", "deployment/demo", "--requests=cpu=2"], True),
        ("deployment", patch("deployment", [{"op": "remove", "path": f"{CONTAINERS}/1"}]), True),
        ("deployment", patch("deployment", [{"op": "remove", "path": f"{CONTAINERS}/0/args"}]), True),
        ("deployment", patch("deployment", [{"op": "add", "path": f"{CONTAINERS}/0/args/-", "value": "x"}]), True),
        ("deployment", patch("deployment", [{"op": "remove", "path": f"{CONTAINERS}/0/ports/0/name"}]), True),
        ("deployment", patch("deployment", [{"op": "remove", "path": "/metadata/labels"}]), True),
        ("configmap", patch("configmap", {"data": {"a": "2"}}), True),
        ("configmap", patch("configmap", {"data": {"b": None}}), True),
        ("configmap", patch("configmap", [{"op": "remove", "path": "/data"}]), True),
        ("configmap", patch("configmap", [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]), True),
        ("secret", patch("secret", {"stringData": {"a": "other"}}), True),
        ("secret", patch("secret", {"data": {"b": None}}), True),
        ("pvc", ["label", "pvc/demo", "team-"], True),
        ("service", patch("service", {"spec": {"selector": {"x": "z"}}}), True),
        ("service", patch("service", [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}]), True),
        # Changes of what is not.
        ("deployment", ["label", "deployment/demo", "theirs=yes"], False),
        ("deployment", ["annotate", "deployment/demo", "theirs=yes"], False),
        ("deployment", ["set", "env", "deployment/demo", "--containers=main", "C=3"], False),
        ("deployment", ["rollout", "restart", "deployment/demo"], False),
        ("deployment", ["rollout", "pause", "deployment/demo"], False),
        ("deployment", ["label", "deployment/demo", "team=a", "--overwrite"], False),
        ("deployment", patch("deployment", pod(containers=[{"name": "third", "image": "x"}])), False),
        ("deployment", patch("deployment", pod(terminationGracePeriodSeconds=5)), False),
        ("deployment", patch("deployment", {"status": {"replicas": 7}}, "--subresource=status"), False),
        ("autoscaled", ["scale", "deployment/demo", "--replicas=3"], False),
        ("configmap", patch("configmap", {"data": {"c": "3"}}), False),
        ("configmap", patch("configmap", {"metadata": {"finalizers": ["example.com/x"]}}), False),
        ("pvc", patch("pvc", {"status": {"phase": "Bound"}}, "--subresource=status"), False),
        ("service", patch("service", {"spec": {"sessionAffinity": "ClientIP"}}), False),
    ],
)  # fmt: skip
async def test_foreign_writes(
    client: KubeClient, kubeconfig: Path, namespace: str, maker: str, arguments: list[str], changes: bool
) -> None:
    manifest = MAKERS[maker](namespace)
    await changed(client, manifest, lambda: kubectl(kubeconfig, namespace, *arguments), changes=changes)


@pytest.mark.parametrize(("value", "changes"), [("elsewhere", True), ("MQ==", False)])
async def test_a_foreign_forced_apply(
    client: KubeClient, kubeconfig: Path, namespace: str, value: str, changes: bool
) -> None:
    theirs = settings(namespace) | {"data": {"a": value}}
    arguments = ["apply", "--server-side", "--force-conflicts", "--filename", "-"]
    write = lambda: kubectl(kubeconfig, namespace, *arguments, stdin=json.dumps(theirs))  # noqa: E731
    await changed(client, settings(namespace), write, changes=changes)


async def test_kubectl_edit(client: KubeClient, kubeconfig: Path, namespace: str) -> None:
    write = lambda: kubectl(kubeconfig, namespace, "edit", "configmap/demo", editor="sed -i s/MQ==/other/")  # noqa: E731
    await changed(client, settings(namespace), write, changes=True)


async def test_another_manager_of_the_same_name_that_updates(client: KubeClient, namespace: str) -> None:
    ref = Ref.of(await client.apply(settings(namespace)))
    before = owned_digest(await client.get(ref) or {})
    await client.patch(ref, {"data": {"a": "other"}})
    assert owned_digest(await client.get(ref) or {}) != before


def job(namespace: str) -> Object:
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [container("main")]}}}
    metadata = {"namespace": namespace, "name": "demo", "labels": LABELS}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("make", [deployment, job])
async def test_controllers_change_nothing_of_ours(client: KubeClient, namespace: str, make: Any) -> None:
    """Until the object has done its work, on simulated nodes."""
    manifest = make(namespace)
    first = await client.apply(manifest)
    async with asyncio.timeout(60):
        while not state_of(live := await client.get(Ref.of(manifest)) or first).ready:  # noqa: ASYNC110 - the API server is asked
            await asyncio.sleep(0.1)
    assert live["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    assert owned_digest(live) == owned_digest(first)


async def changed(client: KubeClient, manifest: Object, write: Any, *, changes: bool) -> None:
    """Apply, let someone else write, look whether that shows; then repair it, and see that it stays repaired."""
    inventory, key = Inventory(), (manifest["metadata"]["namespace"], "demo")
    live = await client.apply(manifest)
    inventory.record_applied(key, live, digest(manifest))
    assert owned_digest(live) != ""

    write()
    seen = await client.get(Ref.of(manifest))
    assert seen is not None
    inventory.observe(seen)
    assert (owned_digest(seen) != owned_digest(live)) is changes
    left_us = "airfield.dev/environment" not in seen["metadata"].get("labels", {})
    assert inventory.needs_apply(key, manifest) is (changes or left_us)

    repaired = await client.apply(manifest)
    inventory.record_applied(key, repaired, digest(manifest))
    assert owned_digest(repaired) == owned_digest(live)
    again = await client.get(Ref.of(manifest))
    assert again is not None
    inventory.observe(again)
    assert not inventory.needs_apply(key, manifest)
