"""When a class asks its database servers whether its templates are there."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airfield.environment_class import controller as module
from airfield.environment_class.controller import RETRY_SECONDS, Controller
from airfield.kube.errors import ApiUnavailable
from airfield.kube.resources import Resources
from airfield.kube.secrets import SecretVersions
from airfield.postgres.errors import DatabaseError
from airfield.postgres.server import Address, Server
from builders import SERVER, blueprint

RESYNC = 600.0
MOVED = {**SERVER, "host": "elsewhere.example.com"}


class Everything(dict[str, str]):
    """Templates of all revisions."""

    def __contains__(self, revision: object) -> bool:
        return True


class World(Server):
    """A class, the Secret of its administrator, and a server that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(Address("db.example.com", 5432, "admin", "secret", "postgres"))
        self.now, self.asked = 1000.0, 0
        self.failure: Exception | None = None
        self.resources, self.secrets = Resources(), SecretVersions()
        settings = SimpleNamespace(resync_seconds=RESYNC)
        doors = SimpleNamespace(resources=self.resources, secrets=self.secrets, settings=settings, kube=self)
        doors.clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)
        self.controller = Controller(doors)  # type: ignore[arg-type]
        self.give("1")
        self.wish(SERVER)

    async def connect_admin(self, *_: object) -> Server:
        self.asked += 1
        if isinstance(self.failure, ApiUnavailable):
            raise self.failure
        return self

    async def templates(self) -> dict[str, str]:
        if self.failure is not None:
            raise self.failure
        return Everything()

    async def apply_status(self, *_: object) -> None:
        """The API server's, which does not matter here."""

    def give(self, version: str) -> None:
        metadata = {"namespace": "databases", "name": "admin", "resourceVersion": version}  # as SERVER names it
        self.secrets.observe({"metadata": metadata})

    def wish(self, server: dict[str, Any]) -> None:
        body = blueprint(databaseServers=[server]).model_dump(mode="json", by_alias=True, exclude_none=True)
        self.resources.classes["standard"] = body

    async def look(self) -> tuple[int, float | None]:
        """How often a server was asked in a pass, and the seconds until the next one."""
        before = self.asked
        after = await self.controller.reconcile("standard")
        return self.asked - before, after


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()
    monkeypatch.setattr(module, "connect_admin", found.connect_admin)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


async def test_what_was_complete_is_believed_for_a_while(world: World) -> None:
    assert await world.look() == (1, RESYNC)
    world.now += 400
    assert await world.look() == (0, 200)
    world.now += 199
    assert await world.look() == (0, 1)
    world.now += 1
    assert await world.look() == (1, RESYNC)


@pytest.mark.parametrize(
    "change", [lambda world: world.give("2"), lambda world: world.wish(MOVED)], ids=["secret", "server"]
)
async def test_it_looks_again_when_something_is_new(world: World, change: Callable[[World], None]) -> None:
    await world.look()
    change(world)
    assert await world.look() == (1, RESYNC)
    assert await world.look() == (0, RESYNC)


async def test_a_class_that_goes_is_forgotten(world: World) -> None:
    await world.look()
    body = world.resources.classes.pop("standard")
    assert await world.look() == (0, None)
    world.resources.classes["standard"] = body
    assert await world.look() == (1, RESYNC)


async def test_a_failure_is_not_believed(world: World) -> None:
    await world.look()
    world.now += RESYNC
    world.failure = DatabaseError("Refused", "no")
    assert await world.look() == (1, RETRY_SECONDS)
    world.failure = ApiUnavailable("no answer")
    with pytest.raises(ApiUnavailable):
        await world.look()
    world.failure = None
    assert await world.look() == (1, RESYNC)
