"""What the tests against a real API server share."""

from pathlib import Path

import pytest

from clusters import control_plane
from localcluster import Cluster

__all__ = ["control_plane"]


@pytest.fixture(scope="session")
def kubeconfig(control_plane: Cluster) -> Path:
    return control_plane.kubeconfig
