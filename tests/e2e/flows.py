"""Who reaches whom by TCP: pods of an environment, of nobody and of a neighbour; and whom policies let them reach."""

import json
from collections.abc import Mapping

from demo.platform import GIT
from e2e.databases import NAMESPACE as DATABASES
from e2e.environments import Environment

NAMESPACE = "isolated"
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


def put_pod(environment: Environment, name: str, labels: Mapping[str, str]) -> None:
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


def pods_by_component(environment: Environment) -> dict[str, str]:
    """The pods that try to reach something, by what they say that they are."""
    components = ("scheduler", "dag-processor", "triggerer")
    return {"worker": "task", "stray": "stray", "ghost": "ghost"} | {
        each: environment.pod(each)["metadata"]["name"] for each in components
    }
