"""airflow.cfg and the environment: users' strings arrive as they were written, or not at all."""

import configparser
import itertools
import json

import pytest

from airfield.api.reserved import RESERVED_CONFIG
from chart.rendered import (
    GIT,
    LOCAL,
    PRIVATE,
    Json,
    RenderError,
    airflow_cfg,
    environment,
    pod,
    pods,
    render,
)

HOSTILE = [
    "plain",
    "",
    "100% of %(asctime)s and %% too",
    "{{ .Values.secrets }} {{ '{{' }} {% raw %}",
    "a: b\n- c\n# not a comment"[:6] + "; still no comment",
    "first\n[core]\nexecutor = Evil",
    "first\n\n    indented\nlast",
    '{"json": ["a", "b"],\n  "more": "c"}',
    "'single' \"double\" \\backslash `tick`",
    "ünïcödé ☃ 😀 日本",
    "$ alone, $$, $( and trailing $",
    "key = value = more : colon",
    "*alias &anchor !!python/object:os.system |- > @ ?",
    "tab\there",
    "null", "true", "1e3", "0x10", "~tilde", "2026-01-01", "=", "[x]", "---", "...",
]  # fmt: skip


def parsed(text: str) -> configparser.ConfigParser:
    """As Airflow reads it: ConfigParser with its default interpolation."""
    config = configparser.ConfigParser()
    config.read_string(text)
    return config


def stripped(value: str) -> str:
    """What no INI file can tell: spaces around lines."""
    return "\n".join(line.strip() for line in value.split("\n")).strip()


def test_hostile_values_arrive_as_data() -> None:
    keys = {f"key{index}": value for index, value in enumerate(HOSTILE)}
    objects = render({"config": {"some_section": keys}})
    config = parsed(airflow_cfg(objects))
    assert {key: config["some_section"][key] for key in keys} == {key: stripped(value) for key, value in keys.items()}
    assert config["core"]["executor"] == "KubernetesExecutor"
    names = {f"VARIABLE{index}": value for index, value in enumerate(HOSTILE)}
    objects = render({"env": [{"name": name, "value": value} for name, value in names.items()]})
    for component, template in pods(objects):
        if component == "database":
            continue
        variables = environment(template)
        # Kubernetes expands $(NAME) and takes $$ for $.
        assert {name: variables[name]["value"].replace("$$", "$") for name in names} == names
        assert not any("$(" in variables[name]["value"].replace("$$", "") for name in names)


def test_hostile_annotations_arrive_as_data() -> None:
    annotations = {f"example.com/a{index}": value for index, value in enumerate(HOSTILE)}
    both = {"scheduler": {"podAnnotations": annotations}, "workers": {"podAnnotations": annotations}}
    objects = render({"components": both})
    for component in ("scheduler", "worker"):
        found = pod(objects, component)["metadata"]["annotations"]
        assert {key: found[key] for key in annotations} == annotations


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("$AIRFLOW__CORE__FERNET_KEY", "replace by an environment variable"),
        ("x${HOME}", "replace by an environment variable"),
        ("a\n# b", "begins with # or ;"),
        ("a\n  ; b", "begins with # or ;"),
    ],
)
def test_what_airflow_would_change_is_refused_by_name(value: str, why: str) -> None:
    with pytest.raises(RenderError, match=rf"config\.core\.foo .*{why}"):
        render({"config": {"core": {"foo": value}}})


OWNED = [(section, key) for section, keys in RESERVED_CONFIG.items() for key in keys] + [
    ("kubernetes_executor", "client_factory"),
    ("kubernetes_executor", "async_pod_creation"),
    ("kubernetes_executor", "async_client_factory"),
]


@pytest.mark.parametrize(("executor", "owned"), [("KubernetesExecutor", OWNED), ("LocalExecutor", OWNED[::7])])
def test_owned_keys_are_refused_by_name(executor: str, owned: list[tuple[str, str]]) -> None:
    for (section, key), suffix in zip(owned, itertools.cycle(["", "_cmd", "_secret", ""]), strict=False):
        name = key + suffix
        with pytest.raises(RenderError, match=rf"config\.{section}\.{name} is set by the chart"):
            render({"executor": executor, "config": {section: {name: "x"}}})
    for section, key in OWNED[::7]:
        variable = f"AIRFLOW__{section}__{key}_CMD".upper()
        with pytest.raises(RenderError, match=f"env {variable} is set by the chart"):
            render({"executor": executor, "env": [{"name": variable, "value": "x"}]})


@pytest.mark.parametrize("name", ["AIRFLOW_HOME", "AIRFLOW_CONFIG", "HOME", "AIRFLOW_CONN_GIT_TEAM_DAGS"])
def test_owned_variables_are_refused_by_name(name: str) -> None:
    with pytest.raises(RenderError, match=f"env {name} is set by the chart"):
        render({"bundles": [PRIVATE], "env": [{"name": name, "value": "x"}]})


def test_variables_can_come_from_secrets() -> None:
    variable = {"name": "AIRFLOW__SMTP__SMTP_PASSWORD", "secret": {"name": "mail", "key": "password"}}
    objects = render({"env": [variable]})
    for component in ("api-server", "worker", "migration"):
        found = environment(pod(objects, component))["AIRFLOW__SMTP__SMTP_PASSWORD"]
        assert found["valueFrom"]["secretKeyRef"] == {"name": "mail", "key": "password"}


def test_wiring() -> None:
    config = parsed(airflow_cfg(render({"bundles": [LOCAL, GIT, PRIVATE]})))
    assert config["core"]["execution_api_server_url"] == "http://demo-api-server:8080/execution/"
    assert config["core"]["load_examples"] == "False"
    assert json.loads(config["dag_processor"]["dag_bundle_config_list"]) == [
        {
            "name": "baked",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": "/opt/airflow/dags", "refresh_interval": 60},
        },
        {
            "name": "public",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {
                "repo_url": "https://git.example.com/dags.git",
                "tracking_ref": "main",
                "refresh_interval": 60,
            },
        },
        {
            "name": "team-dags",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {
                "repo_url": "git@git.example.com:team/dags.git",
                "tracking_ref": "v1",
                "subdir": "dags",
                "git_conn_id": "git_team_dags",
                "refresh_interval": 60,
            },
        },
    ]


def test_issuer_and_audiences_are_the_environments_own() -> None:
    def identities(name: str, namespace: str) -> set[str]:
        config = parsed(airflow_cfg(render(name=name, namespace=namespace), name))
        auth = config["api_auth"]
        return {auth["jwt_issuer"], auth["jwt_audience"], config["execution_api"]["jwt_audience"]}

    found = [identities("a", "x"), identities("b", "x"), identities("a", "y")]
    assert [len(item) for item in found] == [3, 3, 3]
    assert len(set.union(*found)) == 9


def test_defaults_can_be_overridden_and_wiring_stays() -> None:
    values: Json = {
        "executor": "LocalExecutor",
        "config": {
            "core": {"load_examples": "True", "parallelism": "2"},
            "api": {"base_url": "https://x.example.com/a/b/"},
        },
    }
    objects = render(values)
    config = parsed(airflow_cfg(objects))
    assert (config["core"]["load_examples"], config["core"]["parallelism"]) == ("True", "2")
    assert config["core"]["execution_api_server_url"] == "http://demo-api-server:8080/a/b/execution/"
    container = pod(objects, "api-server")["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/a/b/api/v2/version"
    # What its tasks speak to is built at the first request, for which it answers nobody: before it counts as started.
    assert container["startupProbe"]["httpGet"]["path"] == "/a/b/execution/health"


def test_bundles_that_would_share_a_connection_are_refused() -> None:
    same = [LOCAL | {"name": "a-b"}, LOCAL | {"name": "a_b"}]
    with pytest.raises(RenderError, match=r'bundles "a-b" and "a_b" need different names'):
        render({"bundles": same})
