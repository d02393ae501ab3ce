"""A tenant's network. Inside: real packets, of which policies let through what Airflow needs and nothing else.

From outside: a real ingress controller, https, a log-in, and a certificate that is replaced.
"""

import json
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cert_manager import cert_manager
from certificates import Authority
from demo.airflow import login
from demo.platform import GIT
from e2e.databases import NAMESPACE as DATABASES
from e2e.databases import DatabaseServer, class_with_server
from e2e.enforcer import Enforcer
from e2e.environments import COMPONENT, Environment
from e2e.flows import NAMESPACE, REACHED, SERVER, TARGETS, pods_by_component, put_pod, reached
from e2e.ingress import CLASS, Browser, free_port, traefik
from e2e.waiting import Stopwatch, eventually
from localcluster import Cluster, tool
from localcluster.cluster import current_kubeconfig
from localcluster.instance import Instance

pytestmark = [
    pytest.mark.node,
    pytest.mark.usefixtures("steady"),
    pytest.mark.skipif(current_kubeconfig() is not None, reason="the node must be one whose network is ours"),
]

Object = dict[str, Any]
BUNDLE = {"name": "dags", "git": {"url": f"http://git.{GIT}.svc.cluster.local/dags.git", "ref": "main"}}
GATEWAYS = "gateways"
HOST = f"airflow.{NAMESPACE}.e2e.example.com"
TEMPLATE = "{name}.{namespace}.e2e.example.com"
AUTHORITY = Authority()


@pytest.fixture(scope="module")
def environment(server: DatabaseServer, bystander: Environment) -> Iterator[Environment]:
    """That of a tenant whose namespace the operator makes; its neighbour is another tenant's.

    Its class exposes environments by Ingresses, with the certificate in a Secret that a person makes.
    """
    platform = server.platform
    put_class(server, ingress={"className": CLASS, "tls": {"secretName": "{name}-cert"}})
    tenant = {"apiVersion": "airfield.dev/v1alpha1", "kind": "AirflowTenant", "metadata": {"name": NAMESPACE}}
    platform.apply([{**tenant, "spec": {"namespaces": [{"name": NAMESPACE}], "allowedClasses": [NAMESPACE]}}])
    eventually("namespace", lambda: platform.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"))
    environment = Environment(platform, NAMESPACE, "airflow")
    environment.apply(
        className=NAMESPACE,
        executor="KubernetesExecutor",
        database={"embedded": {"size": "1Gi"}},
        dags={"bundles": [BUNDLE]},
        components={},
    )
    bystander.until_ready()
    environment.until_ready()
    yield environment
    environment.delete_all()
    platform.kubectl("wait", "--for=jsonpath={.status.environments}=0", "--timeout=60s", f"aftenant/{NAMESPACE}")
    platform.kubectl("patch", "aftenant", NAMESPACE, "--type=merge", "-p", '{"spec":{"deletionPolicy":"Delete"}}')
    platform.kubectl("delete", "aftenant", NAMESPACE, "--timeout=120s")


@pytest.fixture(scope="module")
def isolated(environment: Environment) -> Environment:
    """It, with pods that say that they are a task's, nobody's, and another environment's. They stay."""
    put_pod(environment, "task", {"airfield.dev/environment": "airflow", "app.kubernetes.io/component": "worker"})
    put_pod(environment, "stray", {"app": "stray"})
    put_pod(environment, "ghost", {"airfield.dev/environment": "ghost", "app.kubernetes.io/component": "worker"})
    return environment


@pytest.fixture(scope="module")
def enforcer(isolated: Environment, node_cluster: Cluster) -> Enforcer:
    instance = Instance.load(node_cluster.name)
    assert instance is not None
    return Enforcer(isolated.platform, (NAMESPACE, "bystander"), instance)


@pytest.fixture(scope="module")
def browser(server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Somebody outside, and an ingress controller."""
    platform, port = server.platform, free_port()
    platform.kubectl("apply", "--server-side", "-f", str(tool("gateway-api.yaml")))
    platform.kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io", "--timeout=60s")
    with traefik(platform, port, tmp_path_factory.mktemp("traefik") / "log", gateways=True):
        yield Browser(HOST, port, AUTHORITY.pem)


def test_what_is_allowed_suffices_and_nothing_else_is(isolated: Environment, enforcer: Enforcer) -> None:
    watch = Stopwatch()
    for pod in pods_by_component(isolated).values():  # without anybody who enforces them, policies are paper
        assert reached(isolated, pod) == set(TARGETS)
    watch.lap("all flows without enforcement")
    with enforcer.enforcing():
        for component, pod in pods_by_component(isolated).items():
            assert reached(isolated, pod) == REACHED[component], component
        watch.lap("all flows with enforcement")
        isolated.succeeds("hello")
        watch.lap("a DAG's tasks in pods of their own, with enforcement")
        isolated.until_ready()  # on a busy machine a look at its health may have taken too long just now


def test_what_a_tenant_may_reach_in_addition(isolated: Environment, enforcer: Enforcer) -> None:
    """Only what runs DAGs may; and the policy follows the tenant."""
    platform = isolated.platform
    egress = json.dumps({"spec": {"egress": [{"namespace": DATABASES, "ports": [5432]}]}})
    platform.kubectl("patch", "aftenant", NAMESPACE, "--type=merge", "-p", egress)
    eventually("policy", lambda: isolated.kubectl("get", "networkpolicy", "airflow-dags", "--ignore-not-found"))
    with enforcer.enforcing():
        found = {component: reached(isolated, pod) for component, pod in pods_by_component(isolated).items()}
    more = {"worker", "dag-processor", "triggerer"}
    assert found == {each: REACHED[each] | ({SERVER} if each in more else set()) for each in REACHED}
    platform.kubectl("patch", "aftenant", NAMESPACE, "--type=json", "-p", '[{"op":"remove","path":"/spec/egress"}]')
    eventually(
        "end of the policy", lambda: not isolated.kubectl("get", "networkpolicy", "airflow-dags", "--ignore-not-found")
    )


def put_class(server: DatabaseServer, **way: Object) -> None:
    """The example's class, with the database server, and a way in."""
    blueprint = class_with_server(NAMESPACE, exposure={"hostTemplate": TEMPLATE, **way})
    server.platform.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(blueprint))  # what it does not name, goes


def put_certificate(
    server: DatabaseServer, namespace: str, name: str, *hosts: str, until: datetime | None = None
) -> None:
    """A new certificate in a Secret, instead of the one that is there."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}
    content = AUTHORITY.issue(*hosts, until=until)
    server.platform.apply([{**secret, "type": "kubernetes.io/tls", "stringData": content}])


def test_the_way_in(environment: Environment, server: DatabaseServer, browser: Browser) -> None:
    watch = Stopwatch()
    assert environment.status()["url"] == f"https://{HOST}"
    assert environment.condition("CertificateValid")["reason"] == "CertificateNotFound"
    with pytest.raises(ssl.SSLCertVerificationError):
        browser.get("/")
    put_certificate(server, NAMESPACE, "airflow-cert", HOST)
    environment.until("CertificateValid", "True", "Succeeded", seconds=60)
    eventually("certificate", browser.is_served, 60)
    watch.lap("a certificate is served")
    assert f"https://{HOST}" in environment.kubectl("get", "afenv", "airflow", "-o", "wide")


def put_gateway(server: DatabaseServer, port: int) -> None:
    """A Gateway at the ingress controller's port, with a certificate for all host names of the namespace."""
    server.platform.namespace(GATEWAYS)
    wildcard = f"*.{HOST.partition('.')[2]}"
    put_certificate(server, GATEWAYS, "wildcard", wildcard)
    listener = {
        "name": "https",
        "protocol": "HTTPS",
        "port": port,
        "hostname": wildcard,
        "tls": {"certificateRefs": [{"name": "wildcard"}]},
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    metadata = {"name": "public", "namespace": GATEWAYS}
    gateway = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": metadata}
    server.platform.apply([{**gateway, "spec": {"gatewayClassName": CLASS, "listeners": [listener]}}])


def test_logging_in(environment: Environment, browser: Browser) -> None:
    """Every redirect is to the host name, by https; and the session's cookie is for https only."""
    assert enter(environment, browser).status == 200


def enter(environment: Environment, browser: Browser) -> Any:
    browser.cookies.clear()
    leads = browser.get(f"/api/v2/auth/login?next=https://{HOST}/dags")
    assert leads.status in {302, 307}, leads
    assert leads.location.startswith(f"https://{HOST}/auth/login/")
    page = browser.get(leads.location.removeprefix(f"https://{HOST}"))
    assert page.status == 200, page
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert token, page.text
    user, password = login(environment.platform, environment.namespace, environment.name)
    form = {"username": user, "password": password, "csrf_token": token[1]}
    entered = browser.post(leads.location.removeprefix(f"https://{HOST}"), form)
    assert entered.status == 302, entered.text
    assert entered.location.startswith((f"https://{HOST}/", "/")), entered.location
    cookies = entered.headers.get_all("Set-Cookie") or []
    (session,) = [cookie for cookie in cookies if cookie.startswith("_token=")]
    assert "Secure" in session, session
    return browser.get("/ui/auth/me")


def test_a_replaced_certificate_is_served_without_a_restart(
    environment: Environment, server: DatabaseServer, browser: Browser
) -> None:
    before, served = picture(environment), browser.certificate().serial_number
    until = datetime.fromisoformat(environment.status()["certificate"]["notAfter"]) + timedelta(days=30)
    watch = Stopwatch()
    put_certificate(server, NAMESPACE, "airflow-cert", HOST, until=until)
    eventually("new certificate", lambda: browser.certificate().serial_number != served, 60)
    watch.lap("the new certificate is served")
    after = f"{until:%Y-%m-%dT%H:%M:%SZ}"
    eventually("news of it", lambda: environment.status()["certificate"]["notAfter"] == after, 60)
    watch.lap("the operator has seen it")
    assert browser.is_served()
    assert picture(environment) == before


def picture(environment: Environment) -> dict[str, tuple[object, ...]]:
    """What would be another if it had been touched; without tasks' pods, which end some time after their task."""
    pods = [each["metadata"] for each in environment.items("pods")]
    tasks = {f"Pod/{each['name']}" for each in pods if each["labels"][COMPONENT] == "worker"}
    return {name: found for name, found in environment.picture().items() if name not in tasks}


def test_by_cert_manager(environment: Environment, server: DatabaseServer, browser: Browser, tmp_path: Path) -> None:
    """The class changes to certificates of an issuer; each renewed one is served, and Airflow is not restarted."""
    pods, authority, log = pods_of(environment), Authority(), tmp_path / "log"
    visitor = Browser(HOST, browser.port, authority.pem)
    watch = Stopwatch()
    with cert_manager(server.platform, "e2e", authority, log):
        put_class(server, ingress={"className": CLASS, "tls": {"issuerRef": {"name": "e2e"}}})
        eventually("certificate of the issuer", visitor.is_served, 120, log.read_text)
        watch.lap("a certificate of the issuer is served")
        eventually("news of it", lambda: told(environment) == ends(visitor), 60, environment.describe)
        served, end = visitor.certificate().serial_number, told(environment)
        later = visitor.certificate().not_valid_before_utc + timedelta(seconds=1)
        eventually("another second, so that the next one ends later", lambda: datetime.now(UTC) > later)
        renew(environment)
        eventually("renewed certificate", lambda: visitor.certificate().serial_number != served, 60, log.read_text)
        watch.lap("it is renewed")
        eventually("news of that", lambda: told(environment) == ends(visitor) != end, 60, environment.describe)
        assert visitor.is_served()
    assert pods_of(environment) == pods


def told(environment: Environment) -> str:
    """Until when the certificate is valid, as the operator has it."""
    return str(environment.status().get("certificate", {}).get("notAfter", ""))


def ends(visitor: Browser) -> str:
    """Until when what is served is valid."""
    return f"{visitor.certificate().not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"


def renew(environment: Environment) -> None:
    """Have a certificate renewed, as cert-manager's own command does."""
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "a test's"}
    patch = [{"op": "add", "path": "/status/conditions/-", "value": {**issuing, "lastTransitionTime": since}}]
    name = f"{environment.name}-tls"
    environment.kubectl("patch", "certificate", name, "--subresource=status", "--type=json", "-p", json.dumps(patch))


def test_by_the_gateway_api(environment: Environment, server: DatabaseServer, browser: Browser) -> None:
    """The class changes from Ingresses to a Gateway; Airflow is not restarted, since its host name is the same."""
    pods, served = pods_of(environment), browser.certificate().serial_number
    put_gateway(server, browser.port)
    put_class(server, gateway={"name": "public", "namespace": GATEWAYS, "sectionName": "https"})
    eventually("route", lambda: environment.items("httproutes"))
    eventually("end of the Ingress", lambda: not environment.items("ingresses"))
    environment.until_ready()
    eventually("certificate of the Gateway", lambda: browser.certificate().serial_number != served, 60)
    eventually("way in", browser.is_served, 60)
    eventually(
        "nothing said of a certificate, which is the Gateway's", lambda: not environment.condition("CertificateValid")
    )
    assert enter(environment, browser).status == 200
    assert pods_of(environment) == pods
    environment.delete()
    assert environment.names("httproutes,ingresses") == set()


def pods_of(environment: Environment) -> set[str]:
    """The pods that are no task's, by their uids."""
    metadata = [each["metadata"] for each in environment.items("pods")]
    return {each["uid"] for each in metadata if each["labels"][COMPONENT] != "worker"}
