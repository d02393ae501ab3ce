"""What the tests against a real API server share."""

from pathlib import Path

import pytest

from clusters import control_plane
from localcluster import Cluster
from operated_cluster import kube, neighbour, neighbour_versions, site, team
from postgres_server import postgres_server

__all__ = ["control_plane", "kube", "neighbour", "neighbour_versions", "postgres_server", "site", "team"]


@pytest.fixture(scope="session")
def kubeconfig(control_plane: Cluster) -> Path:
    return control_plane.kubeconfig
