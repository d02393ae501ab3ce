"""The platform of the end-to-end tests, and the record of what befell it."""

import re
from collections.abc import Iterator

import pytest

from e2e.conftest import node_cluster, platform, server
from e2e.databases import DatabaseServer
from reliability.record import Record
from reliability.scene import Scene

__all__ = ["node_cluster", "platform", "server"]


@pytest.fixture(scope="package")
def record(server: DatabaseServer, request: pytest.FixtureRequest) -> Iterator[Record]:
    """Written into docs/reliability.md when every test of the campaign has added to it, and all have passed."""
    record = Record()
    yield record
    if record.complete and not request.session.testsfailed:
        record.write(server.platform)


@pytest.fixture
def scene(server: DatabaseServer, record: Record, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A place for one environment; it works in the end, and leaves nothing."""
    name = re.sub("[^a-z]+", "-", request.node.name.removeprefix("test_"))[:24].strip("-")
    scene = Scene(server, record, name)
    yield scene
    scene.environment.delete_all()
