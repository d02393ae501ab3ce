"""A component restarts when something changes that it reads, and only then."""

from typing import Any

import pytest

from chart.rendered import COMPONENTS, LOCAL, PRIVATE, Json, pods, render

AIRFLOW = set(COMPONENTS)
SECRETS = {"demo-fernet": "0", "demo-api": "0", "demo-jwt": "0", "demo-database": "0", "git-login": "0", "mail": "0"}
BASE: Json = {
    "bundles": [LOCAL, PRIVATE],
    "digests": SECRETS,
    "env": [{"name": "A", "secret": {"name": "mail", "key": "password"}}],
}


def templates(values: Json) -> dict[str, Json]:
    return {component: template for component, template in pods(render(values)) if component != "worker"}


def digest(name: str) -> Json:
    return {"digests": SECRETS | {name: "1"}}


@pytest.mark.parametrize(
    ("change", "restarted"),
    [
        (digest("demo-fernet"), AIRFLOW),
        (digest("demo-api"), {"api-server"}),
        (digest("demo-jwt"), {"api-server", "scheduler"}),
        (digest("demo-database"), AIRFLOW | {"database"}),
        (digest("git-login"), {"dag-processor"}),
        (digest("mail"), AIRFLOW),
        (digest("somebody-elses"), set()),
        ({"config": {"core": {"parallelism": "3"}}}, AIRFLOW),
        ({"components": {"workers": {"podAnnotations": {"a": "b"}}}}, {"scheduler"}),
        ({"components": {"triggerer": {"podAnnotations": {"a": "b"}}}}, {"triggerer"}),
        ({"components": {"scheduler": {"replicas": 2}}}, set()),
        ({"networkPolicy": {"enabled": False}}, set()),
        ({"logs": {"size": "9Gi"}}, set()),
        ({"database": {"embedded": {"size": "9Gi"}}}, set()),
        ({"migration": {"revision": "other"}}, set()),
    ],
    ids=lambda value: "-".join(sorted(value)),
)
@pytest.mark.parametrize("executor", ["KubernetesExecutor", "LocalExecutor"])
def test_what_restarts(change: Json, restarted: set[str], executor: str) -> None:
    base: Json = BASE | {"executor": executor}
    before, after = templates(base), templates(base | change)
    expected: set[Any] = set(restarted)
    if executor == "LocalExecutor" and "digests" in change and change["digests"]["git-login"] == "1":
        expected |= {"scheduler"}  # its children fetch the bundles
    if executor == "LocalExecutor" and "workers" in change.get("components", {}):
        expected = set()
    assert {component for component in before if before[component] != after[component]} == expected
