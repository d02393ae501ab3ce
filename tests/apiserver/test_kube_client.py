"""KubeClient against a real API server."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airfield.kube import credentials, kinds
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref
from operated_cluster import define

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from localcluster import Cluster

pytestmark = pytest.mark.apiserver

Object = dict[str, Any]


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    async with KubeClient(credentials.from_kubeconfig(path=str(kubeconfig))) as client:
        yield client


@pytest.fixture(scope="module")
def defined(control_plane: Cluster) -> None:
    """The API server knows the Gateway API."""
    define(control_plane)


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    name = f"client-{uuid.uuid4().hex[:8]}"
    await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await client.delete(Ref("v1", "Namespace", "", name))


def config_map(namespace: str, name: str = "a", **data: str) -> Object:
    metadata = {"namespace": namespace, "name": name, "labels": {"test": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


CONTAINERS = [{"name": "a", "image": "a"}]
DEPLOYMENT = {
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": CONTAINERS}},
    }
}


async def test_versions_of_what_may_be_seen(client: KubeClient, namespace: str, kubeconfig: Path) -> None:
    """Of all objects, also of one namespace only where no more may be seen; kinds without namespaces are seen all."""
    live = await client.create(config_map(namespace))
    space = await client.get(Ref("v1", "Namespace", "", namespace))
    assert live is not None
    assert space is not None
    mine = {Ref.of(live): live["metadata"]["resourceVersion"]}
    async with KubeClient(credentials.from_kubeconfig(path=str(kubeconfig)), namespaces=(namespace,)) as confined:
        seen = await confined.versions_of_all(kinds.CONFIG_MAP)
        spaces = await confined.versions_of_all(kinds.NAMESPACE)
    assert {ref.namespace for ref in seen} == {namespace}
    assert mine.items() <= seen.items()
    assert Ref.of(space) in spaces
    assert len(spaces) > 1
    everything = await client.versions_of_all(kinds.CONFIG_MAP)
    assert mine.items() <= everything.items()
    assert len({ref.namespace for ref in everything}) > 1


async def test_a_life(client: KubeClient, namespace: str) -> None:
    manifest = config_map(namespace, a="1")
    ref = Ref.of(manifest)
    assert await client.get(ref) is None
    assert await client.patch(ref, {"data": {"b": "2"}}) is None
    assert await client.delete(ref) is False
    await client.apply(manifest, dry_run=True)
    assert await client.get(ref) is None

    created = await client.create(manifest)
    assert created is not None
    assert created["data"] == {"a": "1"}
    assert await client.create(manifest) is None

    applied = await client.apply(config_map(namespace, a="2", c="3"))
    assert applied["metadata"]["uid"] == created["metadata"]["uid"]
    assert applied["data"] == {"a": "2", "c": "3"}
    again = await client.apply(config_map(namespace, a="2", c="3"))
    assert again["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"]

    merged = await client.patch(ref, {"data": {"c": None, "d": "4"}})
    assert merged is not None
    assert merged["data"] == {"a": "2", "d": "4"}
    patched = await client.patch(ref, [{"op": "remove", "path": "/data/d"}])
    assert patched is not None
    assert patched["data"] == {"a": "2"}
    assert await client.get(ref) == patched

    assert await client.delete(ref, uid=str(uuid.uuid4())) is False
    assert await client.get(ref) is not None
    with pytest.raises(ApiError, match="ResourceVersion in the precondition") as no:
        await client.delete(ref, uid=created["metadata"]["uid"], version="1")
    assert no.value.conflict
    assert await client.delete(ref, uid=created["metadata"]["uid"]) is True
    assert await client.get(ref) is None


@pytest.mark.parametrize(
    ("api_version", "kind", "content"),
    [
        ("v1", "ConfigMap", {"data": {"a": "1"}}),
        ("v1", "Service", {"spec": {"ports": [{"port": 80}]}}),
        ("apps/v1", "Deployment", DEPLOYMENT),
        ("rbac.authorization.k8s.io/v1", "Role", {"rules": []}),
    ],
)
async def test_only_what_is_new_is_made(
    client: KubeClient, namespace: str, api_version: str, kind: str, content: Object
) -> None:
    metadata = {"namespace": namespace, "name": "a", "labels": {"made": "first"}}
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
    made = await client.apply_new(manifest)
    assert made is not None
    assert [entry["operation"] for entry in made["metadata"]["managedFields"]] == ["Apply"]
    assert await client.apply_new({**manifest, "metadata": {**metadata, "labels": {"made": "again"}}}) is None
    again = await client.apply(manifest)
    for live in (await client.get(Ref.of(manifest)), again):
        assert live is not None
        assert live["metadata"]["labels"] == {"made": "first"}
        applied = [entry for entry in live["metadata"]["managedFields"] if entry["operation"] == "Apply"]
        assert applied == made["metadata"]["managedFields"], "the version that was asked for is nothing that is owned"


async def test_a_generated_name(client: KubeClient, namespace: str) -> None:
    manifest = config_map(namespace)
    manifest["metadata"] = {"namespace": namespace, "generateName": "some-"}
    created = await client.create(manifest)
    assert created is not None
    assert created["metadata"]["name"].startswith("some-")


async def test_list_is_paged_and_complete(client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(*(client.apply(config_map(namespace, f"c{i}", a="1")) for i in range(7)))
    monkeypatch.setattr("airfield.kube.client.PAGE", 3)
    for metadata_only in (False, True):
        items = await client.list(kinds.CONFIG_MAP, namespace, "test=yes", metadata_only=metadata_only)
        assert sorted(item["metadata"]["name"] for item in items) == [f"c{i}" for i in range(7)]
        assert {(item["apiVersion"], item["kind"]) for item in items} == {("v1", "ConfigMap")}
        assert all(("data" in item) is not metadata_only for item in items)
    everywhere = await client.list(kinds.CONFIG_MAP, label_selector="test=yes")
    assert {item["metadata"]["name"] for item in everywhere} >= {f"c{i}" for i in range(7)}
    assert await client.list(kinds.CONFIG_MAP, namespace, "test=no") == []


def with_unknown_field(namespace: str) -> Object:
    return {**config_map(namespace), "spec": {}}


def with_unknown_field_in_a_custom_resource(namespace: str) -> Object:
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
    return {**route, "metadata": {"name": "r", "namespace": namespace}, "spec": {"rules": [{"colour": "red"}]}}


def with_a_port_twice(namespace: str) -> Object:
    ports = [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]
    metadata = {"name": "s", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}


def with_bad_type(namespace: str) -> Object:
    return {**config_map(namespace), "data": {"a": 1}}


def with_bad_name(namespace: str) -> Object:
    return config_map(namespace, "Not_A_Name")


def in_no_namespace(_: str) -> Object:
    return config_map("no-such-namespace")


@pytest.mark.parametrize(
    ("make", "status", "text"),
    [
        (with_unknown_field, 422, "field not declared in schema"),
        (with_unknown_field_in_a_custom_resource, 422, "colour: field not declared in schema"),
        (with_a_port_twice, 422, "duplicate entries for key"),
        (with_bad_type, 422, "data.a: expected string"),
        (with_bad_name, 422, "Not_A_Name"),
        (in_no_namespace, 404, 'namespaces "no-such-namespace" not found'),
    ],
)
@pytest.mark.usefixtures("defined")
async def test_refusals(
    client: KubeClient, namespace: str, make: Callable[[str], Object], status: int, text: str
) -> None:
    manifest = make(namespace)
    with pytest.raises(ApiError, match=text) as caught:
        await client.apply(manifest)
    assert caught.value.status == status
    assert caught.value.message.startswith(f"apply {Ref.of(manifest)}: ")
    assert caught.value.invalid is (status == 422)
    assert caught.value.not_found is (status == 404)
    assert not caught.value.transient


async def test_an_unforced_apply_of_what_others_own_is_a_conflict(client: KubeClient, namespace: str) -> None:
    await client.apply(config_map(namespace, a="1"), field_manager="someone")
    with pytest.raises(ApiError, match="someone") as caught:
        await client.apply(config_map(namespace, a="2"), force=False)
    assert caught.value.conflict


async def test_status(client: KubeClient, namespace: str) -> None:
    # A claim of a storage class that does not exist: no controller writes its status.
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": namespace, "name": "a"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "none",
        },
    }
    ref = Ref.of(claim)
    await client.apply(claim)
    for status in ({"phase": "Pending", "capacity": {"storage": "2Gi"}}, {"phase": "Bound"}):
        written = await client.apply_status(ref, status)
        assert written is not None
        assert written["status"] == status
    assert await client.apply_status(Ref(ref.api_version, ref.kind, namespace, "none"), {}) is None


async def test_an_immutable_field(client: KubeClient, namespace: str) -> None:
    await client.apply({**config_map(namespace, a="1"), "immutable": True})
    with pytest.raises(ApiError, match="immutable") as caught:
        await client.apply({**config_map(namespace, a="2"), "immutable": True})
    assert caught.value.invalid


async def test_logs_of_a_pod_that_is_not_there(client: KubeClient, namespace: str) -> None:
    assert await client.logs(namespace, "none") == ""


async def test_many_at_once(client: KubeClient, namespace: str) -> None:
    objects = await asyncio.gather(*(client.apply(config_map(namespace, f"m{i}", a="1")) for i in range(200)))
    assert len({o["metadata"]["uid"] for o in objects}) == 200


async def watch(client: KubeClient) -> None:
    async for _ in client.watch(kinds.CONFIG_MAP, "", "", version="0", seconds=60):
        pass


async def read(client: KubeClient) -> None:
    while True:
        await client.list(kinds.CONFIG_MAP)


def sockets() -> set[str]:
    """Those of this process."""
    links = {str(entry.resolve()) for entry in Path("/proc/self/fd").iterdir()}
    return {link for link in links if "socket:" in link}


@pytest.mark.parametrize("request_", [watch, read])
@pytest.mark.parametrize("after", [0.001, 0.005, 0.02, 0.1])
async def test_what_is_cut_short_leaves_no_connection(
    kubeconfig: Path, request_: Callable[[KubeClient], Awaitable[None]], after: float
) -> None:
    """While it is made, while it is secured, before and amid the answer."""
    before = sockets()
    async with KubeClient(credentials.from_kubeconfig(path=str(kubeconfig))) as client:
        asked = [asyncio.ensure_future(request_(client)) for _ in range(4)]
        await asyncio.sleep(after)
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    assert sockets() == before
