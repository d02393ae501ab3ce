"""What can be checked of the images without building them; the end-to-end suite runs them."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from imagebuild.images import RECIPES, Recipe

REPOSITORY = Path(__file__).resolve().parents[2]
each_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)


def instructions(recipe: Recipe) -> list[tuple[str, str]]:
    """Return a Containerfile's (instruction, arguments), comments dropped and continuations joined."""
    text = re.sub(r"^#.*\n", "", recipe.containerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


@each_recipe
def test_base_is_an_argument_with_a_public_default(recipe: Recipe) -> None:
    assert instructions(recipe)[0] == ("ARG", "BASE=debian:trixie-slim")
    stages = {"${BASE}"}
    for word, arguments in instructions(recipe):
        if word == "FROM":
            source, _, name = arguments.partition(" AS ")
            assert source in stages
            stages.add(name)


@each_recipe
def test_runs_as_a_numbered_user_of_group_0(recipe: Recipe) -> None:
    user = [arguments for word, arguments in instructions(recipe) if word == "USER"][-1]
    assert re.fullmatch(r"[1-9]\d+:0", user), "the kubelet's runAsNonRoot check needs a number"


@each_recipe
def test_nothing_is_latest_and_pip_installs_are_pinned(recipe: Recipe) -> None:
    for file in recipe.files():
        assert ":latest" not in file.read_text(errors="replace")
    for word, arguments in instructions(recipe):
        if word == "RUN" and "pip install" in arguments:
            assert "uv==${UV_VERSION}" in arguments
        if word == "RUN" and "uv sync" in arguments:
            assert "--frozen" in arguments


@each_recipe
def test_labels_and_entrypoint(recipe: Recipe) -> None:
    labels = " ".join(arguments for word, arguments in instructions(recipe) if word == "LABEL")
    version = recipe.reference.partition(":")[2]
    assert f'org.opencontainers.image.version="{version}"' in labels
    assert "org.opencontainers.image.licenses=" in labels
    (entrypoint,) = [json.loads(arguments) for word, arguments in instructions(recipe) if word == "ENTRYPOINT"]
    assert entrypoint[0] in {"tini", "dumb-init"}


def test_airflow_lock_has_the_version_in_the_image_name() -> None:
    recipe = RECIPES["airflow"]
    lock = tomllib.loads((REPOSITORY / "images/airflow/uv.lock").read_text())
    versions = {package["name"]: package.get("version") for package in lock["package"]}
    assert versions["apache-airflow"] == recipe.reference.partition(":")[2]
    wanted = tomllib.loads((REPOSITORY / "images/airflow/pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split("[=<>]", requirement)[0] for requirement in wanted} <= versions.keys()


def test_digest_follows_content_and_base(tmp_path: Path) -> None:
    recipe = RECIPES["operator"]
    helm = tmp_path / "helm"
    helm.write_text("one")
    first = recipe.digest("trixie-1", helm)
    assert recipe.digest("trixie-1", helm) == first
    assert recipe.digest("trixie-2", helm) != first
    helm.write_text("two")
    assert recipe.digest("trixie-1", helm) != first


@pytest.mark.skipif(not shutil.which("dash"), reason="dash is Debian's /bin/sh, which the images have")
@pytest.mark.parametrize("script", ["postgres/entrypoint", "airflow/ssh"])
def test_shell_scripts_parse(script: str) -> None:
    subprocess.run(["dash", "-n", REPOSITORY / "images" / script], check=True)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "POSTGRES_USER"),
        ({"POSTGRES_USER": "a"}, "POSTGRES_PASSWORD_FILE"),
        ({"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD_FILE": "/dev/null"}, "choose another name"),
        ({"POSTGRES_USER": "a", "POSTGRES_PASSWORD_FILE": "/nothing"}, "/nothing is not readable"),
        ({"POSTGRES_USER": "a", "POSTGRES_PASSWORD_FILE": "/dev/null"}, "/dev/null is empty"),
    ],
)
def test_postgres_entrypoint_names_what_is_wrong(environment: dict[str, str], complaint: str) -> None:
    done = subprocess.run(
        ["sh", REPOSITORY / "images/postgres/entrypoint"],
        env={"PATH": "/usr/bin:/bin"} | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert complaint in done.stderr
