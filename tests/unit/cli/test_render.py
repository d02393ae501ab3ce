"""`airfield render`, with the real Helm and the real chart."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from airfield.cli.render import NO_UID, NOT_CREATED, asked, derived, generated, render_one
from airfield.cli.sources import Source, find
from airfield.environment.render import render as reconciler_render
from airfield.environment.resolve import Effective
from airfield.environment.secrets import Key
from airfield.environment.template.renderer import TemplateRenderer
from airfield.helm.manifests import documents
from airfield.helm.template import Helm
from airfield.settings import Settings, find_chart

from .conftest import Airfield

HOSTILE = "a: b # {{ .Values }} {% raw %} \t\u202e '\"\\ \n---\nkind: ClusterRole\n"


@pytest.fixture(autouse=True)
def _helm(helm_binary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFIELD_HELM", helm_binary)


def resolved(path: Path) -> Effective:
    """The environment of the quickstart, as `path` has it."""
    return asyncio.run(find(Source((str(path),)))).effective(("team-a-dev", "demo"))


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def files(tmp_path: Path, quickstart: Path, **changes: Any) -> Path:
    """The quickstart with another spec of its environment, in one file."""
    environment = loaded(quickstart / "environment.yaml")
    environment["spec"] |= changes
    target = tmp_path / "all.json"
    parts = [environment, loaded(quickstart / "class.yaml"), loaded(quickstart / "tenant.yaml")]
    target.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": parts}))
    return target


def test_it_is_what_the_reconciler_makes(airfield: Airfield, quickstart: Path, helm_binary: str) -> None:
    expected = reconciler_render(
        Helm(helm_binary),
        TemplateRenderer(),
        find_chart(),
        resolved(quickstart),
        {key.secret("demo"): NOT_CREATED for key in Key if key is not Key.ADMIN},
        owner={"name": "demo", "namespace": "team-a-dev", "uid": NO_UID},
        operator_namespace=Settings().namespace,
        kube_version="1.36.3",
    )
    as_yaml = airfield("render", "-f", quickstart)
    as_json = airfield("render", "-f", quickstart, "-o", "json")
    assert as_yaml.exit_code == as_json.exit_code == 0, as_yaml.stderr
    assert documents(as_yaml.stdout) == json.loads(as_json.stdout)["items"] == asyncio.run(expected)


def test_twice_is_the_same_and_secrets_are_only_named(airfield: Airfield, quickstart: Path) -> None:
    first, second = airfield("render", "-f", quickstart), airfield("render", "-f", quickstart)
    assert first.exit_code == 0, first.stderr
    assert first.stdout == second.stdout
    assert "Secret" not in {body["kind"] for body in documents(first.stdout)}
    (note,) = first.stderr.splitlines()
    assert note.startswith("team-a-dev/demo: the operator also makes the Secrets demo-fernet, ")
    assert "demo-admin" in note


def test_files_folders_and_standard_input_are_one(airfield: Airfield, quickstart: Path) -> None:
    parts = [quickstart / f"{name}.yaml" for name in ("environment", "class", "tenant")]
    one = airfield("render", "-f", quickstart)
    several = airfield("render", *(word for part in parts for word in ("-f", part)))
    stdin = airfield("render", "-f", "-", text="\n---\n".join(part.read_text() for part in parts))
    assert one.exit_code == 0, one.stderr
    assert one.stdout == several.stdout == stdin.stdout


def test_strings_stay_strings(airfield: Airfield, quickstart: Path, tmp_path: Path) -> None:
    variables = [{"name": "HOSTILE", "value": HOSTILE}, {"name": "Y", "value": "y"}, {"name": "E", "value": "1e3"}]
    result = airfield("render", "-f", files(tmp_path, quickstart, env=variables))
    assert result.exit_code == 0, result.stderr
    scheduler = next(
        b for b in documents(result.stdout) if b["kind"] in {"Deployment", "StatefulSet"} and "sched" in str(b)
    )
    found = {v["name"]: v.get("value") for v in scheduler["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert found["HOSTILE"] == HOSTILE
    assert (found["Y"], found["E"]) == ("y", "1e3")
    assert "ClusterRole" not in {body["kind"] for body in documents(result.stdout)}


def test_every_secret_that_pods_read_is_known(quickstart: Path, tmp_path: Path, helm_binary: str) -> None:
    bundle = {"name": "a", "git": {"url": "https://x.example/a", "ref": "main", "credentialsSecret": {"name": "token"}}}
    variable = {"name": "X", "secretKeyRef": {"name": "theirs", "key": "x"}}
    changes = {
        "database": {"external": {"secret": {"name": "mine"}}},
        "dags": {"bundles": [bundle]},
        "env": [variable],
    }
    effective = resolved(files(tmp_path, quickstart, **changes))
    rendering = render_one(
        Helm(helm_binary),
        TemplateRenderer(),
        find_chart(),
        effective,
        operator_namespace="airfield-system",
        kube_version="1.36.3",
    )
    names = set(secrets_read(asyncio.run(rendering)))
    assert names == {"demo-fernet", "demo-api", "demo-jwt", "demo-database", "demo-git-a", "theirs"}
    assert names <= {*generated(effective), *derived(effective), *asked(effective)}


def secrets_read(node: Any) -> Iterator[str]:
    """The Secrets that pods in `node` refer to."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in {"secretKeyRef", "secretRef", "secret"} and isinstance(value, dict):
            yield value.get("name") or value["secretName"]
        yield from secrets_read(value)


def test_secrets_that_others_make_are_named(airfield: Airfield, quickstart: Path, tmp_path: Path) -> None:
    changes = {"database": {"external": {"secret": {"name": "mine"}}}}
    result = airfield("render", "-f", files(tmp_path, quickstart, **changes))
    assert result.exit_code == 0, result.stderr
    assert "you must make the Secrets mine" in result.stderr
    assert "makes the Secrets demo-fernet, demo-api, demo-jwt, demo-admin, demo-database" in result.stderr


def test_what_is_missing_is_said(airfield: Airfield, quickstart: Path) -> None:
    result = airfield("render", "-f", quickstart / "environment.yaml")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no AirflowTenant in the files lists namespace 'team-a-dev'; add the tenant's file with -f" in result.stderr
    assert "no AirflowEnvironmentClass 'standard' in the files; add the class's file with -f" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the files hold no AirflowEnvironment at all"),
        ("a: b: c", "standard input contains YAML that cannot be read"),
        ("[" * 5000, "standard input contains"),
        ("just text", "the files hold no AirflowEnvironment at all"),
        ("apiVersion: airfield.dev/v1alpha1\nkind: AirflowTenant", "an AirflowTenant has no metadata.name"),
        ("apiVersion: airfield.dev/v1alpha1\nkind: AirflowTenant\nmetadata: [1]", "has no metadata.name"),
        ("apiVersion: airfield.dev/v1alpha1\nkind: AirflowEnvironment\nmetadata: {name: a}", "no metadata.namespace"),
        ("apiVersion: v1\nkind: List\nitems: [1, {}, null]", "the files hold no AirflowEnvironment at all"),
    ],
)
def test_unusable_files(airfield: Airfield, text: str, message: str) -> None:
    result = airfield("render", "-f", "-", text=text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_an_environment_that_breaks_the_schema(airfield: Airfield, quickstart: Path, tmp_path: Path) -> None:
    result = airfield("render", "-f", files(tmp_path, quickstart, stage="moon", nonsense=1, className="\x1b[2J"))
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    for field in ("spec.stage", "spec.nonsense", "spec.className"):
        assert f"InvalidSpec: {field}: " in result.stderr


def test_files_and_choice(airfield: Airfield, quickstart: Path, tmp_path: Path) -> None:
    two = (quickstart / "environment.yaml").read_text()
    (tmp_path / "two.yaml").write_text(two.replace("name: demo", "name: other"))
    both = ["-f", quickstart, "-f", tmp_path / "two.yaml"]
    names = {b["metadata"]["labels"]["airfield.dev/environment"] for b in documents(airfield("render", *both).stdout)}
    assert names == {"demo", "other"}
    chosen = documents(airfield("render", *both, "--name", "other").stdout)
    assert {b["metadata"]["labels"]["airfield.dev/environment"] for b in chosen} == {"other"}
    assert (
        "no environment third in the files: they hold team-a-dev/demo"
        in airfield("render", *both, "--name", "third").stderr
    )
    twice = airfield("render", "-f", quickstart, "-f", quickstart / "environment.yaml")
    assert "AirflowEnvironment 'demo' occurs twice" in twice.stderr
    (tmp_path / "none").mkdir()
    assert "holds no .yaml" in airfield("render", "-f", tmp_path / "none").stderr
    assert "cannot read /no/such" in airfield("render", "-f", "/no/such").stderr


def test_a_namespace_for_those_that_have_none(airfield: Airfield, quickstart: Path, tmp_path: Path) -> None:
    environment = loaded(quickstart / "environment.yaml")
    del environment["metadata"]["namespace"]
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(environment))
    rest = ["-f", quickstart / "class.yaml", "-f", quickstart / "tenant.yaml"]
    result = airfield("render", "-f", tmp_path / "bare.yaml", *rest, "-n", "team-a-dev")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == airfield("render", "-f", quickstart).stdout


def test_what_helm_and_templates_say(airfield: Airfield, quickstart: Path, tmp_path: Path) -> None:
    assert (
        "install Helm 4, or give its path with --helm" in airfield("render", "-f", quickstart, "--helm", "/no").stderr
    )
    no_chart = airfield("render", "-f", quickstart, "--chart", "/no/chart")
    assert "cannot read chart /no/chart" in no_chart.stderr
    assert "--chart" in no_chart.stderr
    blueprint = loaded(quickstart / "class.yaml")
    blueprint["spec"]["valuesTemplate"] = "labels: {{ nonsense }}"
    (tmp_path / "class.yaml").write_text(yaml.safe_dump(blueprint))
    parts = ["-f", quickstart / "environment.yaml", "-f", quickstart / "tenant.yaml", "-f", tmp_path / "class.yaml"]
    result = airfield("render", *parts)
    assert result.exit_code == 1
    assert "team-a-dev/demo: spec.valuesTemplate, line 1: 'nonsense' is undefined" in result.stderr


def test_versions_and_settings(airfield: Airfield, quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "invalid kube version 'new'" in airfield("render", "-f", quickstart, "--kube-version", "new").stderr
    monkeypatch.setenv("AIRFIELD_NAMESPACE", "elsewhere")
    assert "kubernetes.io/metadata.name: elsewhere" in airfield("render", "-f", quickstart).stdout
    monkeypatch.setenv("AIRFIELD_WORKERS", "many")
    assert "AIRFIELD_WORKERS='many'" in airfield("render", "-f", quickstart).stderr


def test_no_files_is_a_usage_error(airfield: Airfield) -> None:
    result = airfield("render")
    assert result.exit_code == 2
    assert "Give them with -f" in result.stderr
