"""The end of an environment when the API server refuses what it takes: it is waited for, but not for ever."""

import socket
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airfield.api import meta
from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.environment.connections import encoded
from airfield.environment.ensure.deleted import Farewell, ensure_deleted
from airfield.environment.outcome import Done, Wait
from airfield.kube.errors import ApiError
from airfield.kube.inventory import Inventory
from airfield.kube.kinds import Kind, Ref
from builders import OURS, SERVER, blueprint, environment

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Refusing:
    """An API server that lists nothing."""

    def __init__(self, status: int) -> None:
        self._status = status

    async def list(self, kind: Kind, namespace: str, selector: str) -> list[Any]:
        raise ApiError(self._status, "Forbidden", f"list {kind.plural} in {namespace}: no ({selector})")


class Empty:
    """An API server that has nothing of the environment any more, but the login of the database server."""

    async def list(self, kind: Kind, namespace: str, selector: str) -> list[Any]:
        del kind, namespace, selector
        return []

    async def get(self, ref: Ref) -> dict[str, Any]:
        assert ref.kind == "Secret"
        return {"data": encoded({"username": "airfield", "password": "of-the-administrator"})}


class Draining:
    """An API server with a pod of the scheduler that still runs, and that ends as soon as something is deleted."""

    def __init__(self, inventory: Inventory, *objects: dict[str, Any]) -> None:
        self.inventory = inventory
        self.deleted: list[str] = []
        self.listed = 0
        self._objects = objects

    async def get(self, ref: Ref) -> dict[str, Any] | None:
        return next((obj for obj in self._objects if Ref.of(obj) == ref), None)

    async def list(self, kind: Kind, namespace: str, selector: str) -> list[Any]:
        del namespace, selector
        self.listed += 1
        return [obj for obj in self._objects if obj["kind"] == kind.kind]

    async def delete(self, ref: Ref, *, uid: str) -> bool:
        del uid
        self.deleted.append(ref.name)
        self.inventory.forget(SCHEDULER_POD)
        return True


def part(kind: str, component: str, api_version: str = "apps/v1") -> dict[str, Any]:
    labels = {**OURS, meta.LABEL_ENVIRONMENT: "demo", meta.LABEL_COMPONENT: component}
    metadata = {"namespace": "team-a", "name": f"{component}-{kind.lower()}", "labels": labels, "resourceVersion": "1"}
    return {"apiVersion": api_version, "kind": kind, "metadata": {**metadata, "uid": f"{component}-{kind}"}}


SCHEDULER_POD = part("Pod", "scheduler", "v1")


def farewell(status: int, minutes: float) -> Farewell:
    return _farewell(Refusing(status), Inventory(), minutes)


def _farewell(
    kube: Any,
    inventory: Inventory,
    minutes: float,
    found: AirflowEnvironment | None = None,
    of: AirflowEnvironmentClass | None = None,
) -> Farewell:
    doors: Any = SimpleNamespace(kube=kube, inventory=inventory, clock=lambda: NOW, cluster="here")
    return Farewell(doors, found or environment(), of, NOW - timedelta(minutes=minutes))


async def test_a_refusal_is_told_and_waited_for() -> None:
    outcome = await ensure_deleted(farewell(403, 1))
    assert isinstance(outcome, Wait)
    assert outcome.message.startswith("the API server refuses: list secrets in team-a")


async def test_in_the_end_it_is_left_behind() -> None:
    assert isinstance(await ensure_deleted(farewell(403, 11)), Done)


@pytest.mark.parametrize(("minutes", "given_up"), [(9, False), (11, True)])
async def test_a_database_server_is_not_waited_for_for_ever(minutes: float, given_up: bool) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = {**SERVER, "host": "127.0.0.1", "port": closed.getsockname()[1], "sslMode": "disable"}
        going = environment(database={"server": {}}, deletionPolicy="Delete")
        outcome = await ensure_deleted(
            _farewell(Empty(), Inventory(), minutes, going, blueprint(databaseServers=[server]))
        )
    if given_up:
        assert isinstance(outcome, Done)
    else:
        assert isinstance(outcome, Wait)
        assert outcome.message.startswith("the database cannot be dropped: ")


class Overtaken:
    """An API server whose lists are old by the time they come: a watch has told of more."""

    def __init__(self, inventory: Inventory, *news: dict[str, Any]) -> None:
        self._inventory, self._news = inventory, news

    async def get(self, ref: Ref) -> None:
        assert ref.kind == "Pod"

    async def list(self, *_: object) -> list[Any]:
        for obj in self._news:
            self._inventory.observe(obj)
        return []


@pytest.mark.parametrize("another", [False, True])
async def test_what_a_watch_tells_while_all_is_listed_is_waited_for(another: bool) -> None:
    """A pod that comes, be it instead of another one of its name."""
    inventory = Inventory()
    inventory.observe(CLAIM)  # which the list lacks, and which nothing has told of since
    if another:
        former = {"uid": "another", "resourceVersion": "0"}
        inventory.observe({**SCHEDULER_POD, "metadata": {**SCHEDULER_POD["metadata"], **former}})
    outcome = await ensure_deleted(_farewell(Overtaken(inventory, SCHEDULER_POD), inventory, 1))
    assert isinstance(outcome, Wait)
    assert "scheduler-pod" in outcome.message
    assert {ref.kind for ref in inventory.children(("team-a", "demo"))} == {"Pod"}


async def test_what_passes_by_itself_is_tried_again() -> None:
    with pytest.raises(ApiError):
        await ensure_deleted(farewell(503, 11))


@pytest.mark.parametrize(
    ("minutes", "goes"), [(1, {"scheduler-deployment"}), (4, {"scheduler-deployment", "api-server-deployment"})]
)
async def test_workloads_go_in_order_unless_that_takes_long(minutes: float, goes: set[str]) -> None:
    """And what is to go later is not forgotten when the last pod that it waits for ends within a pass."""
    inventory = Inventory()
    for obj in (part("Deployment", "scheduler"), part("Deployment", "api-server"), SCHEDULER_POD):
        inventory.observe(obj)
    kube = Draining(inventory, SCHEDULER_POD)
    outcome = await ensure_deleted(_farewell(kube, inventory, minutes))
    assert set(kube.deleted) == goes
    assert isinstance(outcome, Wait)
    assert "scheduler-pod" in outcome.message
    assert not kube.listed  # a thousand environments wait like that at a time


API_SERVER_POD = part("Pod", "api-server", "v1")
CLAIM = part("PersistentVolumeClaim", "logs", "v1")
CLAIM["metadata"]["managedFields"] = [{"manager": meta.FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {}}}]


@pytest.mark.parametrize(
    ("minutes", "there", "known", "goes"),
    [
        # The pod that is waited for has gone. Not the first by name: that is one of those that wait.
        (1, [], [SCHEDULER_POD], {"scheduler-deployment", "api-server-deployment", "logs-persistentvolumeclaim"}),
        (1, [API_SERVER_POD], [SCHEDULER_POD], {"scheduler-deployment", "api-server-deployment"}),
        # Whatever does not end: before all is given up, somebody looks.
        (11, [SCHEDULER_POD], [], {"scheduler-deployment", "api-server-deployment", "logs-persistentvolumeclaim"}),
    ],
)
async def test_what_watches_have_not_told_is_found(
    minutes: float, there: list[dict[str, Any]], known: list[dict[str, Any]], goes: set[str]
) -> None:
    """And a claim that nobody knows of."""
    inventory = Inventory()
    for obj in (part("Deployment", "scheduler"), part("Deployment", "api-server"), *there, *known):
        inventory.observe(obj)
    kube = Draining(inventory, CLAIM, *there)
    outcome = await ensure_deleted(_farewell(kube, inventory, minutes, environment(deletionPolicy="Delete")))
    assert set(kube.deleted) == goes
    assert isinstance(outcome, Done) == ("logs-persistentvolumeclaim" in goes)
