"""The way in from outside of the cluster, and what Airflow must know of it."""

from typing import Any

import pytest

from chart.rendered import Json, RenderError, airflow_cfg, environment, find, pod, render

HOST = "demo.example.com"
GATEWAY = {"name": "public", "namespace": "gateways"}
KINDS = {"Ingress", "HTTPRoute", "Certificate"}


def exposed(**way: Any) -> list[Json]:
    return render({"exposure": {"host": HOST, **way}})


def test_nothing_leads_in_unless_asked_for() -> None:
    objects = render()
    assert not {each["kind"] for each in objects} & KINDS
    assert "base_url" not in airflow_cfg(objects)
    container = pod(objects, "api-server")["spec"]["containers"][0]
    assert "--proxy-headers" not in container["args"]
    assert "FORWARDED_ALLOW_IPS" not in environment(pod(objects, "api-server"))


@pytest.mark.parametrize("way", [{"ingress": {"secretName": "tls"}}, {"gateway": GATEWAY}])
def test_airflow_knows_its_host_name_and_believes_the_proxy(way: Json) -> None:
    objects = exposed(**way)
    assert f"base_url = https://{HOST}\n" in airflow_cfg(objects)
    container = pod(objects, "api-server")["spec"]["containers"][0]
    assert container["args"][-1] == "--proxy-headers"
    assert container["readinessProbe"]["httpGet"]["path"] == "/api/v2/version"
    trusted = {each: environment(pod(objects, each)).get("FORWARDED_ALLOW_IPS") for each in ("api-server", "scheduler")}
    assert trusted == {"api-server": {"name": "FORWARDED_ALLOW_IPS", "value": "*"}, "scheduler": None}
    assert "execution_api_server_url = http://demo-api-server:8080/execution/" in airflow_cfg(objects)


def test_ingress_with_a_secret() -> None:
    objects = exposed(ingress={"className": "public", "annotations": {"example.com/a": "b"}, "secretName": "demo-tls"})
    ingress = find(objects, "Ingress", "demo-api-server")
    service = {"name": "demo-api-server", "port": {"name": "http"}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": {"service": service}}]
    assert ingress["metadata"]["annotations"] == {"example.com/a": "b"}
    assert ingress["spec"] == {
        "ingressClassName": "public",
        "tls": [{"hosts": [HOST], "secretName": "demo-tls"}],
        "rules": [{"host": HOST, "http": {"paths": paths}}],
    }
    assert {each["kind"] for each in objects} & KINDS == {"Ingress"}


def test_ingress_whose_controller_has_the_certificate() -> None:
    ingress = find(exposed(ingress={"secretName": ""}), "Ingress", "demo-api-server")
    assert ingress["spec"]["tls"] == [{"hosts": [HOST]}]
    assert "ingressClassName" not in ingress["spec"]


def test_ingress_with_an_issuer() -> None:
    issuer = {"kind": "ClusterIssuer", "name": "ca"}
    objects = exposed(ingress={"secretName": "demo-tls", "issuer": issuer})
    spec = find(objects, "Certificate", "demo-tls")["spec"]
    assert (spec["secretName"], spec["dnsNames"]) == ("demo-tls", [HOST])
    assert spec["issuerRef"] == {"group": "cert-manager.io", **issuer}


def test_route_at_a_gateway() -> None:
    objects = exposed(gateway={**GATEWAY, "sectionName": "https"})
    spec = find(objects, "HTTPRoute", "demo-api-server")["spec"]
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", **GATEWAY, "sectionName": "https"}
    assert (spec["parentRefs"], spec["hostnames"]) == ([parent], [HOST])
    (rule,) = spec["rules"]
    assert [(each["name"], each["port"]) for each in rule["backendRefs"]] == [("demo-api-server", 8080)]
    assert {each["kind"] for each in objects} & KINDS == {"HTTPRoute"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"config": {"api": {"base_url": "https://x"}}}, "config.api.base_url is set by the chart"),
        ({"config": {"webserver": {"base_url": "https://x"}}}, "config.webserver.base_url is set by the chart"),
        ({"env": [{"name": "AIRFLOW__API__BASE_URL", "value": "x"}]}, "env AIRFLOW__API__BASE_URL is set by the chart"),
        ({"env": [{"name": "FORWARDED_ALLOW_IPS", "value": "x"}]}, "env FORWARDED_ALLOW_IPS is set by the chart"),
        ({"exposure": {"host": HOST, "ingress": {"secretName": "a"}, "gateway": GATEWAY}}, "both ingress and gateway"),
    ],
)
def test_what_contradicts_it_is_refused(values: Json, words: str) -> None:
    with pytest.raises(RenderError, match=words):
        render({"exposure": {"host": HOST, "ingress": {"secretName": "a"}}, **values})
