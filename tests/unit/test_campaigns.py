"""The long campaigns, which run rarely."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("folder", ["faults", "reliability"])
def test_they_can_be_set_up(folder: str) -> None:
    """Nothing is set up: pytest only says what would be, and fails where that cannot be."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--setup-plan",
        "-m",
        "long",
        f"tests/{folder}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "SETUP" in done.stdout
