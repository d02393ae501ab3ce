"""What all tests share: a busy machine fails no test of properties for being slow; and the order in which files run."""

import gc
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

# To find all tests takes a tenth less with this, in each worker; and memory is cheaper.
gc.set_threshold(50_000, 20, 10)
settings.register_profile("airfield", deadline=None)
settings.load_profile("airfield")

ORDER: Final = (
    "e2e/test_1*",  # prepares the node, for which everybody else in that folder waits
    "unit/[a-e]*",  # what needs nothing of the kind meanwhile
    "images/*",
    "e2e/test_[!6]*",
    "e2e/*",  # waits until nobody else needs the operator, and replaces it
    "faults/test_[crt]*",
    "faults/*",
    "apiserver/test_[ecr]*",  # what takes longest begins before what does not
    "apiserver/*",
    "[!u]*",
    "*",
)
"""Patterns of files below tests/, first come first: with several workers, all should be busy to the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring whole files into that order."""
    items.sort(key=lambda item: _turn(item.path))


def _turn(path: Path) -> int:
    name = path.relative_to(Path(__file__).parent).as_posix()
    return next(number for number, pattern in enumerate(ORDER) if fnmatch(name, pattern))
