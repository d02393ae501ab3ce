"""Renders charts/airflow as the operator does, and finds things in what comes out."""

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from airfield.helm.template import BRISK
from localcluster import tool

CHART = Path(__file__).parents[2] / "charts" / "airflow"
NAMESPACE = "team-a"
Json = dict[str, Any]

LOCAL = {"name": "baked", "local": {"path": "/opt/airflow/dags"}}
GIT = {"name": "public", "git": {"url": "https://git.example.com/dags.git", "ref": "main"}}
PRIVATE = {
    "name": "team-dags",
    "git": {"url": "git@git.example.com:team/dags.git", "ref": "v1", "subdir": "dags", "connectionSecret": "git-login"},
}
EXECUTORS = ("KubernetesExecutor", "LocalExecutor")
DATABASES: tuple[Json, ...] = (
    {"mode": "embedded"},
    {"mode": "server", "host": "shared-postgres.databases.svc", "port": 5432},
    {"mode": "external", "host": "10.1.2.3", "port": 6432},
)
BUNDLES: tuple[list[Json], ...] = ([LOCAL], [GIT], [LOCAL, GIT, PRIVATE])
MATRIX: list[Json] = [
    {"executor": executor, "database": database, "bundles": bundles}
    for executor, database, bundles in itertools.product(EXECUTORS, DATABASES, BUNDLES)
]
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


class RenderError(Exception):
    """What helm said."""


class _UniqueKeys(yaml.CSafeLoader):
    """Refuses mappings with a key twice, where PyYAML would quietly take the last."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> Json:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"duplicate key in {keys}"
    assert all(isinstance(key, str) for key in keys), f"not a string: {keys}"
    loader.flatten_mapping(node)
    return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str) -> list[Json]:
    return [document for document in yaml.load_all(text, _UniqueKeys) if document]


@lru_cache(maxsize=256)
def _helm(values: str, name: str, namespace: str) -> str:
    command = [str(tool("helm")), "template", name, str(CHART), "--namespace", namespace, "--values", "-"]
    done = subprocess.run(
        command, input=values, capture_output=True, text=True, check=False, env={**os.environ, **BRISK}
    )
    if done.returncode:
        raise RenderError(done.stderr)
    return done.stdout


def as_yaml(values: Mapping[str, Any]) -> str:
    """JSON that YAML readers understand: they know no surrogate pairs, and take some characters for line breaks."""
    text = json.dumps(values, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def render_text(values: Mapping[str, Any] | None = None, *, name: str = "demo", namespace: str = NAMESPACE) -> str:
    return _helm(as_yaml(values or {}), name, namespace)


def render(values: Mapping[str, Any] | None = None, *, name: str = "demo", namespace: str = NAMESPACE) -> list[Json]:
    return parse(render_text(values, name=name, namespace=namespace))


def find(objects: list[Json], kind: str, name: str) -> Json:
    found = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} {kind} {name}"
    return found[0]


def pods(objects: list[Json]) -> Iterator[tuple[str, Json]]:
    """Every Pod template with its component, that of the task Pods included."""
    for item in objects:
        if item["kind"] in {"Deployment", "StatefulSet", "Job"}:
            template = item["spec"]["template"]
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template
        elif item["kind"] == "ConfigMap" and "pod.yaml" in item["data"]:
            (pod,) = parse(item["data"]["pod.yaml"])
            yield "worker", pod


def pod(objects: list[Json], component: str) -> Json:
    return dict(pods(objects))[component]


def environment(pod_: Json) -> dict[str, Json]:
    (container,) = pod_["spec"]["containers"]
    return {variable["name"]: variable for variable in container["env"]}


def secrets_of(pod_: Json) -> set[tuple[str, str]]:
    """(name, key) of every Secret that a Pod can read; key * for a whole Secret."""
    variables = (variable.get("valueFrom", {}).get("secretKeyRef") for variable in environment(pod_).values())
    found = {(reference["name"], reference["key"]) for reference in variables if reference}
    for volume in pod_["spec"]["volumes"]:
        if secret := volume.get("secret"):
            found |= {(secret["secretName"], item["key"]) for item in secret.get("items", [{"key": "*"}])}
    return found


def airflow_cfg(objects: list[Json], name: str = "demo") -> str:
    return str(find(objects, "ConfigMap", f"{name}-config")["data"]["airflow.cfg"])
