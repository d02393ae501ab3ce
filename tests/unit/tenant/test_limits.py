"""What Kubernetes holds a tenant's namespaces to."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from airfield.api.environment import Stage
from airfield.environment.quota import Ask
from airfield.tenant.limits import limits_of, quota_of
from builders import blueprint, tenant

Json = dict[str, Any]
GI = Decimal(1024**3)


def ask(cpu: str, memory: int, storage: int) -> Ask:
    return Ask(Stage.DEV, Decimal(cpu), memory * GI, storage * GI)


@pytest.mark.parametrize(
    ("quota", "here", "elsewhere", "hard"),
    [
        (None, [], [], None),
        ({"environments": 3}, [], [], None),
        ({"cpu": "4"}, [], [], {"requests.cpu": "4"}),
        # What is in use elsewhere cannot be used here; what runs here can be rolled out.
        (
            {"cpu": "4", "memory": "8Gi"},
            [ask("1", 2, 0)],
            [ask("1", 1, 0)],
            {"requests.cpu": "4", "requests.memory": "9Gi"},
        ),
        # Below use: what runs can come back, and be rolled out.
        ({"cpu": "500m"}, [ask("1", 1, 1), ask("0.25", 1, 1)], [ask("1", 1, 1)], {"requests.cpu": "2500m"}),
        ({"storage": "10Gi"}, [ask("1", 1, 2)], [ask("1", 1, 3)], {"requests.storage": "7Gi"}),
        ({"storage": "1Gi"}, [ask("1", 1, 2)], [], {"requests.storage": "2Gi"}),
    ],
)
def test_quota_of_a_namespace(quota: Json | None, here: list[Ask], elsewhere: list[Ask], hard: Json | None) -> None:
    team = tenant("a", ("team-a",), **({"quota": quota} if quota else {}))
    found = [manifest["spec"] for manifest in quota_of(team, here, elsewhere)]
    assert found == ([{"hard": hard}] if hard else [])


def test_volumes_that_are_nobodys_take_room() -> None:
    team = tenant("a", ("team-a",), quota={"cpu": "1", "storage": "10Gi"})
    (found,) = quota_of(team, [ask("0.5", 1, 2)], [], ["5Gi", "1Gi", "1e3", ""])
    assert found["spec"]["hard"] == {"requests.cpu": "1500m", "requests.storage": "16Gi"}


REQUESTS = {"cpu": "50m", "memory": "64Mi"}


@pytest.mark.parametrize(
    ("quota", "ceilings", "limits"),
    [
        (None, [None], []),
        (None, [{"replicas": 3}], []),
        ({"environments": 1}, [None], []),
        ({"cpu": "4"}, [None], [{"type": "Container", "defaultRequest": REQUESTS}]),
        (
            None,
            [{"cpu": "4", "memory": "8Gi", "storage": "50Gi"}],
            [
                {"type": "Container", "defaultRequest": REQUESTS, "max": {"cpu": "4", "memory": "8Gi"}},
                {"type": "PersistentVolumeClaim", "max": {"storage": "50Gi"}},
            ],
        ),
        # The most generous class counts; one without a ceiling has none.
        (
            None,
            [{"cpu": "500m", "memory": "1Gi"}, {"cpu": "2", "storage": "1Gi"}],
            [{"type": "Container", "defaultRequest": REQUESTS, "max": {"cpu": "2"}}],
        ),
        (None, [{"cpu": "500m"}, None], []),
        # The chart's own Job and database must be able to run.
        (
            None,
            [{"cpu": "20m", "memory": "32Mi"}],
            [{"type": "Container", "defaultRequest": REQUESTS, "max": {"cpu": "1", "memory": "1Gi"}}],
        ),
    ],
)
def test_limits_of_a_namespace(quota: Json | None, ceilings: list[Json | None], limits: list[Json]) -> None:
    names = [f"class-{number}" for number in range(len(ceilings))]
    classes = {
        name: blueprint(name, **({"ceilings": each} if each else {}))
        for name, each in zip(names, ceilings, strict=True)
    }
    team = tenant("a", ("team-a",), allowedClasses=names, **({"quota": quota} if quota else {}))
    assert [manifest["spec"]["limits"] for manifest in limits_of(team, classes)] == ([limits] if limits else [])
    granted = replace(ask("1", 1, 1), cpu_limit=Decimal(9), memory_limit=20 * GI, volume=70 * GI)
    for item in (item for manifest in limits_of(team, classes, [granted]) for item in manifest["spec"]["limits"]):
        largest = {"cpu": "9", "memory": "20Gi", "storage": "70Gi"}
        assert item.get("max", {}).items() <= largest.items(), "what was granted can come back"
    unknown = tenant(allowedClasses=["not-there-yet"])
    assert list(limits_of(unknown, classes)) == []
