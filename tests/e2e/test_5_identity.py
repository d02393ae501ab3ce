"""Airflow behind a real provider and a real ingress controller, with a real browser: who gets in, what they may do, and
when the provider is away."""

import json
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from airfield.airflow.rest import Airflow, RestError
from airfield.postgres.names import database_name
from browser import chromium, window
from certificates import Authority
from demo.airflow import login
from demo.platform import GIT
from e2e.databases import DatabaseServer, class_with_server
from e2e.environments import Environment
from e2e.ingress import CLASS, free_port, traefik
from e2e.ingress import Browser as Visitor
from e2e.waiting import Stopwatch, eventually
from keycloak_server import Keycloak, audience, keycloak, realm
from localcluster import Cluster
from localcluster.cluster import current_kubeconfig
from localcluster.instance import Instance

pytestmark = [
    pytest.mark.node,
    pytest.mark.usefixtures("steady"),
    pytest.mark.skipif(current_kubeconfig() is not None, reason="the node must be one that reaches this machine"),
]

Json = dict[str, Any]
NAMESPACE, NAME = "identified", "airflow"
HOST = f"{NAME}.{NAMESPACE}.test"
SITE = f"https://{HOST}"
"""As people reach it: by TLS that ends before Airflow, which must not send them back to plain HTTP."""
CLIENT = f"airfield:{NAMESPACE}/{NAME}"
OTHER = f"airfield:{NAMESPACE}/other"
BUNDLE = {"name": "dags", "git": {"url": f"http://git.{GIT}.svc.cluster.local/dags.git", "ref": "main"}}
USERS = {
    name: (group, secrets.token_urlsafe())
    for name, group in {
        "olga": "identity-owners",
        "vera": "support",
        "stan": "somebody-else",
        "leaver": "identity-owners",
        "admin": "identity-owners",
    }.items()
}
SERVICES = {"deployer": ("identity-owners", secrets.token_urlsafe())}
DAG, RUNS = "/dags/hello", "/api/v2/dags/hello/dagRuns"
RUN = {"logical_date": None}
LOGIN = f"/api/v2/auth/login?next={SITE}"
"""Where Airflow's pages send people who are not logged in. Whoever begins here spares a browser seconds of work."""


@dataclass
class Site:
    """The environment as people see it."""

    environment: Environment
    server: DatabaseServer
    provider: Keycloak
    browser: Browser
    url: str
    """As programs in the cluster reach it."""

    def enter(self, page: Page, who: str, at: str = f"{LOGIN}{DAG}") -> None:
        """Log in at the provider, as somebody who opens Airflow for the first time. `at`: what is opened."""
        page.goto(SITE + at)
        page.get_by_text("Sign In with").click()
        page.locator("#username").fill(who)
        page.locator("#password").fill(USERS[who][1])
        page.locator("#kc-login").click()
        # Not only at the address that the provider sends back to: who goes on from there is not logged in yet.
        page.wait_for_url(lambda url: url.startswith(SITE) and "oauth-authorized" not in url, wait_until="commit")

    def of(self, who: str, client: str = "console") -> str:
        """A token of the provider's for somebody."""
        form = {"grant_type": "password", "client_id": client, "username": who, "password": USERS[who][1]}
        return str(self.provider.token(**form, scope="openid")["access_token"])

    def exchange(self, token: Any) -> tuple[int, str]:
        """What Airflow says to a token of the provider's: its own, or why not."""
        status, said = self.call("POST", "/auth/token", {"token": token})
        return status, said.get("access_token") or said["detail"]

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """The status and the answer to a request."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - our own URL
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def ask(self, statement: str) -> str:
        """Do something in Airflow's database."""
        return "\n".join(self.server.ask(statement, database_name(NAMESPACE, NAME)))

    def accounts(self) -> set[str]:
        return set(self.ask("SELECT username FROM ab_user").split())

    def mark(self, who: str) -> str:
        """What an account has in place of a password's hash."""
        return self.ask(f"SELECT password FROM ab_user WHERE username = '{who}'")  # noqa: S608 - one of USERS


FETCH = """async ([path, body]) => {
    const method = body === null ? "GET" : "POST"
    const headers = {"Content-Type": "application/json"}
    const answer = await fetch(path, {method, headers, body: body === null ? undefined : JSON.stringify(body)})
    return [answer.status, await answer.json()]
}"""


def fetch(page: Page, path: str, body: Any = None) -> tuple[int, Any]:
    """What a script of the page is answered, which has nothing but the browser's cookies."""
    status, said = page.evaluate(FETCH, [path, body])
    return status, said


@pytest.fixture(scope="module")
def provider(node_cluster: Cluster) -> Iterator[Keycloak]:
    instance = Instance.load(node_cluster.name)
    assert instance is not None
    with keycloak(str(instance.network.host)) as provider:
        yield provider


@pytest.fixture(scope="module")
def site(server: DatabaseServer, provider: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    watch = Stopwatch()
    platform = server.platform
    oidc = {"issuer": provider.issuer, "clientId": "airfield:{namespace}/{name}", "caBundle": provider.ca}
    roles = [{"group": "{tenant}-owners", "role": "Op"}]
    ingress = {"className": CLASS, "tls": {"secretName": "certificate"}}
    blueprint = class_with_server(
        "identity",
        identity={"oidc": oidc, "roles": roles},
        exposure={"hostTemplate": "{name}.{namespace}.test", "ingress": ingress},
    )
    tenant = {
        "apiVersion": "airfield.dev/v1alpha1",
        "kind": "AirflowTenant",
        "metadata": {"name": "identity"},
        "spec": {"namespaces": [{"name": NAMESPACE}], "allowedClasses": ["identity"]},
    }
    platform.apply([blueprint, tenant])
    environment = Environment(platform, NAMESPACE, NAME)
    eventually("namespace", lambda: platform.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"))
    authority = Authority()
    certificate: dict[str, Any] = {"metadata": {"name": "certificate", "namespace": NAMESPACE}}
    certificate |= {"type": "kubernetes.io/tls", "stringData": authority.issue(HOST)}
    platform.apply([{"apiVersion": "v1", "kind": "Secret", **certificate}])
    environment.apply(
        className="identity",
        executor="LocalExecutor",
        database={"server": {}},
        dags={"bundles": [BUNDLE]},
        identity={"roles": [{"group": "support", "role": "Viewer"}]},
    )
    clients: dict[str, Any] = {
        CLIENT: {
            "redirectUris": [f"{SITE}/auth/oauth-authorized/oidc"],
            "attributes": {"pkce.code.challenge.method": "S256"},
        },
        "console": {"directAccessGrantsEnabled": True, "protocolMappers": [audience(CLIENT)]},
        "of-another": {"directAccessGrantsEnabled": True, "protocolMappers": [audience(OTHER)]},
        "deployer": {"protocolMappers": [audience(CLIENT)]},
    }
    provider.until_ready(realm(clients, USERS, SERVICES))
    watch.lap("provider ready")
    environment.until_ready()
    watch.lap("environment ready")
    address = platform.service_address(NAMESPACE, f"{NAME}-api-server")
    eventually("DAG", lambda: environment.ask(_knows_hello))
    watch.lap("DAG known")
    port = free_port()
    with (
        traefik(platform, port, tmp_path_factory.mktemp("traefik") / "log"),
        chromium({HOST: f"127.0.0.1:{port}"}) as browser,
    ):
        eventually("way in", Visitor(HOST, port, authority.pem).is_served, 60)
        yield Site(environment, server, provider, browser, f"http://{address}:8080")
    environment.delete()


async def _knows_hello(airflow: Airflow) -> bool:
    """Asked as the operator asks: with the first administrator's password."""
    try:
        await airflow.pause("hello", paused=False)
    except RestError as error:
        if error.status == 404:
            return False
        raise
    return True


def test_an_owner_logs_in_and_runs_a_dag(site: Site) -> None:
    with window(site.browser) as page:
        site.enter(page, "olga", DAG)  # whom Airflow's page sends to log in, and who comes back to it
        expect(page.get_by_role("button", name="Trigger")).to_be_enabled()
        status, started = fetch(page, RUNS, RUN)
        assert status == 200, started
        run = started["dag_run_id"]
        page.goto("about:blank")  # Airflow's page asks for news and draws all the time
        found = ended(site, run)
        assert found["state"] == "success", site.environment.task_logs()
        page.goto(f"{SITE}/dags/hello/runs")
        expect(page.get_by_text(re.compile("success", re.IGNORECASE)).first).to_be_visible()
    assert found["triggering_user_name"] == "olga"


def ended(site: Site, run: str) -> Json:
    """A run as Airflow tells of it when it has come to its end."""
    status, token = site.exchange(site.of("vera"))
    assert status == 201

    def look() -> Json | None:
        status, found = site.call("GET", f"{RUNS}/{run}", token=token)
        assert status == 200, found
        return found if found["state"] in {"success", "failed"} else None

    return eventually("end of the run", look)


def test_a_viewer_sees_and_may_not_run(site: Site) -> None:
    with window(site.browser) as page:
        site.enter(page, "vera")
        expect(page.get_by_text("Latest Run").first).to_be_visible()
        # Airflow shows the button to trigger a run to everybody; what counts is what it does.
        assert fetch(page, RUNS, RUN)[0] == 403
        assert fetch(page, "/api/v2/connections")[0] == 403


def test_a_stranger_is_told_why_not(site: Site) -> None:
    with window(site.browser) as page:
        site.enter(page, "stan")
        alert = page.get_by_text("none of your groups has a role in this environment")
        expect(alert).to_be_visible()
        assert fetch(page, "/api/v2/dags")[0] == 401
    assert "stan" not in site.accounts()


@pytest.mark.parametrize(("who", "runs"), [("olga", 200), ("vera", 403)])
def test_the_rest_api_knows_the_same_people(site: Site, who: str, runs: int) -> None:
    status, token = site.exchange(site.of(who))
    assert status == 201, token
    assert site.call("GET", "/api/v2/dags", token=token)[0] == 200
    assert site.call("POST", RUNS, RUN, token=token)[0] == runs


def test_a_service_account(site: Site) -> None:
    (client, (_, secret)) = next(iter(SERVICES.items()))
    found = site.provider.token(grant_type="client_credentials", client_id=client, client_secret=secret)
    status, token = site.exchange(found["access_token"])
    assert status == 201, token
    assert site.call("POST", RUNS, RUN, token=token)[0] == 200


def test_tokens_that_are_none(site: Site) -> None:
    good = site.of("olga")
    head, body, signature = good.split(".")
    for token, why in {
        site.of("olga", "of-another"): "Audience doesn't match",
        site.of("stan"): "none of your groups",
        site.of("admin"): "the first administrator",
        f"{head}.{body}.{'A' * len(signature)}": "Signature verification failed",
        f"{'e30'}.{body}.": "not signed by a private key",
        "": "Not enough segments",
    }.items():
        status, said = site.exchange(token)
        assert (status, why in said) == (401, True), said
    assert site.call("GET", "/api/v2/dags", token=good)[0] in {401, 403}, "the provider's token is not Airflow's"
    assert site.call("GET", "/api/v2/dags")[0] == 401


def test_who_leaves_a_group_loses_its_role(site: Site) -> None:
    status, token = site.exchange(site.of("leaver"))
    assert status == 201
    assert site.call("POST", RUNS, RUN, token=token)[0] == 200
    site.provider.leave_groups("leaver")
    mark = site.mark("leaver")
    assert site.exchange(site.of("leaver"))[0] == 401
    assert site.mark("leaver") == mark
    # Without a role nobody takes an account, be it one from before there was a provider.
    site.ask("UPDATE ab_user SET password = '!' WHERE username = 'leaver'")
    assert site.exchange(site.of("leaver"))[0] == 401
    assert site.mark("leaver") == "!"
    site.ask(f"UPDATE ab_user SET password = '{mark}' WHERE username = 'leaver'")  # noqa: S608 - it was there
    eventually("end of the rights", lambda: site.call("GET", "/api/v2/dags", token=token)[0] == 403, 60)


def test_a_name_that_is_given_to_somebody_else_gives_no_account(site: Site) -> None:
    site.provider.replace("leaver", "identity-owners", USERS["leaver"][1])
    status, said = site.exchange(site.of("leaver"))
    assert status == 401
    assert "The account 'leaver' was made for somebody else" in said
    name, password = login(site.environment.platform, NAMESPACE, NAME)
    administrator = site.call("POST", "/auth/token", {"username": name, "password": password})[1]["access_token"]
    assert site.call("GET", "/auth/fab/v1/users/leaver", token=administrator)[1]["roles"] == []
    assert site.call("DELETE", "/auth/fab/v1/users/leaver", token=administrator)[0] == 204
    assert site.exchange(site.of("leaver"))[0] == 201


def test_accounts_of_the_provider_have_no_password(site: Site) -> None:
    for password in ("!", USERS["olga"][1], "olga"):
        assert site.call("POST", "/auth/token", {"username": "olga", "password": password})[0] == 401
    name, password = login(site.environment.platform, NAMESPACE, NAME)
    assert site.call("POST", "/auth/token", {"username": name, "password": password})[0] == 201
    assert site.call("POST", "/auth/token", {"username": name, "password": "admin"})[0] == 401


def test_who_sets_a_password_keeps_the_account(site: Site) -> None:
    mark = site.mark("vera")
    with window(site.browser) as page:
        site.enter(page, "vera", f"{LOGIN}/auth/resetmypassword/form")
        page.locator("#password").fill("a-password-of-her-own")
        page.locator("#conf_password").fill("a-password-of-her-own")
        page.locator("button[type=submit]").click()
        page.wait_for_url(lambda url: "resetmypassword" not in url)  # it takes the form, and goes on
    assert site.mark("vera") == mark


def test_the_administrator_gets_in_without_the_provider(site: Site) -> None:
    """Last, since the provider does not come back."""
    site.provider.kill()
    name, password = login(site.environment.platform, NAMESPACE, NAME)
    with window(site.browser) as page:
        page.goto(f"{SITE}{LOGIN}{DAG}")
        page.get_by_text("Log in as the first administrator").click()
        page.locator("#username").fill(name)
        page.locator("#password").fill("admin")
        page.locator("input[type=submit]").click()
        expect(page.get_by_text("This is not the first administrator's name and password")).to_be_visible()
        page.locator("#username").fill(name)
        page.locator("#password").fill(password)
        page.locator("input[type=submit]").click()
        page.wait_for_url(lambda url: "/auth/" not in url, wait_until="commit")
        assert fetch(page, "/api/v2/connections")[0] == 200
    assert site.call("POST", "/auth/token", {"username": name, "password": password})[0] == 201
    site.environment.until_ready()
