"""Which flows there are between two tenants' environments and the rest of the world: all pairs, no other than these."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import yaml

from airfield.api import meta
from airfield.environment.template.sandbox import render_values
from airfield.environment.values import context
from airfield.tenant.access import belonging
from airfield.tenant.network import isolation
from builders import blueprint, effective, environment, tenant
from chart.rendered import parse, render_text
from demo.platform import SYSTEM
from networkpolicies import Peer, allowed
from operator_account import render as render_operator

Json = dict[str, Any]
PORTS = (53, 80, 443, 5432, 6443, 8080, 8793, 8794)
KUBERNETES, METADATA, GIT, WAREHOUSE, ANYBODY = "10.0.0.1", "169.254.169.254", "203.0.113.5", "10.9.8.7", "198.51.100.1"
NETWORK = {
    "kubernetesApi": [f"{KUBERNETES}/32"],
    "ingressFrom": ["ingress"],
    "egress": [{"cidr": "10.9.8.0/24", "ports": [5432]}],
}
"""The class: where the API is, who may come in, and a warehouse that DAGs of all tenants may reach."""
BUNDLE = {"bundles": [{"name": "dags", "git": {"url": "https://git.example.com/dags.git", "ref": "main"}}]}


def placed(namespace: str, of_tenant: str = "") -> dict[str, str]:
    return {"kubernetes.io/metadata.name": namespace, **({meta.LABEL_TENANT: of_tenant} if of_tenant else {})}


class World:
    """Two tenants: `a` with two environments in one namespace, `b` with one; the operator, and strangers."""

    def __init__(self) -> None:
        self.policies: list[Json] = []
        self.peers: dict[str, Peer] = {}
        self._addresses = (f"10.244.0.{number}" for number in itertools.count(1))
        of_class = blueprint(network=NETWORK)
        a = tenant("a", ("team-a",), egress=[{"namespace": "shared", "ports": [9000]}])
        b = tenant("b", ("team-b",))
        for team, place, name, executor in (
            (a, "team-a", "a1", "KubernetesExecutor"),
            (a, "team-a", "a2", "LocalExecutor"),
            (b, "team-b", "b1", "KubernetesExecutor"),
        ):
            wanted = environment(name, place, executor=executor, dags=BUNDLE)
            found = effective(wanted, of_class, team)
            values = render_values(None, context(found, {}, operator_namespace=SYSTEM))
            self._take_in(parse(render_text(values, name=name, namespace=place)), place, team.metadata.name)
        for team, place in ((a, "team-a"), (b, "team-b")):
            self.policies += [belonging(team, place, policy) for policy in isolation()]
            self._add(f"{team.metadata.name}-stray", place, {"app": "stray"}, team.metadata.name)
            # What a DAG may call its pods: of an environment that there is not.
            self._add(f"{team.metadata.name}-ghost", place, {meta.LABEL_ENVIRONMENT: "ghost"}, team.metadata.name)
        operator = render_operator()
        self.policies += [each for each in operator if each["kind"] == "NetworkPolicy"]
        (deployment,) = [each for each in operator if each["kind"] == "Deployment"]
        self._add("operator", SYSTEM, deployment["spec"]["template"]["metadata"]["labels"])
        self._add("ingress", "ingress", {"app": "nginx"})
        self._add("store", "shared", {"app": "minio"})
        self._add(
            "stranger", "elsewhere", {"airfield.dev/environment": "a1", "app.kubernetes.io/component": "api-server"}
        )
        for name, address in (
            ("kubernetes", KUBERNETES),
            ("metadata", METADATA),
            ("git", GIT),
            ("warehouse", WAREHOUSE),
            ("anybody", ANYBODY),
        ):
            self.peers[name] = Peer(name, address)

    def _take_in(self, objects: Iterable[Json], namespace: str, of_tenant: str) -> None:
        for obj in objects:
            if obj["kind"] == "NetworkPolicy":
                self.policies.append(obj)
            for name, template in _templates(obj):
                self._add(name, namespace, template["metadata"]["labels"], of_tenant)

    def _add(self, name: str, namespace: str, labels: dict[str, str], of_tenant: str = "") -> None:
        assert name not in self.peers
        self.peers[name] = Peer(name, next(self._addresses), namespace, labels, placed(namespace, of_tenant))

    def flows(self) -> set[tuple[str, str, int]]:
        """All connections by TCP that can be made, of those that begin or end at a pod of a tenant."""
        ours = {name for name, peer in self.peers.items() if peer.namespace in {"team-a", "team-b"}}
        pairs = [
            (a, b) for a, b in itertools.permutations(self.peers.values(), 2) if {a.name, b.name} & ours and a.is_pod
        ]
        return {
            (a.name, b.name, port) for a, b in pairs for port in (*PORTS, 9000) if allowed(self.policies, a, b, port)
        }


def _templates(obj: Json) -> Iterator[tuple[str, Json]]:
    """The pods that an object makes: by environment and component."""
    if obj["kind"] in {"Deployment", "StatefulSet", "Job"}:
        yield _named(obj["spec"]["template"])
    if obj["kind"] == "ConfigMap":
        for text in obj["data"].values():
            if "kind: Pod" in text:
                yield _named(yaml.safe_load(text))


def _named(template: Json) -> tuple[str, Json]:
    labels = template["metadata"]["labels"]
    return f"{labels[meta.LABEL_ENVIRONMENT]}-{labels[meta.LABEL_COMPONENT]}", template


def expected(name: str, team: str, executor: str) -> set[tuple[str, str, int]]:
    """The flows of one environment."""
    kubernetes = executor == "KubernetesExecutor"
    runner = f"{name}-{'worker' if kubernetes else 'scheduler'}"
    api, database = f"{name}-api-server", f"{name}-database"
    flows = {
        (f"{name}-{each}", database, 5432)
        for each in ("api-server", "scheduler", "dag-processor", "triggerer", "migration")
    }
    flows |= {(runner, api, 8080), ("operator", api, 8080), ("operator", database, 5432), ("ingress", api, 8080)}
    runs_dags = {runner, f"{name}-dag-processor", f"{name}-triggerer"}
    flows |= {(each, "warehouse", 5432) for each in runs_dags}
    if team == "a":
        flows |= {(each, "store", 9000) for each in runs_dags}
    fetches = {runner, f"{name}-dag-processor"}
    outside = ("git", "anybody", "warehouse", "ingress", "store", "stranger", f"{team}-stray")
    flows |= {(each, other, 443) for each in fetches for other in outside}
    # A pod of a team's own may be a client of its Airflow.
    flows |= {(f"{team}-stray", api, 8080)}
    if kubernetes:
        flows |= {
            (f"{name}-{each}", "kubernetes", port) for each in ("api-server", "scheduler") for port in (443, 6443)
        }
    return flows


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_all_pairs(world: World) -> None:
    wanted = expected("a1", "a", "KubernetesExecutor") | expected("a2", "a", "LocalExecutor")
    wanted |= expected("b1", "b", "KubernetesExecutor")
    # Names may be looked up anywhere.
    tenants = {name for name, peer in world.peers.items() if peer.namespace in {"team-a", "team-b"}}
    found = world.flows()
    names = {flow for flow in found if flow[2] == 53}
    assert {flow[0] for flow in names} <= tenants
    asked = {(world.peers[a].namespace, world.peers[b].namespace) for a, b, _ in names if b in tenants}
    assert all(here == there for here, there in asked), "who answers in a tenant's namespace is asked by nobody else"
    assert sorted(found - names - wanted) == []
    assert sorted(wanted - found) == []


def test_every_component_is_there(world: World) -> None:
    kinds = ("api-server", "scheduler", "dag-processor", "triggerer", "migration", "database")
    assert {f"{name}-{kind}" for name in ("a1", "a2", "b1") for kind in kinds} | {"a1-worker", "b1-worker"} <= set(
        world.peers
    )


@pytest.mark.parametrize("task", ["a1-worker", "a2-scheduler", "a-ghost"])
@pytest.mark.parametrize("victim", ["b1-api-server", "b1-database", "b1-worker", "kubernetes", "metadata"])
def test_a_task_reaches_no_other_tenant(world: World, task: str, victim: str) -> None:
    """What the issue of isolation comes down to, on every port."""
    ends = world.peers[task], world.peers[victim]
    assert not [port for port in range(1, 10000) if port != 53 and allowed(world.policies, *ends, port)]


def test_a_network_without_policies_is_open(world: World) -> None:
    """The evaluation can say yes: a test that cannot fail is none."""
    assert allowed([], world.peers["a1-worker"], world.peers["b1-database"], 5432)
    ours = [policy for policy in world.policies if policy["metadata"]["namespace"] != "team-b"]
    assert not allowed(ours, world.peers["a1-worker"], world.peers["b1-database"], 5432), "both ends say no"
    assert allowed(ours, world.peers["stranger"], world.peers["b1-database"], 5432)
    assert not allowed(world.policies, world.peers["stranger"], world.peers["b1-database"], 5432)
