"""Where things are: the repository, and the cache that a second clone shares."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def cache() -> Path:
    """Return ${AIRFIELD_CACHE}, or ~/.cache/airfield."""
    return Path(os.environ.get("AIRFIELD_CACHE") or Path.home() / ".cache" / "airfield").absolute()
