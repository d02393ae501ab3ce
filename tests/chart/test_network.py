"""The flows of an environment, read back out of its NetworkPolicies."""

import pytest

from chart.rendered import EXECUTORS, GIT, LOCAL, PRIVATE, Json, find, render

DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
OPERATOR = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "airfield-system"}}}

ELSEWHERE = [
    {"namespaceSelector": {}},
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
    {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::/32"]}},
]


def policies(values: Json) -> dict[str, Json]:
    return {item["metadata"]["name"]: item["spec"] for item in render(values) if item["kind"] == "NetworkPolicy"}


def selected(selector: Json) -> set[str]:
    """The components of the environment that a Pod selector means."""
    assert selector["matchLabels"] == {"airfield.dev/environment": "demo"}
    (expression,) = selector["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("app.kubernetes.io/component", "In")
    return set(expression["values"])


def ports(rule: Json) -> set[int]:
    return {port["port"] for port in rule["ports"]}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_nothing_is_allowed_but_dns(executor: str) -> None:
    default = policies({"executor": executor})["demo-default"]
    assert default["podSelector"] == {"matchLabels": {"airfield.dev/environment": "demo"}}
    assert set(default["policyTypes"]) == {"Ingress", "Egress"}
    assert default["egress"] == [{"ports": DNS}]
    assert "ingress" not in default


def test_ui_is_for_the_namespace_the_operator_and_those_named() -> None:
    ingress = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    policy = policies({"networkPolicy": {"ingressFrom": [ingress]}})["demo-api-server"]
    assert selected(policy["podSelector"]) == {"api-server"}
    assert policy["ingress"][0]["from"] == [{"podSelector": {}}, OPERATOR, ingress]
    assert ports(policy["ingress"][0]) == {8080}


@pytest.mark.parametrize(("executor", "runner"), [("KubernetesExecutor", "worker"), ("LocalExecutor", "scheduler")])
def test_tasks_reach_the_api_server_and_not_the_database(executor: str, runner: str) -> None:
    found = policies({"executor": executor})
    tasks = found["demo-tasks"]
    assert selected(tasks["podSelector"]) == {runner}
    assert selected(tasks["egress"][0]["to"][0]["podSelector"]) == {"api-server"}
    clients = {"api-server", "scheduler", "dag-processor", "triggerer", "migration"}
    assert selected(found["demo-database-clients"]["podSelector"]) == clients
    assert selected(found["demo-database"]["ingress"][0]["from"][0]["podSelector"]) == clients
    assert found["demo-database"]["ingress"][0]["from"][1] == OPERATOR


@pytest.mark.parametrize(
    ("database", "to", "port"),
    [
        ({"mode": "external", "host": "10.1.2.3", "port": 6432}, [{"ipBlock": {"cidr": "10.1.2.3/32"}}], 6432),
        ({"mode": "external", "host": "db.example.com", "port": 5433}, ELSEWHERE, 5433),
        (
            {"mode": "server", "host": "pg.databases.svc.cluster.local", "port": 5432},
            [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "databases"}}}],
            5432,
        ),
    ],
)
def test_other_databases_are_reached_as_narrowly_as_their_host_allows(
    database: Json, to: list[Json], port: int
) -> None:
    found = policies({"database": database})
    (rule,) = found["demo-database-clients"]["egress"]
    assert (rule["to"], ports(rule)) == (to, {port})
    assert "demo-database" not in found


def test_kubernetes_api_is_for_the_kubernetes_executor() -> None:
    policy = policies({"networkPolicy": {"kubernetesApi": {"cidrs": ["10.0.0.1/32"], "ports": [6443]}}})[
        "demo-kubernetes-api"
    ]
    assert selected(policy["podSelector"]) == {"api-server", "scheduler"}
    assert policy["egress"] == [
        {"ports": [{"protocol": "TCP", "port": 6443}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
    ]
    assert "demo-kubernetes-api" not in policies({"executor": "LocalExecutor"})


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://git.example.com/a.git", 443),
        ("https://git.example.com:8443/a.git", 8443),
        ("http://git.example.com/a.git", 80),
        ("ssh://git@git.example.com:7999/a.git", 7999),
        ("ssh://git@git.example.com/a.git", 22),
        ("git@git.example.com:team/a.git", 22),
        ("git://git.example.com/a.git", 9418),
    ],
)
def test_git_is_reached_on_the_port_of_its_url(url: str, port: int) -> None:
    policy = policies({"bundles": [{"name": "a", "git": {"url": url, "ref": "main"}}]})["demo-git"]
    assert ports(policy["egress"][0]) == {port}
    assert selected(policy["podSelector"]) == {"dag-processor", "worker"}


@pytest.mark.parametrize(
    "url",
    ["http://git.tools.svc/a.git", "https://git.tools.svc.cluster.local:8443/a.git", "git@git.tools.svc:team/a.git"],
)
def test_git_of_the_cluster_is_reached_in_its_namespace(url: str) -> None:
    """The port that pods listen on is not the Service's, and it is the pods' that counts."""
    (rule,) = policies({"bundles": [{"name": "a", "git": {"url": url, "ref": "main"}}]})["demo-git"]["egress"]
    assert rule == {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tools"}}}],
        "ports": [{"protocol": "TCP", "port": 1, "endPort": 65535}],
    }


@pytest.mark.parametrize("of", ["git", "database-clients"])
def test_nothing_is_looked_for_where_credentials_are(of: str) -> None:
    """Of a cloud and of Kubernetes. What excepts everything cannot be written."""
    cidrs = ["10.0.0.1/32", "2001:db8::1/128", "0.0.0.0/0", "::/0"]
    by_name = {"bundles": [GIT], "database": {"mode": "external", "host": "db.example.com", "port": 443}}
    found = policies({**by_name, "networkPolicy": {"kubernetesApi": {"cidrs": cidrs}}})[f"demo-{of}"]["egress"]
    assert found[0]["to"] == [
        {"namespaceSelector": {}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", "10.0.0.1/32"]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::/32", "2001:db8::1/128"]}},
    ]


def test_a_database_may_be_beside_the_kubernetes_api() -> None:
    """Whoever names the subnets of a control plane names its databases' as well; on their port no API listens."""
    beside = {"mode": "external", "host": "db.example.com", "port": 5432}
    found = policies({"database": beside, "networkPolicy": {"kubernetesApi": {"cidrs": ["10.0.0.0/16"]}}})
    assert found["demo-database-clients"]["egress"][0]["to"] == ELSEWHERE


def test_git_ports_are_joined() -> None:
    assert ports(policies({"bundles": [LOCAL, GIT, PRIVATE]})["demo-git"]["egress"][0]) == {22, 443}
    assert "demo-git" not in policies({"bundles": [LOCAL]})


@pytest.mark.parametrize(("executor", "runner"), [("KubernetesExecutor", "worker"), ("LocalExecutor", "scheduler")])
def test_extra_egress_is_for_what_runs_dag_code(executor: str, runner: str) -> None:
    rule = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    policy = policies({"executor": executor, "networkPolicy": {"extraEgress": [rule]}})["demo-dags"]
    assert selected(policy["podSelector"]) == {"dag-processor", "triggerer", runner}
    assert policy["egress"] == [rule]


def test_policies_can_be_left_to_somebody_else() -> None:
    objects = render({"networkPolicy": {"enabled": False}})
    assert not [item for item in objects if item["kind"] == "NetworkPolicy"]
    assert find(objects, "Deployment", "demo-scheduler")
