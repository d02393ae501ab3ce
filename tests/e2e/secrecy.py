"""That no secret value stands anywhere but in a Secret."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airfield.environment.ensure.keys import PUBLIC_FIELDS
from demo.platform import SYSTEM
from e2e.environments import Environment
from e2e.reading import listed, log

SHORTEST = 12
"""Characters that a piece of a secret must have to be looked for: `admin` stands in many places."""


def leaks(environment: Environment) -> list[str]:
    """Where pieces of the namespace's Secrets are found: in objects, statuses, events, and logs, the operators' too."""
    kubeconfig, namespace = environment.platform.cluster.kubeconfig, environment.namespace
    places = {
        kind: "\n".join(_texts(listed(kubeconfig, kind, namespace)))
        for kind in ("configmaps", "airflowenvironments", "events", "pods", "deployments", "statefulsets", "jobs")
    }
    ours = listed(kubeconfig, "airflowtenants,airflowenvironmentclasses", "")
    places["tenants and classes"] = "\n".join(_texts(ours))
    of_operators = dict(_logs(kubeconfig, SYSTEM, "app.kubernetes.io/name=airfield"))
    assert any(of_operators.values()), "no operator has said anything"
    logs = dict(_logs(kubeconfig, namespace))
    assert any(logs.values()) or not logs, "nobody has said anything"
    places |= of_operators | logs
    return [
        f"{secret} in {place}"
        for secret, piece in _pieces(environment)
        for place, text in places.items()
        if piece in text or base64.b64encode(piece.encode()).decode().rstrip("=") in text
    ]


def _texts(document: Any) -> Iterable[str]:
    """Every text in it."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for key, value in document.items():
            yield key
            yield from _texts(value)
    elif isinstance(document, list):
        for each in document:
            yield from _texts(each)


def _logs(kubeconfig: Path, namespace: str, selector: str = "") -> Iterable[tuple[str, str]]:
    """What every container of the namespace has said, also before it was restarted."""
    for pod in listed(kubeconfig, "pods", namespace, selector):
        name, status = pod["metadata"]["name"], pod["status"]
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            lives = [] if "waiting" in container["state"] else [False]
            lives += [True] if container["restartCount"] else []
            for previous in lives:
                where = f"the log of {name}/{container['name']}{' before' if previous else ''}"
                said = log(kubeconfig, namespace, name, container["name"], previous=previous)
                if said is not None:
                    yield where, said


def _pieces(environment: Environment) -> Iterable[tuple[str, str]]:
    for secret in listed(environment.platform.cluster.kubeconfig, "secrets", environment.namespace):
        for field, value in secret.get("data", {}).items():
            if field not in PUBLIC_FIELDS:
                for line in base64.b64decode(value).decode().splitlines():
                    if len(line) >= SHORTEST and not line.startswith("-----"):
                        yield f"{secret['metadata']['name']}.{field}", line
