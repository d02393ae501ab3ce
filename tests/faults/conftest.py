"""What the tests of faults share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from airfield.kube.client import KubeClient
from faults.fault_site import FaultSite, fault_site
from operated_cluster import Team
from postgres_server import PostgresServer, postgres_server

__all__ = ["postgres_server"]


@pytest.fixture(scope="package")
def shared_site(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultSite]:
    with fault_site(postgres_server, tmp_path_factory.mktemp("faults")) as site:
        yield site


@pytest.fixture
def site(shared_site: FaultSite) -> Iterator[FaultSite]:
    """The worker's site; whatever a test did to the operator, it runs again afterwards."""
    yield shared_site
    if not shared_site.operator.running:
        shared_site.operator.kill()  # it may have ended by itself
        shared_site.operator.start()


@pytest.fixture
async def kube(site: FaultSite) -> AsyncIterator[KubeClient]:
    async with site.connect() as kube:
        yield kube


@pytest.fixture
async def team(site: FaultSite, kube: KubeClient) -> AsyncIterator[Team]:
    team = site.new_team(kube)
    await team.settle()
    yield team
    await team.leave()
