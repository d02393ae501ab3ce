"""The long campaigns, which run rarely."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["faults", "reliability"])
def test_they_can_be_set_up(folder: str) -> None:
    """Nothing is set up: pytest only says what would be, and fails where that cannot be."""
    plan = ["-m", "pytest", "-p", "no:cacheprovider", "--setup-plan", "-m", "long"]
    done = subprocess.run([sys.executable, *plan, str(TESTS / folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "SETUP" in done.stdout
