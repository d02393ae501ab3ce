"""values.schema.json: documents every value, refuses every other, and bounds them all."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chart.rendered import CHART, GIT, LOCAL, Json, RenderError, render

SELECTOR = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
TERM = {"labelSelector": SELECTOR, "topologyKey": "zone", "matchLabelKeys": ["c"]}
NODE_TERM = {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [NODE_TERM]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": NODE_TERM}],
    },
    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]},
    "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": TERM}]},
}
COMPONENT = {
    "replicas": 2,
    "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": 1}},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}],
    "affinity": AFFINITY,
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": SELECTOR}
    ],
    "priorityClassName": "high",
    "podAnnotations": {"example.com/a": "any\ntext"},
    "terminationGracePeriodSeconds": 5,
}
WORKERS = {key: value for key, value in COMPONENT.items() if key not in {"replicas", "terminationGracePeriodSeconds"}}
EVERYTHING: Json = {
    "labels": {"example.com/team": "a"},
    "airflow": {
        "version": "3.3.2",
        "image": "r.example.com:5000/a@sha256:00",
        "pullPolicy": "Always",
        "pullSecrets": ["a"],
    },
    "executor": "KubernetesExecutor",
    "config": {"core": {"parallelism": "4"}},
    "env": [{"name": "A", "value": "b"}, {"name": "B", "secret": {"name": "a", "key": "b"}}],
    "secrets": {"fernet": "a", "api": "b", "jwt": "c", "database": "d"},
    "digests": {"a": "sha256:0"},
    "bundles": [
        LOCAL,
        GIT | {"git": {"url": "u", "ref": "r", "subdir": "s", "refreshIntervalSeconds": 60, "connectionSecret": "c"}},
    ],
    "components": {
        **dict.fromkeys(("apiServer", "scheduler", "dagProcessor", "triggerer"), COMPONENT),
        "workers": WORKERS,
    },
    "logs": {"size": "1Gi", "storageClass": "fast", "accessMode": "ReadWriteOnce"},
    "database": {
        "mode": "embedded",
        "host": "h",
        "port": 5432,
        "embedded": {
            "image": "i",
            "pullPolicy": "Never",
            "size": "1Gi",
            "storageClass": "fast",
            "resources": {"requests": {"cpu": 1}},
        },
    },
    "exposure": {
        "host": "demo.example.com",
        "ingress": {
            "className": "public",
            "annotations": {"a": "b"},
            "secretName": "demo-tls",
            "issuer": {"kind": "Issuer", "name": "ca"},
        },
    },
    "migration": {"revision": "abc", "deadlineSeconds": 60},
    "securityContext": {"runAsUser": 1, "runAsGroup": 1, "fsGroup": 1},
    "networkPolicy": {
        "enabled": True,
        "operatorNamespace": "a",
        "kubernetesApi": {"cidrs": ["10.0.0.0/8"], "ports": [443]},
        "ingressFrom": [{"podSelector": SELECTOR, "namespaceSelector": SELECTOR}],
        "extraEgress": [
            {
                "to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                "ports": [{"protocol": "TCP", "port": 1, "endPort": 2}],
            }
        ],
    },
}
MAPS = {
    "labels",
    "config",
    "core",
    "digests",
    "requests",
    "limits",
    "nodeSelector",
    "podAnnotations",
    "matchLabels",
    "annotations",
}
"""Objects whose keys are the user's."""


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every object whose keys are the chart's."""
    if isinstance(value, dict):
        if not (path and path[-1] in MAPS):
            yield path
        for key, child in value.items():
            yield from paths(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from paths(child, (*path, index))


def unique_paths() -> list[tuple[str | int, ...]]:
    """All levels, but the four components' common part only once."""
    others = {"scheduler", "dagProcessor", "triggerer"}
    return [path for path in paths(EVERYTHING) if len(path) < 3 or path[1] not in others]


def test_everything_at_once_is_accepted() -> None:
    assert render(EVERYTHING)


@pytest.mark.parametrize("path", unique_paths(), ids=lambda path: ".".join(map(str, path)) or "top")
def test_unknown_keys_are_refused(path: tuple[str | int, ...]) -> None:
    values = copy.deepcopy(EVERYTHING)
    target: Any = values
    for key in path:
        target = target[key]
    target["surprise"] = "x"
    with pytest.raises(RenderError, match=r"surprise|oneOf"):
        render(values)


def at(path: str, value: Any) -> Json:
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("executor", "CeleryExecutor"),
        ("airflow.version", "2.11.0"),
        ("airflow.image", "a b"),
        ("airflow.pullPolicy", "Sometimes"),
        ("labels", {"-bad": "x"}),
        ("labels", {"a": "x y"}),
        ("labels", {"a": "x" * 64}),
        ("config", {"Core": {"a": "b"}}),
        ("config", {"DEFAULT": {"a": "b"}}),
        ("config", {"core]\n[x": {"a": "b"}}),
        ("config", {"core": {"a = b\nc": "d"}}),
        ("config", {"core": {"Parallelism": "1"}}),
        ("config", {"core": {"a": 1}}),
        ("config", {"core": {"a": "bell\x07"}}),
        ("config", {"core": {"a": "next\x85line"}}),
        ("env", [{"name": "A-B", "value": ""}]),
        ("env", [{"name": "A"}]),
        ("env", [{"name": "A", "value": "b", "secret": {"name": "a", "key": "b"}}]),
        ("env", [{"name": "A", "value": "carriage\rreturn"}]),
        ("secrets.fernet", "Not A Name"),
        ("digests", {"a": "b\nc"}),
        ("bundles", []),
        ("bundles", [{"name": "A", **{k: v for k, v in LOCAL.items() if k != "name"}}]),
        ("bundles", [{"name": "a", "local": {"path": "relative"}}]),
        ("bundles", [{"name": "a", "git": {"url": "https://x y", "ref": "main"}}]),
        ("bundles", [{"name": "a", "git": {"url": "https://x", "ref": "main"}, "local": {"path": "/x"}}]),
        ("components.scheduler.replicas", -1),
        ("components.scheduler.resources", {"requests": {"cpu": "lots"}}),
        ("logs.size", "5 GB"),
        ("logs.accessMode", "ReadOnlyMany"),
        ("database.mode", "sqlite"),
        ("database.port", 0),
        ("exposure.host", "a b"),
        ("exposure.host", "*.example.com"),
        ("exposure.ingress", {}),
        ("exposure", {"host": "a", "ingress": {"issuer": {"kind": "Robot", "name": "a"}}}),
        ("exposure", {"host": "a", "ingress": {"issuer": {"kind": "Issuer"}}}),
        ("exposure", {"host": "a", "gateway": {"name": "a"}}),
        ("exposure", {"host": "a", "gateway": {"name": "a", "namespace": "b", "surprise": "c"}}),
        ("migration.revision", "Abc"),
        ("migration.revision", "a" * 13),
        ("securityContext.runAsUser", "root"),
        ("networkPolicy.kubernetesApi", {"cidrs": ["10.0.0.1"]}),
        ("networkPolicy.ingressFrom", [{}]),
    ],
)
def test_values_out_of_bounds_are_refused(path: str, value: Any) -> None:
    with pytest.raises(RenderError, match="specifications of the schema"):
        render(at(path, value))


def test_names_longer_than_forty_are_refused() -> None:
    with pytest.raises(RenderError, match="has 41 characters; use at most 40"):
        render(name="e" * 41)


def schema_nodes(node: Any, path: str = "#") -> Iterator[tuple[str, Json]]:
    if isinstance(node, dict):
        if "type" in node or "enum" in node:
            yield path, node
        for key, child in node.items():
            yield from schema_nodes(child, f"{path}/{key}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from schema_nodes(child, f"{path}/{index}")


def test_every_value_is_bounded() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    for path, node in schema_nodes(schema):
        match node["type"]:
            case "string":
                assert "enum" in node or "maxLength" in node, path
            case "array":
                assert "maxItems" in node, path
            case "object" if "properties" in node:
                assert node["additionalProperties"] is False, path
            case "object":
                assert {"maxProperties", "propertyNames", "additionalProperties"} <= node.keys(), path
            case "integer" | ["integer", "null"]:
                assert {"minimum", "maximum"} <= node.keys(), path


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and "requests" not in value:
        for key, child in value.items():
            yield from leaves(child, f"{path}.{key}" if path else key)
    else:
        yield path, value


def test_the_readme_lists_every_value_with_its_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    listed = re.findall(r"^\| `([^`]+)` \| (.+?) \| ", (CHART / "README.md").read_text(), re.MULTILINE)
    expected = [(path, f"`{json.dumps(value, separators=(', ', ': '))}`") for path, value in leaves(values)]
    assert listed == expected


def test_the_chart_version_fits_the_image() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert chart["appVersion"] == values["airflow"]["version"] == values["airflow"]["image"].rpartition(":")[2]
