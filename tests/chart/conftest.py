"""What the chart's tests share: the chart's own scripts as modules, and a real PostgreSQL."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from chart.rendered import CHART
from postgres_server import postgres_server

__all__ = ["postgres_server"]


@pytest.fixture(scope="session")
def script() -> Iterator[dict[str, ModuleType]]:
    """The modules of charts/airflow/files by name."""
    folder = str(CHART / "files")
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True  # a chart's folder holds nothing but the chart
    try:
        yield {path.stem: import_module(path.stem) for path in Path(folder).glob("*.py")}
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = False
