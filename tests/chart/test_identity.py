"""What of an OpenID Connect provider reaches the api-server, and nobody else; and that the rest stays as it was."""

import json
from typing import Any

import pytest

from chart.rendered import EXECUTORS, Json, RenderError, render
from chart.test_network import policies, ports, selected

ISSUER = "https://login.example.com/realms/company"
IDENTITY: Json = {
    "issuer": ISSUER,
    "clientId": "airfield:team-a/demo",
    "audience": "airfield:team-a/demo",
    "roles": {"owners": "Op"},
}
SECRET = {"name": "oidc", "key": "secret"}


def rendered(executor: str = EXECUTORS[0], **identity: Any) -> list[Json]:
    return render({"executor": executor, "identity": {**IDENTITY, **identity}})


def pods(objects: list[Json]) -> dict[str, Json]:
    """The Pod of each Deployment and Job, by name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in objects
        if "template" in each.get("spec", {})
    }


def files(objects: list[Json]) -> dict[str, str]:
    """The ConfigMap that the api-server reads."""
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == ("ConfigMap", "demo-identity"))
    data: dict[str, str] = found["data"]
    return data


def checksum(objects: list[Json], component: str) -> str:
    (found,) = (
        each for each in objects if each["metadata"]["name"] == f"demo-{component}" and each["kind"] == "Deployment"
    )
    return str(found["spec"]["template"]["metadata"]["annotations"]["airfield.dev/checksum"])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_only_the_api_server_has_it(executor: str) -> None:
    objects = rendered(executor, clientSecret=SECRET)
    for name, pod in pods(objects).items():
        ours = name == "demo-api-server"
        text = json.dumps(pod)
        for word in ("demo-identity", "airfield_identity", "demo-admin", "AIRFIELD_OIDC_CLIENT_SECRET"):
            assert (word in text) is ours, (name, word)
    for each in objects:
        if each["kind"] == "ConfigMap" and each["metadata"]["name"] != "demo-identity":
            assert "airfield_identity" not in json.dumps(each["data"])


def test_the_administrators_password_stays_out() -> None:
    pod = pods(rendered())["demo-api-server"]
    (volume,) = (each["secret"] for each in pod["volumes"] if each["name"] == "administrator")
    assert (volume["secretName"], volume["items"]) == ("demo-admin", [{"key": "username", "path": "username"}])
    assert "demo-admin" not in json.dumps(pod["containers"])


HOSTILE = "'; import os # \\ $(id) {{ .Values }} ${HOME} \" - &a *a"


def test_what_is_given_is_data() -> None:
    plain, strange = (
        rendered(),
        rendered(clientId=HOSTILE, roles={HOSTILE: "Viewer"}, caBundle="-----BEGIN A-----\nx\n"),
    )
    before, after = files(plain), files(strange)
    assert {name: text for name, text in after.items() if name.endswith(".py")} == {
        name: text for name, text in before.items() if name.endswith(".py")
    }
    found = json.loads(after["identity.json"])
    assert (found["clientId"], found["roles"]) == (HOSTILE, {HOSTILE: "Viewer"})
    assert after["ca.pem"] == "-----BEGIN A-----\nx\n"
    assert "ca.pem" not in before
    for name, text in before.items():
        if name.endswith(".py"):
            compile(text, name, "exec")


def test_no_secret_is_in_a_config_map() -> None:
    objects = rendered(clientSecret=SECRET)
    data = files(objects)
    assert set(json.loads(data["identity.json"])) == {
        "issuer",
        "clientId",
        "audience",
        "usernameClaim",
        "subjectClaim",
        "groupsClaim",
        "scopes",
        "roles",
    }
    (variable,) = (
        each
        for each in pods(objects)["demo-api-server"]["containers"][0]["env"]
        if each["name"] == "AIRFIELD_OIDC_CLIENT_SECRET"
    )
    assert variable["valueFrom"] == {"secretKeyRef": SECRET}


@pytest.mark.parametrize(
    "changed", [{"roles": {"owners": "Viewer"}}, {"clientId": "other"}, {"audience": ""}, {"caBundle": "x"}]
)
def test_the_api_server_starts_anew_and_nobody_else(changed: Json) -> None:
    before, after = rendered(), rendered(**changed)
    assert checksum(before, "api-server") != checksum(after, "api-server")
    assert checksum(before, "scheduler") == checksum(after, "scheduler")


def test_a_new_secret_of_the_client_starts_it_anew() -> None:
    def of(digest: str) -> str:
        values = {"identity": {**IDENTITY, "clientSecret": SECRET}, "digests": {"oidc": digest}}
        return checksum(render(values), "api-server")

    assert of("1") != of("2")


def test_how_long_a_login_lasts() -> None:
    (config,) = (each["data"] for each in rendered(sessionMinutes=60) if each["metadata"]["name"] == "demo-config")
    assert "session_max_lifetime_minutes = 60\n" in config["airflow.cfg"]
    assert "jwt_expiration_time = 3600\n" in config["airflow.cfg"]
    for section, option in (("fab", "session_max_lifetime_minutes"), ("api_auth", "jwt_cli_expiration_time")):
        with pytest.raises(RenderError, match=rf"config\.{section}\.{option} is set by the chart"):
            render({"identity": IDENTITY, "config": {section: {option: "1"}}})
        render({"config": {section: {option: "1"}}})


@pytest.mark.parametrize("name", ["PYTHONPATH", "AIRFIELD_OIDC_CLIENT_SECRET"])
def test_what_leads_python_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(RenderError, match=f"env {name} is set by the chart"):
        render({"env": [{"name": name, "value": "x"}]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://login.example.com"},
        {"issuer": "https://a b"},
        {"roles": {"a": "Public"}},
        {"roles": {"a\nb": "Op"}},
        {"clientId": "a\nb"},
        {"clientSecret": {"name": "a"}},
        {"scopes": []},
        {"sessionMinutes": 0},
        {"unknown": 1},
    ],
)
def test_what_the_schema_refuses(wrong: Json) -> None:
    with pytest.raises(RenderError):
        rendered(**wrong)


NOWHERE = {"169.254.0.0/16", "10.0.0.1/32"}


@pytest.mark.parametrize(("issuer", "port"), [(ISSUER, 443), ("https://login.example.com:8443", 8443)])
def test_the_api_server_reaches_the_provider(issuer: str, port: int) -> None:
    values = {
        "identity": {**IDENTITY, "issuer": issuer},
        "networkPolicy": {"kubernetesApi": {"cidrs": ["10.0.0.1/32"]}},
    }
    policy = policies(values)["demo-identity"]
    assert selected(policy["podSelector"]) == {"api-server"}
    (rule,) = policy["egress"]
    assert ports(rule) == {port}
    (v4,) = (peer["ipBlock"] for peer in rule["to"] if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0")
    assert set(v4["except"]) == NOWHERE


def test_a_provider_in_the_cluster() -> None:
    values = {"identity": {**IDENTITY, "issuer": "https://keycloak.login.svc.cluster.local:8443/realms/a"}}
    (rule,) = policies(values)["demo-identity"]["egress"]
    assert rule["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "login"}}}]


def test_a_provider_where_the_class_says() -> None:
    egress = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    assert policies({"identity": {**IDENTITY, "egress": [egress]}})["demo-identity"]["egress"] == [egress]


def test_nothing_of_it_without_an_issuer() -> None:
    assert "demo-identity" not in json.dumps(render({}))
    assert "airfield_identity" not in json.dumps(render({}))
