"""The examples: complete, and such that the operator takes them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from airfield.cli.sources import Source, find
from airfield.environment.resolve import Effective
from airfield.environment.secrets import references

from .conftest import Airfield

EXAMPLES = Path(__file__).parents[3] / "examples"
DATABASES = {
    # the folder or file, what it needs besides; namespace and name of its environment
    "quickstart": ((), ("team-a-dev", "demo"), "embedded"),
    "databases/server.yaml": ((), ("team-b-prod", "reports"), "server"),
    "databases/external.yaml": (("quickstart",), ("team-a-dev", "external"), "external"),
}
each = pytest.mark.parametrize("example", DATABASES)


def effective(example: str) -> Effective:
    needs, key, _ = DATABASES[example]
    return asyncio.run(find(Source(tuple(str(EXAMPLES / part) for part in (example, *needs))))).effective(key)


def secrets(example: str) -> dict[tuple[str, str], set[str]]:
    """The keys of the Secrets in an example, by namespace and name."""
    file = EXAMPLES / example
    found: list[dict[str, Any]] = [
        manifest
        for path in ([file] if file.is_file() else sorted(file.glob("*.yaml")))
        for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    return {
        (each["metadata"]["namespace"], each["metadata"]["name"]): set(each["stringData"])
        for each in found
        if each["kind"] == "Secret"
    }


def test_every_example_of_a_database_is_in_the_table() -> None:
    files = {str(path.relative_to(EXAMPLES)) for path in (EXAMPLES / "databases").iterdir()}
    assert files | {"quickstart"} == DATABASES.keys()


@each
def test_an_example_resolves_and_renders(example: str, airfield: Airfield, helm_binary: str) -> None:
    needs, (namespace, name), mode = DATABASES[example]
    assert effective(example).database_mode == mode
    files = [word for part in (example, *needs) for word in ("-f", EXAMPLES / part)]
    result = airfield("render", *files, "-n", namespace, "--name", name, "--helm", helm_binary)
    assert result.exit_code == 0, result.stderr
    assert f"name: {name}-scheduler" in result.stdout


@each
def test_the_secrets_that_an_example_refers_to_are_in_it(example: str) -> None:
    found, there = effective(example), secrets(example)
    for reference in references(found):
        assert any(set(keys) <= there[found.namespace, reference.secret] for keys in reference.needs)
    if found.server is not None:
        admin = found.server.admin_secret
        assert {"username", "password"} <= there[admin.namespace, admin.name]
