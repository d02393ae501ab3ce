"""Policies of a class for the stages of environments. What labels they demand is in test_resolve."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from airfield.environment.reasons import Reason
from airfield.environment.resolve import Unresolved, resolve
from builders import Json, blueprint, environment, tenant

IMAGE = "registry.example.com/airflow/team-a:1"
POLICY = "the policy of class 'standard' for stage 'prod'"
PLACES = ["https://git.example.com/data", "git@host:team/", "registry:5000/air"]


def broken(wanted: Json, policy: Json, defaults: Json | None = None, stage: str = "prod") -> list[str]:
    """What the policy for production says to an environment."""
    of_class = blueprint(policies=[{"stage": "prod", **policy}], defaults=defaults or {})
    try:
        resolve(environment(stage=stage, **wanted), tenant(), of_class)
    except Unresolved as error:
        return [problem.message for problem in error.problems if problem.reason is Reason.POLICY_VIOLATED]
    return []


PINNED = "all digits of a commit, or a tag as refs/tags/<name>"


def from_git(*urls: str) -> Json:
    bundles = [{"name": f"b{n}", "git": {"url": url, "ref": "main"}} for n, url in enumerate(urls)]
    return {"dags": {"bundles": bundles}}


@pytest.mark.parametrize(
    ("wanted", "policy", "defaults", "says"),
    [
        (
            {"executor": "LocalExecutor"},
            {"executors": ["KubernetesExecutor"]},
            {},
            f"spec.executor (set by environment): {POLICY} allows KubernetesExecutor, not LocalExecutor",
        ),
        (
            {},
            {"executors": ["LocalExecutor"]},
            {},
            f"spec.executor (set by bundled defaults): {POLICY} allows LocalExecutor, not KubernetesExecutor",
        ),
        (
            {"version": None},
            {"exactVersion": True},
            {"version": "stable"},
            f"spec.version (set by class standard): {POLICY} wants an exact version, and 'stable' is a channel",
        ),
        (
            {"image": {"reference": "elsewhere/airflow:1"}},
            {"imageRegistries": ["here/air", "there"]},
            {},
            f"spec.image (set by environment): {POLICY} allows images of here/air, there, not 'elsewhere/airflow:1'",
        ),
        (
            from_git("https://here/a.git", "https://elsewhere/a.git"),
            {"gitRepositories": ["https://here/"]},
            {},
            f"spec.dags.bundles[b1].git.url: {POLICY} allows repositories of https://here/, not 'https://elsewhere/a.git'",
        ),
        (
            from_git("https://here/a.git"),
            {"pinnedRefs": True},
            {},
            f"spec.dags.bundles[b0].git.ref: {POLICY} wants {PINNED}, not 'main'",
        ),
    ],
    ids=["executor", "executor-of-nobody", "channel", "image", "repository", "ref"],
)
def test_what_breaks_a_policy(wanted: Json, policy: Json, defaults: Json, says: str) -> None:
    assert broken(wanted, policy, defaults) == [says]
    assert broken(wanted, policy, defaults, stage="dev") == []


@pytest.mark.parametrize(
    ("ref", "pinned"),
    [
        ("0123456789abcdef0123456789abcdef01234567", True),
        ("0123456789abcdef" * 4, True),
        ("refs/tags/v1.2", True),
        ("0123456789abcdef0123456789abcdef0123456", False),
        ("0123456789ABCDEF0123456789ABCDEF01234567", False),
        ("v1.2", False),
        ("refs/heads/main", False),
        ("refs/tags/", False),
    ],
)
def test_what_moves_not(ref: str, pinned: bool) -> None:
    wanted = from_git("https://here/a.git")
    wanted["dags"]["bundles"][0]["git"]["ref"] = ref.rstrip("/")
    assert (not broken(wanted, {"pinnedRefs": True}, {})) is pinned


def test_what_keeps_to_it() -> None:
    policy: Json = {"executors": ["LocalExecutor"], "exactVersion": True, "imageRegistries": PLACES}
    wanted: dict[str, Any] = {"executor": "LocalExecutor", "image": {"reference": "registry:5000/air/flow:1"}}
    baked = {"dags": {"bundles": [{"name": "baked", "image": {"path": "/opt/dags"}}]}}
    assert broken({**wanted, **baked}, {**policy, "gitRepositories": PLACES}) == []


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("registry:5000/air", True),
        ("registry:5000/air:3.3.2", True),
        ("registry:5000/air@sha256:0a", True),
        ("registry:5000/air:3.3.2@sha256:0a", True),
        ("registry:5000/air/flow:3.3.2", True),
        ("registry:5000/airy:3.3.2", False),
        ("registry:50001/air:1", False),
        ("registry", False),
    ],
)
def test_where_an_image_is_from(image: str, allowed: bool) -> None:
    wanted = {"image": {"reference": image}}
    assert (broken(wanted, {"imageRegistries": ["registry:5000/air"]}) == []) == allowed


@pytest.mark.parametrize("name", ["GIT_CONFIG_COUNT", "GIT_SSH_COMMAND", "HOME", "XDG_CONFIG_HOME"])
def test_variables_that_lead_git_elsewhere(name: str) -> None:
    wanted = {"env": [{"name": name, "value": "1"}, {"name": "OTHER", "value": "1"}]}
    says = f"spec.env.{name} (set by environment): {POLICY} allows no variable by which git may be led"
    assert broken(wanted, {"gitRepositories": PLACES}) == [f"{says} to another repository"]
    assert broken(wanted, {"exactVersion": True}) == []


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://git.example.com/data", True),
        ("https://git.example.com/data/a/b.git", True),
        ("https://git.example.com/data/a..b/c", True),
        ("git@host:team/dags.git", True),
        ("https://git.example.com/database/a", False),
        ("https://git.example.com.evil.org/data/a", False),
        ("https://git.example.com/data/../other/a", False),
        ("https://git.example.com/data/%2E%2e/other/a", False),
        ("https://git.example.com/data/.%2e/other", False),
        ("https://git.example.com/data/..", False),
        ("https://git.example.com/data/..?x", False),
        ("https://git.example.com/data/a%2f..", False),
        ("https://git.example.com/data/..%5cother", False),
        ("https://git.example.com/data/My%20Project/a", True),
        ("http://git.example.com/data/a", False),
        ("git@host:team", False),
        ("git@host:team/../other", False),
        ("git@host:teams/a", False),
        ("git@host.evil.org:team/a", False),
    ],
)
def test_where_a_repository_is(url: str, allowed: bool) -> None:
    assert (broken(from_git(url), {"gitRepositories": PLACES}) == []) == allowed


def test_the_example_of_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "tenants.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE)
    specs = [part["spec"] for block in blocks for part in _parts(block)]
    people, quota, egress, network, of_tenant, demands, own, rules = specs
    place = {"name": "team-a", "stages": ["prod"]}
    more = {**people, **quota, **egress, "requiredLabels": demands["requiredLabels"]}
    claim = tenant(namespaces=[*of_tenant["namespaces"], place], **more)
    of_class = blueprint(**rules, **network, catalog={"versions": [{"version": "3.3.2", "image": IMAGE}]})
    good = resolve(environment(stage="prod", **own), claim, of_class)
    assert own["labels"].items() <= good.labels.items()
    with pytest.raises(Unresolved) as caught:
        resolve(environment(stage="prod", executor="LocalExecutor"), claim, of_class)
    reasons = [problem.reason for problem in caught.value.problems]
    assert reasons == [Reason.LABEL_MISSING, Reason.LABEL_MISSING, Reason.POLICY_VIOLATED]


def _parts(block: str) -> list[Json]:
    """The resources of a block of the page, each begun by a comment or alone."""
    parts = re.split(r"^    # in an .*$", block, flags=re.MULTILINE)
    return [found for part in parts if (found := yaml.safe_load(part))]
