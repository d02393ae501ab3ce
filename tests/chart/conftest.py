"""What the chart's tests share: the chart's own scripts as modules, and a real PostgreSQL."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import pytest

from chart.rendered import CHART
from postgres_server import postgres_server

__all__ = ["postgres_server"]


@contextmanager
def modules(folder: str, *names: str) -> Iterator[tuple[ModuleType, ...]]:
    """Scripts of the chart, as modules."""
    place = str(CHART / folder)
    sys.path.insert(0, place)
    sys.dont_write_bytecode = True  # a chart's folder holds nothing but the chart
    try:
        yield tuple(import_module(name) for name in names)
    finally:
        sys.path.remove(place)
        sys.dont_write_bytecode = False


@pytest.fixture(scope="session")
def script() -> Iterator[dict[str, ModuleType]]:
    """The modules of charts/airflow/files by name."""
    names = [path.stem for path in (CHART / "files").glob("*.py")]
    with modules("files", *names) as found:
        yield dict(zip(names, found, strict=True))
