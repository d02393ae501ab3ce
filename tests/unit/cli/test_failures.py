"""`airfield status` where there is no cluster to ask, and with arguments that contradict each other."""

from pathlib import Path

import pytest

from .conftest import Airfield

CONTEXT = '{"current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}]'
USER = '"users": [{"name": "u", "user": {}}]}'
BROKEN = {
    "nothing": "",
    "list": "[1]",
    "bad": "a: b: c",
    "no-cluster": f"{CONTEXT}}}",
    "no-server": f'{CONTEXT}, "clusters": [{{"name": "c", "cluster": {{}}}}], {USER}',
    "refused": f'{CONTEXT}, "clusters": [{{"name": "c", "cluster": {{"server": "https://127.0.0.1:1"}}}}], {USER}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_no_way_to_a_cluster(airfield: Airfield, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "config").write_text(BROKEN[name])
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    result = airfield("status", "demo")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "-A"],
        ["demo", "--tenant", "a"],
        ["-A", "-n", "x"],
        ["--wait", "--watch"],
        ["--timeout", "soon"],
        ["-o", "yaml"],
    ],
)
def test_usage_of_status(airfield: Airfield, arguments: list[str]) -> None:
    result = airfield("status", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: cli status ")
