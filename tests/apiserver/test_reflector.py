"""The reflector against a real API server: it comes to know what is there, whatever happens to its watch."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from airfield.kube import credentials
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.kinds import CONFIG_MAP, SECRET, Kind, Ref
from airfield.kube.reflector import Reflector
from clusters import kubectl
from localcluster import Cluster
from operated_cluster import eventually

pytestmark = pytest.mark.apiserver

LABEL = "reflected"


class Recorder:
    """A sink that keeps names and versions."""

    def __init__(self) -> None:
        self.there: dict[str, Mapping[str, Any]] = {}
        self.taken: list[str] = []
        self.lists = 0

    def seen(self, obj: Mapping[str, Any]) -> None:
        self.there[obj["metadata"]["name"]] = obj
        self.taken.append(obj["metadata"]["name"])

    def knows(self, ref: Ref, version: str) -> bool:
        known = self.there.get(ref.name, {"metadata": {}})
        return bool(known["metadata"].get("resourceVersion") == version)

    def gone(self, obj: Mapping[str, Any]) -> None:
        self.there.pop(obj["metadata"]["name"], None)

    def listed(self, kind: Kind, namespace: str, refs: Collection[Ref], version: str) -> None:
        assert version.isdecimal() or not refs
        assert all((ref.kind, ref.namespace) == (kind.kind, namespace) for ref in refs)
        self.lists += 1
        for name in self.there.keys() - {ref.name for ref in refs}:
            del self.there[name]


@pytest.fixture
async def kube(control_plane: Cluster) -> AsyncIterator[KubeClient]:
    async with KubeClient(credentials.from_kubeconfig(path=str(control_plane.kubeconfig))) as kube:
        yield kube


@pytest.fixture
async def namespace(kube: KubeClient) -> AsyncIterator[str]:
    name = f"reflector-{uuid.uuid4().hex[:8]}"
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await kube.delete(Ref("v1", "Namespace", "", name))


@asynccontextmanager
async def reflecting(reflector: Reflector) -> AsyncIterator[None]:
    task = asyncio.create_task(reflector.run())
    try:
        await asyncio.wait_for(reflector.filled.wait(), 30)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def config(namespace: str, name: str, label: str | None = LABEL, **data: str) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "labels": {label: "yes"} if label else {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def until(condition: Callable[[], object]) -> None:
    async def holds() -> bool:
        return bool(condition())

    await eventually(holds)


async def test_what_is_there_comes_goes_and_changes(kube: KubeClient, namespace: str) -> None:
    sink = Recorder()
    for name in ("a", "b", "c"):
        await kube.apply(config(namespace, name))
    await kube.apply(config(namespace, "other", None))
    reflector = Reflector(kube, CONFIG_MAP, sink, namespace=namespace, label_selector=LABEL)
    async with reflecting(reflector):
        assert sink.there.keys() == {"a", "b", "c"}
        await kube.apply(config(namespace, "new", text="x" * 700_000))  # longer than any line that aiohttp reads
        await until(lambda: len(sink.there.get("new", {}).get("data", {}).get("text", "")) == 700_000)
        await kube.delete(Ref.of(config(namespace, "a")))
        await kube.apply(config(namespace, "b", None))  # is no longer selected
        await until(lambda: sink.there.keys() == {"c", "new"})
        assert (sink.there["c"]["apiVersion"], sink.there["c"]["kind"]) == ("v1", "ConfigMap")
        assert sink.lists == 1


async def test_a_watch_that_fails_is_not_heard_of_however_often_it_lists(
    kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, works = KubeClient._events, [True]

    async def refusing(self: KubeClient, *arguments: Any) -> AsyncIterator[dict[str, Any]]:
        if not works[0]:
            raise ApiError(500, "InternalError", "no watches today")
        async for event in events(self, *arguments):
            yield event

    monkeypatch.setattr(KubeClient, "_events", refusing)
    reflector = Reflector(
        kube, CONFIG_MAP, sink := Recorder(), namespace=namespace, label_selector=LABEL, resync_seconds=0.5
    )
    made = reflector.heard_at
    async with reflecting(reflector):
        await until(lambda: reflector.heard_at > made)  # though it has nothing to tell
        works[0], lists = False, sink.lists
        await until(lambda: sink.lists >= lists + 2)  # no watch outlasts the time until the next list
        silent, lists = reflector.heard_at, sink.lists
        await until(lambda: sink.lists > lists)
        assert reflector.heard_at == silent < reflector.listed_at


async def test_a_version_that_the_server_has_forgotten_is_listed_anew(
    kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server forgets after minutes; so its answer is made up, and all else is real."""
    events, forgotten = KubeClient._events, [True]

    async def forgetful(self: KubeClient, *arguments: Any) -> AsyncIterator[dict[str, Any]]:
        if forgotten.pop() if forgotten else False:
            raise ApiError(410, "Expired", "too old resource version")
        async for event in events(self, *arguments):
            yield event

    monkeypatch.setattr(KubeClient, "_events", forgetful)
    sink = Recorder()
    async with reflecting(Reflector(kube, CONFIG_MAP, sink, namespace=namespace, label_selector=LABEL)):
        await until(lambda: sink.lists == 2)
        await kube.apply(config(namespace, "new"))
        await until(lambda: "new" in sink.there)
        assert sink.lists == 2


async def test_it_lists_again_when_it_is_time(kube: KubeClient, namespace: str) -> None:
    sink = Recorder()
    reflector = Reflector(kube, CONFIG_MAP, sink, namespace=namespace, resync_seconds=1.0)
    async with reflecting(reflector):
        await until(lambda: sink.lists >= 2)


def spying(monkeypatch: pytest.MonkeyPatch, read: list[str]) -> None:
    """Note what is read: "all", "versions", or the name of an object."""
    get, pages, versions = KubeClient.get, KubeClient.pages, KubeClient.versions

    def getting(self: KubeClient, ref: Ref) -> Any:
        read.append(ref.name)
        return get(self, ref)

    def paging(self: KubeClient, *arguments: Any, **options: Any) -> Any:
        read.append("all")
        return pages(self, *arguments, **options)

    def comparing(self: KubeClient, *arguments: Any) -> Any:
        read.append("versions")
        return versions(self, *arguments)

    monkeypatch.setattr(KubeClient, "get", getting)
    monkeypatch.setattr(KubeClient, "pages", paging)
    monkeypatch.setattr(KubeClient, "versions", comparing)


async def test_of_a_later_list_only_what_has_another_version_is_read(
    kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, lost = KubeClient._events, [False]

    async def losing(self: KubeClient, *arguments: Any) -> AsyncIterator[dict[str, Any]]:
        async for event in events(self, *arguments):
            if not lost[0] or event["type"] == "BOOKMARK":
                yield event

    monkeypatch.setattr(KubeClient, "_events", losing)
    monkeypatch.setattr("airfield.kube.client.LONG_PAGE", 2)
    for name in ("a", "b", "c"):
        await kube.apply(config(namespace, name, text="old"))
    sink, read = Recorder(), list[str]()
    spying(monkeypatch, read)
    reflector = Reflector(kube, CONFIG_MAP, sink, namespace=namespace, label_selector=LABEL, resync_seconds=1.0)
    async with reflecting(reflector):
        lost[0] = True
        await kube.apply(config(namespace, "b", text="new"))
        await kube.apply(config(namespace, "d", text="new"))
        await kube.delete(Ref.of(config(namespace, "c")))
        await until(lambda: sink.there.keys() == {"a", "b", "d"})
        lists = sink.lists
        await until(lambda: sink.lists > lists)
        assert {name: found["data"]["text"] for name, found in sink.there.items()} == {
            "a": "old",
            "b": "new",
            "d": "new",
        }
        assert sink.taken == ["a", "b", "c", "b", "d"]
        assert read[:2] == ["all", "versions"]
        assert [each for each in read if each not in {"all", "versions"}] == ["b", "d"]
        # Too many to be read one by one.
        await asyncio.gather(*(kube.apply(config(namespace, f"m{number}", text="new")) for number in range(50)))
        await until(lambda: len(sink.there) == 53)
        assert read.count("all") >= 2
        assert {found["data"]["text"] for name, found in sink.there.items() if name != "a"} == {"new"}


async def test_after_a_failure_all_is_read(kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events, read = KubeClient._events, list[str]()

    async def failing(self: KubeClient, *arguments: Any) -> AsyncIterator[dict[str, Any]]:
        if len(read) == 2:
            raise ApiError(500, "InternalError", "something is wrong")
        async for event in events(self, *arguments):
            yield event

    monkeypatch.setattr(KubeClient, "_events", failing)
    monkeypatch.setattr("airfield.kube.reflector.PAUSE_FIRST", 1.5)  # until it is time for another list
    spying(monkeypatch, read)
    await kube.apply(config(namespace, "a"))
    sink = Recorder()
    reflector = Reflector(kube, CONFIG_MAP, sink, namespace=namespace, label_selector=LABEL, resync_seconds=1.0)
    async with reflecting(reflector):
        await until(lambda: len(read) >= 4)
        assert read[:4] == ["all", "versions", "all", "versions"]


async def test_of_secrets_only_the_metadata_is_read(kube: KubeClient, namespace: str) -> None:
    sink = Recorder()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": "a"}}
    await kube.apply({**secret, "stringData": {"password": "listed"}})
    reflector = Reflector(kube, SECRET, sink, namespace=namespace, metadata_only=True)
    async with reflecting(reflector):
        await kube.apply({**secret, "metadata": {"namespace": namespace, "name": "b"}, "stringData": {"p": "watched"}})
        await until(lambda: "b" in sink.there)
        for found in sink.there.values():
            assert found["kind"] == "Secret"
            assert found.keys() == {"apiVersion", "kind", "metadata"}


async def test_a_failing_sink_does_not_end_it(kube: KubeClient, namespace: str) -> None:
    class Failing(Recorder):
        failures = 1

        def seen(self, obj: Mapping[str, Any]) -> None:
            if self.failures and obj["metadata"]["name"] == "bad":
                self.failures -= 1
                raise ValueError("bad object")
            super().seen(obj)

    sink = Failing()
    async with reflecting(Reflector(kube, CONFIG_MAP, sink, namespace=namespace, label_selector=LABEL)):
        await kube.apply(config(namespace, "bad"))
        await until(lambda: "bad" in sink.there)


async def test_a_kind_that_comes_and_goes(
    kube: KubeClient, namespace: str, control_plane: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nobody serves it there are no objects of it, which is no failure."""
    monkeypatch.setattr("airfield.kube.reflector.UNSERVED_PAUSE", 0.1)
    group = f"{namespace}.example.com"
    kind = Kind(f"{group}/v1", "Widget", "widgets")
    schema = {"openAPIV3Schema": {"type": "object"}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    sink, told = Recorder(), list[bool]()
    reflector = Reflector(kube, kind, sink, namespace=namespace, on_served=told.append)
    async with reflecting(reflector):
        assert told[0] is False
        kubectl(control_plane, "apply", "-f", "-", text=json.dumps(definition))
        await until(lambda: told[-1])
        metadata = {"name": "a", "namespace": namespace}
        widget = {"apiVersion": kind.api_version, "kind": "Widget", "metadata": metadata}
        kubectl(control_plane, "apply", "-f", "-", text=json.dumps(widget))
        await until(lambda: "a" in sink.there)
        monkeypatch.setattr("airfield.kube.client.LONG_PAGE", 2)
        for name in ("b", "c"):
            metadata["name"] = name
            kubectl(control_plane, "apply", "-f", "-", text=json.dumps(widget))
        await until(lambda: sink.there.keys() == {"a", "b", "c"})
        pages = [objects async for objects, _ in kube.versions(kind, namespace, "")]
        assert [len(page) for page in pages] == [2, 1]
        assert {ref: version for page in pages for ref, version in page} == {
            Ref.of(obj): obj["metadata"]["resourceVersion"] for obj in sink.there.values()
        }
        kubectl(control_plane, "delete", f"crd/widgets.{group}")
        await until(lambda: not told[-1])
        assert not sink.there
        heard = reflector.heard_at  # nobody's silence
        await until(lambda: reflector.heard_at > heard)
