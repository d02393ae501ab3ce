"""What the tests of the command share: the real Helm, the example, and the command itself."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from airfield.cli.main import cli
from localcluster import tool

Airfield = Callable[..., Result]
QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine that the tests run on: no cluster, no settings."""
    for name in os.environ:
        if name.startswith(("AIRFIELD_", "KUBERNETES_")) and name != "AIRFIELD_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))


@pytest.fixture(scope="session")
def helm_binary() -> str:
    return str(tool("helm"))


@pytest.fixture
def airfield() -> Airfield:
    """Runs the command. An exception that no person could make sense of fails the test."""

    def run(*arguments: object, text: str | None = None) -> Result:
        result = CliRunner().invoke(cli, [*map(str, arguments)], input=text)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def quickstart() -> Path:
    return QUICKSTART
