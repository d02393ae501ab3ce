import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from airfield.cli.explain import fields
from airfield.cli.sources import Source, find

from .conftest import Airfield

CLASS = {
    "catalog": {
        "versions": [{"version": "3.3.2", "image": "af:3.3.2"}],
        "channels": [{"name": "s", "version": "3.3.2"}],
    },
    "defaults": {"version": "s", "env": [{"name": "A", "value": "class"}, {"name": "B", "value": "class"}]},
    "sizes": [{"name": "small", "defaults": {"components": {"scheduler": {"replicas": 2}}}}],
    "stages": [{"stage": "dev", "defaults": {"config": {"core": {"parallelism": "4"}, "logging.x": {"a": "1"}}}}],
    "ceilings": {"replicas": 3, "memory": "2Gi"},
    "databaseServers": [{"name": "main", "host": "db.example", "adminSecret": {"namespace": "x", "name": "y"}}],
}


def resource(kind: str, name: str, spec: Any, namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "airfield.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def stream(**spec: Any) -> str:
    """An environment `demo` with its class and its tenant."""
    tenant = {"namespaces": [{"name": "ns"}], "allowedClasses": ["c"], "labels": {"team": "a"}}
    parts = [
        resource("AirflowEnvironment", "demo", {"className": "c", "stage": "dev", **spec}, "ns"),
        resource("AirflowEnvironmentClass", "c", CLASS),
        resource("AirflowTenant", "t", tenant),
    ]
    return yaml.safe_dump_all(parts)


def explained(airfield: Airfield, text: str, *more: str) -> dict[str, tuple[Any, str]]:
    result = airfield("explain", "-f", "-", "-o", "json", *more, text=text)
    assert result.exit_code == 0, result.stderr
    return {field["field"]: (field["value"], field["setBy"]) for field in json.loads(result.stdout)["fields"]}


def test_every_layer_is_named(airfield: Airfield) -> None:
    text = stream(size="small", env=[{"name": "B", "value": "own"}], database={"server": {}}, executor="LocalExecutor")
    found = explained(airfield, text)
    assert found["executor"] == ("LocalExecutor", "environment")
    assert found["components.scheduler.replicas"] == (2, "size small")
    assert found["components.triggerer.replicas"] == (1, "bundled defaults")
    assert found["config.core.parallelism"] == ("4", "stage dev")
    assert found["config.logging.x.a"] == ("1", "stage dev")
    assert found["env.A"] == ("class", "class c")
    assert found["env.B"] == ("own", "environment")
    assert found["version"] == ("s", "class c")
    assert found["catalog.version"] == ("3.3.2", "class c")
    assert found["database.server"] == ({}, "environment")
    assert found["databaseServers[main].host"] == ("db.example", "class c")
    assert found["tenant"] == ("t", "tenant t")
    assert found["labels[team]"] == ("a", "tenant t")
    assert found["labels[airfield.dev/stage]"] == ("dev", "operator")
    own = explained(airfield, stream(database={"server": {}}, labels={"contact": "jo", "team": "a"}))
    assert (own["labels[contact]"], own["labels[team]"]) == (("jo", "environment"), ("a", "tenant t"))
    assert not [field for field in found if field.startswith("database.embedded")]


def test_who_gave_a_group_its_role(airfield: Airfield) -> None:
    oidc = {"issuer": "https://login.example.com", "clientId": "af:{namespace}/{name}"}
    of_class = {**CLASS, "identity": {"oidc": oidc, "roles": [{"group": "{tenant}-a", "role": "Admin"}]}}
    of_tenant = {
        "namespaces": [{"name": "ns"}],
        "allowedClasses": ["c"],
        "identity": {"roles": [{"group": "b", "role": "User"}]},
    }
    own = {"roles": [{"group": "c", "role": "Viewer"}], "clientSecretRef": {"name": "oidc", "key": "secret"}}
    parts = [
        resource("AirflowEnvironment", "demo", {"className": "c", "stage": "dev", "identity": own}, "ns"),
        resource("AirflowEnvironmentClass", "c", of_class),
        resource("AirflowTenant", "t", of_tenant),
    ]
    found = explained(airfield, yaml.safe_dump_all(parts), "identity")
    assert found["identity.roles[t-a]"] == ("Admin", "class c")
    assert found["identity.roles[b]"] == ("User", "tenant t")
    assert found["identity.roles[c]"] == ("Viewer", "environment")
    assert found["identity.oidc.clientId"] == ("af:ns/demo", "class c")
    assert found["identity.oidc.audience"] == ("af:ns/demo", "class c")
    assert found["identity.oidc.groupsClaim"] == ("groups", "class c")
    assert found["identity.clientSecretRef.name"] == ("oidc", "environment")


def test_who_opened_a_way_out(airfield: Airfield) -> None:
    network = {"egress": [{"cidr": "10.0.0.0/8"}], "ingressFrom": ["ingress"]}
    of_tenant = {"namespaces": [{"name": "ns"}], "allowedClasses": ["c"], "egress": [{"namespace": "data"}]}
    parts = [
        resource("AirflowEnvironment", "demo", {"className": "c", "stage": "dev"}, "ns"),
        resource("AirflowEnvironmentClass", "c", {**CLASS, "network": network}),
        resource("AirflowTenant", "t", of_tenant),
    ]
    found = explained(airfield, yaml.safe_dump_all(parts), "network")
    assert {
        path: (value.get("cidr") or value.get("namespace"), origin)
        for path, (value, origin) in found.items()
        if "egress" in path
    } == {
        "network.egress[0]": ("10.0.0.0/8", "class c"),
        "network.egress[1]": ("data", "tenant t"),
    }
    assert found["network.ingressFrom"] == (["ingress"], "class c")


async def test_no_field_is_without_an_origin(quickstart: Path) -> None:
    found = await find(Source((str(quickstart),)))
    effective = found.effective(("team-a-dev", "demo"))
    assert [field.path for field in fields(effective) if field.origin == "?"] == []
    assert set(effective.origins) <= {field.path for field in fields(effective)}


def test_the_table(airfield: Airfield) -> None:
    result = airfield("explain", "-f", "-", "spec.components.scheduler", text=stream(size="small"))
    assert result.exit_code == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["FIELD", "VALUE", "SET", "BY"]
    value, origin = head.index("VALUE"), head.index("SET BY")
    assert all(line[value - 1] == " " != line[value] and line[origin - 1] == " " != line[origin] for line in lines)
    assert all(line.startswith("components.scheduler.") for line in lines)
    assert airfield("explain", "-f", "-", "comp", text=stream()).exit_code == 1


def test_hostile_values_stay_on_their_line(airfield: Airfield) -> None:
    text = stream(env=[{"name": "X", "value": "a\n   fake   row\u202e"}, {"name": "E", "value": ""}])
    result = airfield("explain", "-f", "-", "env", text=text)
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 5  # head, A, B, X, E
    assert r'"a\n   fake   row\u202e"' in result.stdout


PROBLEMS = {
    "components": {"scheduler": {"replicas": 9}, "apiServer": {"resources": {"limits": {"memory": "8Gi"}}}},
    "config": {"core": {"fernet_key": "x"}},
    "version": "1.0.0",
}


def test_all_problems_at_once(airfield: Airfield) -> None:
    result = airfield("explain", "-f", "-", text=stream(**PROBLEMS))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: AirflowEnvironment ns/demo does not resolve:\n")
    as_json = airfield("explain", "-f", "-", "-o", "json", text=stream(**PROBLEMS))
    assert as_json.exit_code == 1
    problems = json.loads(as_json.stdout)["problems"]
    assert [p["reason"] for p in problems].count("CeilingExceeded") == 2
    assert {"ReservedSetting", "VersionNotFound"} < {p["reason"] for p in problems}
    for problem in problems:
        assert f"  {problem['reason']}: {problem['message']}\n" in result.stderr


def test_a_class_that_breaks_the_schema_and_a_missing_tenant(airfield: Airfield) -> None:
    bad = resource("AirflowEnvironmentClass", "c", {**CLASS, "ceilings": {"cpu": "lots"}})
    environment = resource("AirflowEnvironment", "demo", {"className": "c", "stage": "dev"}, "ns")
    result = airfield("explain", "-f", "-", text=yaml.safe_dump_all([bad, environment]))
    assert "ClassInvalid: AirflowEnvironmentClass 'c': spec.ceilings.cpu: " in result.stderr
    assert "NoTenant: metadata.namespace: no AirflowTenant in the files lists namespace 'ns'" in result.stderr


def test_one_environment_at_a_time(airfield: Airfield) -> None:
    other = resource("AirflowEnvironment", "other", {"className": "c", "stage": "prod"}, "ns")
    text = f"{stream()}\n---\n{yaml.safe_dump(other)}"
    result = airfield("explain", "-f", "-", text=text)
    assert "the files hold 2 environments; choose one with --name and -n: ns/demo, ns/other" in result.stderr
    assert explained(airfield, text, "--name", "other")["stage"] == ("prod", "environment")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Which environment?"),
        (("a", "b", "c"), "Unexpected argument 'c'"),
        (("-f", "x", "b", "c"), "Unexpected argument 'c'"),
    ],
)
def test_usage(airfield: Airfield, arguments: tuple[str, ...], message: str) -> None:
    result = airfield("explain", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_without_files_a_cluster_is_needed(airfield: Airfield) -> None:
    result = airfield("explain", "demo")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cannot load kubeconfig ")
    assert len(result.stderr.splitlines()) == 1


def test_options_that_the_chart_sets(airfield: Airfield, helm_binary: str) -> None:
    text = stream(executor="LocalExecutor", config={"core": {"load_examples": "True", "x": "50%"}})
    found = explained(airfield, text, "config", "--helm", helm_binary)
    assert found["config.core.load_examples"] == ("True", "environment")
    assert found["config.core.x"] == ("50%", "environment")
    assert found["config.core.parallelism"] == ("4", "stage dev")
    assert found["config.core.executor"] == ("LocalExecutor", "chart")
    assert found["config.logging.base_log_folder"] == ("/opt/airflow/logs", "chart")
    without = explained(airfield, stream(executor="LocalExecutor"), "config", "--helm", helm_binary)
    assert without["config.core.load_examples"] == ("False", "chart")
    assert found.keys() - without.keys() == {"config.core.x"}


def test_without_helm_the_layers_are_still_explained(airfield: Airfield) -> None:
    result = airfield("explain", "-f", "-", "config", "--helm", "/nowhere/helm", text=stream())
    assert result.exit_code == 0
    assert "config.core.parallelism" in result.stdout
    assert "that the chart sets are not shown: cannot run /nowhere/helm" in result.stderr


def test_what_nobody_has_set_is_a_bundled_default(airfield: Airfield) -> None:
    found = explained(airfield, stream(database={"embedded": {}}))
    assert found["dags.bundles[dags].image.path"] == ("/opt/airflow/dags", "bundled defaults")
    assert found["catalog.postgresImage"] == ("airfield/postgres:17", "bundled defaults")
    git = {"url": "https://git.example.com/x.git", "ref": "main"}
    found = explained(airfield, stream(dags={"bundles": [{"name": "main", "git": git}]}))
    assert found["dags.bundles[main].git.ref"] == ("main", "environment")
    assert found["dags.bundles[main].git.refreshIntervalSeconds"] == (60, "bundled defaults")
    often = {"name": "main", "git": {**git, "refreshIntervalSeconds": 30}}
    found = explained(airfield, stream(dags={"bundles": [often]}))
    assert found["dags.bundles[main].git.refreshIntervalSeconds"] == (30, "environment")
