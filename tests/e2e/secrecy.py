"""That no secret value stands anywhere but in a Secret."""

import base64
from collections.abc import Iterable

from airfield.environment.ensure.keys import PUBLIC_FIELDS
from demo.platform import SYSTEM, PlatformError
from e2e.environments import Environment

SHORTEST = 12
"""Characters that a piece of a secret must have to be looked for: `admin` stands in many places."""


def leaks(environment: Environment) -> list[str]:
    """Where pieces of the namespace's Secrets are found: in objects, statuses, events, and logs, the operators' too."""
    places = {
        kind: environment.kubectl("get", kind, "-o", "yaml")
        for kind in ("configmaps", "airflowenvironments", "events", "pods", "deployments", "statefulsets", "jobs")
    }
    places["tenants and classes"] = environment.kubectl("get", "airflowtenants,airflowenvironmentclasses", "-o", "yaml")
    places["the operators' logs"] = environment.platform.kubectl(
        *("-n", SYSTEM, "logs", "-l", "app.kubernetes.io/name=airfield", "--tail=-1")
    )
    logs = dict(_logs(environment))
    assert any(logs.values()) or not logs, "nobody has said anything"
    places |= logs
    return [
        f"{secret} in {place}"
        for secret, piece in _pieces(environment)
        for place, text in places.items()
        if piece in text or base64.b64encode(piece.encode()).decode().rstrip("=") in text
    ]


def _logs(environment: Environment) -> Iterable[tuple[str, str]]:
    """What every container of the namespace has said, also before it was restarted."""
    for pod in environment.get("pods")["items"]:
        name, status = pod["metadata"]["name"], pod["status"]
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            lives = [] if "waiting" in container["state"] else ["--previous=false"]
            lives += ["--previous"] if container["restartCount"] else []
            for life in lives:
                arguments = ("logs", name, "-c", container["name"], "--tail=-1", life)
                try:
                    yield " ".join(arguments), environment.kubectl(*arguments)
                except PlatformError as error:
                    if "not found" not in str(error):  # unless the pod has gone since
                        raise


def _pieces(environment: Environment) -> Iterable[tuple[str, str]]:
    for secret in environment.get("secrets")["items"]:
        for field, value in secret.get("data", {}).items():
            if field not in PUBLIC_FIELDS:
                for line in base64.b64decode(value).decode().splitlines():
                    if len(line) >= SHORTEST and not line.startswith("-----"):
                        yield f"{secret['metadata']['name']}.{field}", line
