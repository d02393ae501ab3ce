"""The operator is killed at a write in its own namespace: to the ledger, or while it fills a template database."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from airfield.costs import store
from airfield.costs.ledger import Segment
from airfield.environment.values import schema_revision
from airfield.environment_class.controller import LABEL_TEMPLATE
from airfield.kube import kinds
from airfield.kube.client import KubeClient
from airfield.postgres.server import Server
from faults.fault_site import FaultSite
from operated_cluster import SYSTEM, VERSION, Json, Team, fill_template
from postgres_server import PostgresServer

MORE: Json = {"components": {"scheduler": {"resources": {"requests": {"cpu": "1"}}}}}
FILLING = 10
"""Writes of a template's making: five objects, which are removed when it is filled."""


async def segments(team: Team) -> tuple[Segment, ...]:
    """What the ledger says of the team's environment, over all pages."""
    found: dict[datetime, Segment] = {}
    for name in sorted((await store.names(team.kube, SYSTEM, team.name)).get(team.name, set())):
        page = await store.load(team.kube, SYSTEM, team.name, name)
        if page is not None:
            found |= {each.since: each for each in page[0].entries.get((team.namespace, "demo"), ())}
    return tuple(found.values())


@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.long), True], ids=["before", "after"])
async def test_crash_at_every_write_of_the_ledger(site: FaultSite, team: Team, after: bool) -> None:
    """Created, resized, deleted: two segments without a gap, and none twice."""
    began = datetime.now(UTC) - timedelta(seconds=1)
    acts = (
        (lambda: team.put_environment(deletionPolicy="Delete"), 1, True),
        (lambda: team.put_environment(deletionPolicy="Delete", **MORE), 2, True),
        (lambda: team.kube.delete(team.environment()), 2, False),
    )
    for act, count, lasting in acts:

        async def recorded(count: int = count, lasting: bool = lasting) -> bool:
            found = await segments(team)
            return len(found) == count and (found[-1].until is None) == lasting

        rule = site.killed_at(1, SYSTEM, after=after, kind="configmaps", name=f"airfield-costs.{team.name}.*")
        assert await site.killed(rule, act(), recorded)
    found = await segments(team)
    assert [each.terms.cpu for each in found] == [Decimal("0.3"), Decimal("1.2")]
    assert all(before.until == after.since for before, after in pairwise(found))
    assert found[-1].until is not None
    assert began <= found[0].since < found[-1].since < found[-1].until <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("write", "after"),
    [
        pytest.param(write, after, marks=[] if (write, after) == (6, True) else pytest.mark.long)
        for write in range(1, FILLING + 1)
        for after in (False, True)
    ],
)
async def test_crash_at_every_write_of_a_template(
    site: FaultSite, kube: KubeClient, team: Team, postgres_server: PostgresServer, write: int, after: bool
) -> None:
    """It is filled all the same, and nothing is left of what filled it."""
    image = f"airfield/airflow:{uuid.uuid4().hex[:8]}"
    revision = schema_revision(VERSION, image)
    assert await fill_template(postgres_server, revision)  # as the Job's container would
    server = Server(postgres_server.admin)

    async def filled() -> bool:
        where = (kinds.SECRET, kinds.CONFIG_MAP, kinds.SERVICE_ACCOUNT, kinds.JOB)
        left = [await kube.list(kind, SYSTEM, f"{LABEL_TEMPLATE}={revision}") for kind in where]
        return not any(left) and revision in await server.templates()

    rule = site.killed_at(write, SYSTEM, after=after, name=f"template-*{revision}*")
    versions = [{"version": VERSION, "image": image}]
    assert await site.killed(rule, team.put_class(catalog={"versions": versions}), filled)
