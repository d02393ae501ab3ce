"""Bundles that cannot be fetched: each is named, with the reason, and the rest of the environment goes on."""

from typing import Any

import pytest

from demo.platform import GIT, Platform
from e2e.conftest import LOGIN, PASSWORD
from e2e.databases import DatabaseServer
from e2e.environments import COMPONENT, Environment
from e2e.waiting import Stopwatch, eventually

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("steady", "bystander")]

GOOD = f"http://git.{GIT}.svc.cluster.local/dags.git"
NOWHERE = f"http://nowhere.{GIT}.svc.cluster.local/dags.git"
CLOSED = f"http://git.{LOGIN}.svc.cluster.local/dags.git"


def spec(ref: str) -> dict[str, Any]:
    """Four bundles: of a tag; of that ref; of a server that is not there; of one that wants a login."""
    sources: dict[str, dict[str, Any]] = {
        "examples": {"url": GOOD, "ref": "refs/tags/v1"},
        "release": {"url": GOOD, "ref": ref},
        "elsewhere": {"url": NOWHERE, "ref": "main"},
        "private": {"url": CLOSED, "ref": "main", "credentialsSecret": {"name": "login"}},
    }
    bundles = [{"name": name, "git": {**git, "refreshIntervalSeconds": 5}} for name, git in sources.items()]
    return {"executor": "LocalExecutor", "database": {"server": {}}, "dags": {"bundles": bundles}}


def password(platform: Platform, text: str) -> None:
    """What the user gives for the closed repository."""
    metadata = {"name": "login", "namespace": "bundles"}
    content = {"username": "git", "password": text}
    platform.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}])


@pytest.fixture(scope="module")
def environment(server: DatabaseServer) -> Environment:
    """Not one thing is right with its bundles, but for the first."""
    environment = Environment(server.platform, "bundles", "airflow")
    environment.apply(**spec(ref="release-2"))
    return environment


def test_a_missing_secret(environment: Environment) -> None:
    found = environment.until("Ready", "False", "SecretNotFound")
    assert "dags.bundles[private].git.credentialsSecret" in found["message"]
    assert "'login'" in found["message"]


def test_each_failure_is_told(environment: Environment) -> None:
    watch = Stopwatch()
    password(environment.platform, "not-of-the-repository")
    said = eventually("three failures", lambda: _failures(environment, 3), said=environment.describe)
    watch.lap("three failures are told")
    for name, url, ref, why in (
        ("release", GOOD, "release-2", "did not match"),
        ("elsewhere", NOWHERE, "main", "Could not resolve host"),
        ("private", CLOSED, "main", "Authentication failed"),
    ):
        assert f"dags.bundles[{name}].git ({url}, ref '{ref}')" in said[name]
        assert why in said[name]
    assert "examples" not in said
    assert "not-of-the-repository" not in str(environment.status())


def _failures(environment: Environment, count: int) -> dict[str, str]:
    """What the condition says of each failing bundle, when there are so many."""
    found = environment.condition("Healthy")
    if found.get("reason") != "BundleFailed":
        return {}
    parts = [part for part in found["message"].split("; ") if part.startswith("dags.bundles[")]
    said = {part.partition("[")[2].partition("]")[0]: part for part in parts}
    return said if len(said) == count else {}


def _schedulers(environment: Environment) -> set[str]:
    """The names of the pods that are, or were told to be no longer, its scheduler."""
    pods = environment.items("pods")
    return {pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"][COMPONENT] == "scheduler"}


def test_the_rest_goes_on(environment: Environment) -> None:
    environment.succeeds("hello")


def test_it_recovers(environment: Environment) -> None:
    watch = Stopwatch()
    platform = environment.platform
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "nowhere", "namespace": GIT}}
    platform.apply([{**service, "spec": {"selector": {"app": "git"}, "ports": [{"port": 80, "targetPort": 8080}]}}])
    former = _schedulers(environment)
    password(platform, PASSWORD)
    created = eventually("scheduler with the other password", lambda: _schedulers(environment) - former).pop()
    environment.kubectl("delete", "pod", created, "--wait=false")  # often it is told so while it is created
    environment.apply(**spec(ref="main"))
    environment.until_ready()
    watch.lap("all mended: Ready")
    eventually(f"end of {created}", lambda: created not in _schedulers(environment), said=environment.last_words)
    environment.succeeds("private")
    environment.delete()
    assert environment.names() == set()
