"""Real packets between tenants: what policies allow suffices for Airflow, and nothing else gets through."""

import json
from collections.abc import Iterator, Mapping

import pytest

from demo.platform import GIT
from e2e.databases import NAMESPACE as DATABASES
from e2e.databases import DatabaseServer
from e2e.enforcer import Enforcer
from e2e.environments import Environment
from e2e.waiting import Stopwatch, eventually
from localcluster import Cluster
from localcluster.cluster import current_kubeconfig
from localcluster.instance import Instance

pytestmark = [
    pytest.mark.node,
    pytest.mark.usefixtures("steady"),
    pytest.mark.skipif(current_kubeconfig() is not None, reason="the node must be one whose network is ours"),
]

NAMESPACE = "isolated"
BUNDLE = {"name": "dags", "git": {"url": f"http://git.{GIT}.svc.cluster.local/dags.git", "ref": "main"}}
CONNECT = """
import json, socket, sys
found = {}
for target in json.load(sys.stdin):
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        found[target] = True
    except OSError as error:
        found[target] = False
print(json.dumps(found))
"""
OWN_API, OWN_DATABASE = f"airflow-api-server.{NAMESPACE}.svc:8080", f"airflow-db.{NAMESPACE}.svc:5432"
OTHER_API, OTHER_DATABASE = "airflow-api-server.bystander.svc:8080", "airflow-db.bystander.svc:5432"
SERVER, REPOSITORY, KUBERNETES = f"postgres.{DATABASES}.svc:5432", f"git.{GIT}.svc:80", "kubernetes.default.svc:443"
TARGETS = (OWN_API, OWN_DATABASE, OTHER_API, OTHER_DATABASE, SERVER, REPOSITORY, KUBERNETES)
REACHED: Mapping[str, set[str]] = {
    "worker": {OWN_API, REPOSITORY},
    "scheduler": {OWN_DATABASE, KUBERNETES},
    "dag-processor": {OWN_DATABASE, REPOSITORY},
    "triggerer": {OWN_DATABASE},
    "stray": {OWN_API},
    "ghost": set(),
}
"""What may be reached from where. A stray pod in a tenant's namespace is of no environment; a ghost says that it is of
one that there is not."""


@pytest.fixture(scope="module")
def isolated(server: DatabaseServer, bystander: Environment) -> Iterator[Environment]:
    """A tenant whose namespace the operator makes, with an environment; its neighbour is another tenant's."""
    platform = server.platform
    spec = {"namespaces": [{"name": NAMESPACE}], "allowedClasses": ["e2e"]}
    tenant = {"apiVersion": "airfield.dev/v1alpha1", "kind": "AirflowTenant", "metadata": {"name": NAMESPACE}}
    platform.apply([{**tenant, "spec": spec}])
    eventually("namespace", lambda: platform.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"))
    environment = Environment(platform, NAMESPACE, "airflow")
    environment.apply(
        executor="KubernetesExecutor",
        database={"embedded": {"size": "1Gi"}},
        dags={"bundles": [BUNDLE]},
        components={},
    )
    assert bystander.condition("Ready")["status"] == "True"
    environment.until_ready()
    _put_pod(environment, "task", {"airfield.dev/environment": "airflow", "app.kubernetes.io/component": "worker"})
    _put_pod(environment, "stray", {"app": "stray"})
    _put_pod(environment, "ghost", {"airfield.dev/environment": "ghost", "app.kubernetes.io/component": "worker"})
    yield environment
    environment.kubectl("delete", "pod", "task", "stray", "ghost", "--wait=false", "--grace-period=1")
    environment.delete_all()
    platform.kubectl("wait", "--for=jsonpath={.status.environments}=0", "--timeout=60s", f"aftenant/{NAMESPACE}")
    platform.kubectl("patch", "aftenant", NAMESPACE, "--type=merge", "-p", '{"spec":{"deletionPolicy":"Delete"}}')
    platform.kubectl("delete", "aftenant", NAMESPACE, "--timeout=120s")


def _put_pod(environment: Environment, name: str, labels: Mapping[str, str]) -> None:
    """A pod with the environment's image that sleeps."""
    image = environment.status()["image"]
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container = {
        "name": "base",
        "image": image,
        "command": ["sleep", "infinity"],
        "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    spec = {"containers": [container], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1}
    metadata = {"name": name, "namespace": environment.namespace, "labels": dict(labels)}
    environment.platform.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}])
    environment.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")


def reached(environment: Environment, pod: str) -> set[str]:
    """Which of the targets a pod can connect to."""
    command = ("exec", "-i", pod, "--", "python", "-c", CONNECT)
    said = environment.platform.kubectl("-n", environment.namespace, *command, stdin=json.dumps(TARGETS))
    return {target for target, found in json.loads(said).items() if found}


def pods(environment: Environment) -> dict[str, str]:
    components = ("scheduler", "dag-processor", "triggerer")
    return {"worker": "task", "stray": "stray", "ghost": "ghost"} | {
        each: environment.pod(each)["metadata"]["name"] for each in components
    }


@pytest.fixture(scope="module")
def enforcer(isolated: Environment, node_cluster: Cluster) -> Enforcer:
    instance = Instance.load(node_cluster.name)
    assert instance is not None
    return Enforcer(isolated.platform, (NAMESPACE, "bystander"), instance)


def test_what_is_allowed_suffices_and_nothing_else_is(isolated: Environment, enforcer: Enforcer) -> None:
    watch = Stopwatch()
    for pod in pods(isolated).values():  # without anybody who enforces them, policies are paper
        assert reached(isolated, pod) == set(TARGETS)
    watch.lap("all flows without enforcement")
    with enforcer.enforcing():
        for component, pod in pods(isolated).items():
            assert reached(isolated, pod) == REACHED[component], component
        watch.lap("all flows with enforcement")
        isolated.succeeds("hello")
        watch.lap("a DAG's tasks in pods of their own, with enforcement")
        assert isolated.condition("Ready")["status"] == "True", isolated.describe()


def test_what_a_tenant_may_reach_in_addition(isolated: Environment, enforcer: Enforcer) -> None:
    """Only what runs DAGs may; and the policy follows the tenant."""
    platform = isolated.platform
    egress = json.dumps({"spec": {"egress": [{"namespace": DATABASES, "ports": [5432]}]}})
    platform.kubectl("patch", "aftenant", NAMESPACE, "--type=merge", "-p", egress)
    eventually("policy", lambda: isolated.kubectl("get", "networkpolicy", "airflow-dags", "--ignore-not-found"))
    with enforcer.enforcing():
        found = {component: reached(isolated, pod) for component, pod in pods(isolated).items()}
    more = {"worker", "dag-processor", "triggerer"}
    assert found == {each: REACHED[each] | ({SERVER} if each in more else set()) for each in REACHED}
    platform.kubectl("patch", "aftenant", NAMESPACE, "--type=json", "-p", '[{"op":"remove","path":"/spec/egress"}]')
    eventually(
        "end of the policy", lambda: not isolated.kubectl("get", "networkpolicy", "airflow-dags", "--ignore-not-found")
    )
