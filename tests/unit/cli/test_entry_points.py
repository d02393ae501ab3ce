"""The command as a process: its names, how much it loads, how it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
HEAVY = ("kubernetes", "aiohttp", "psycopg", "kopf", "jinja2", "prometheus_client", "cryptography", "rich")
LOADED = f"""
import json, sys
from airfield.cli.main import cli
sys.argv[0] = "airfield"
try:
    cli(sys.argv[1:])
finally:
    print(json.dumps([name for name in {HEAVY} + ("pydantic",) if name in sys.modules]), file=sys.stderr)
"""


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("program", "usage"), [("airfield", "airfield"), ("kubectl-airfield", "kubectl airfield")])
def test_names(program: str, usage: str) -> None:
    result = run(BIN / program, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: {usage} [OPTIONS] COMMAND")
    assert f"Usage: {usage} status " in run(BIN / program, "status", "--nonsense").stderr


def test_version() -> None:
    assert run(BIN / "airfield", "--version").stdout.strip()[0].isdigit()


def test_completion() -> None:
    result = run(BIN / "airfield", _AIRFIELD_COMPLETE="bash_complete", COMP_WORDS="airfield st", COMP_CWORD="1")
    assert result.stdout.split() == ["plain,status"]


@pytest.mark.parametrize(
    ("arguments", "may_load"),
    [
        (["--help"], set()),
        (["status", "--help"], set()),
        (["explain", "-f", "examples/quickstart"], {"pydantic", "jinja2"}),
        (["explain", "-f", "examples/quickstart", "components"], {"pydantic"}),
        (["explain", "-f", "examples/quickstart/environment.yaml"], {"pydantic"}),
        (["render", "-f", "/no/such"], {"pydantic", "jinja2"}),
    ],
)
def test_only_what_is_needed_is_loaded(arguments: list[str], may_load: set[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(json.loads(result.stderr.splitlines()[-1])) <= may_load


def test_it_fails_in_a_sentence(tmp_path: Path) -> None:
    result = run(BIN / "airfield", "status", KUBECONFIG=str(tmp_path / "none"))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
