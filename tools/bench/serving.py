"""When an Airflow serves, seen from outside and in the same way whoever set it up."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localcluster.api import as_administrator

POLL_SECONDS = 0.1
LABEL = "app.kubernetes.io/component"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
HEALTHY = ("metadatabase", "scheduler", "dag_processor", "triggerer")
MILESTONES = ("database ready", "components started", "API server ready", "serving")
"""What happens on the way, in this order."""

Object = dict[str, Any]


class Observer:
    """Looks at one namespace of the cluster whose API server is at `address`:`port`, over one connection."""

    def __init__(self, address: str, port: int, pki: Path, namespace: str) -> None:
        self._connection = http.client.HTTPSConnection(address, port, timeout=30, context=as_administrator(pki))
        self._namespace = namespace

    def wait(self, started: float, seconds: float) -> dict[str, float]:
        """Seconds from `started` (time.monotonic) to each milestone; TimeoutError after `seconds`."""
        found: dict[str, float] = {}
        while "serving" not in found:
            for milestone in self._reached():
                found.setdefault(milestone, time.monotonic() - started)
            if time.monotonic() - started > seconds:
                raise TimeoutError(
                    f"{self._namespace} does not serve after {seconds:.0f} s; so far: {found or 'nothing'}"
                )
            time.sleep(POLL_SECONDS)
        return found

    def _reached(self) -> Iterator[str]:
        pods = {pod["metadata"]["labels"].get(LABEL): pod for pod in self._list("api/v1", "pods")}
        if _condition(pods.get("database"), "Ready"):
            yield "database ready"
        if all(_runs(pods.get(name)) for name in COMPONENTS):
            yield "components started"
        workloads = [*self._list("apis/apps/v1", "deployments"), *self._list("apis/apps/v1", "statefulsets")]
        available = {each["spec"]["selector"]["matchLabels"].get(LABEL): _available(each) for each in workloads}
        if not available.get("api-server"):
            return
        yield "API server ready"
        if all(name in available for name in COMPONENTS) and all(available.values()) and self._healthy():
            yield "serving"

    def _healthy(self) -> bool:
        services = self._list("api/v1", "services")
        address = next(
            each["spec"]["clusterIP"] for each in services if each["metadata"]["name"].endswith("api-server")
        )
        airflow = http.client.HTTPConnection(address, 8080, timeout=5)
        try:
            airflow.request("GET", "/api/v2/monitor/health")
            report = json.loads(airflow.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            airflow.close()
        return all((report.get(name) or {}).get("status") == "healthy" for name in HEALTHY)

    def _list(self, group: str, kind: str) -> list[Object]:
        # resourceVersion=0: out of the API server's memory, since asking must not cost what is measured.
        self._connection.request("GET", f"/{group}/namespaces/{self._namespace}/{kind}?resourceVersion=0")
        response = self._connection.getresponse()
        items: list[Object] = json.loads(response.read())["items"]
        return items


def _condition(pod: Object | None, kind: str) -> bool:
    conditions = pod["status"].get("conditions", []) if pod else []
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)


def _runs(pod: Object | None) -> bool:
    """Whether the container itself runs, after all init containers."""
    return any("running" in each["state"] for each in (pod["status"].get("containerStatuses", []) if pod else []))


def _available(workload: Object) -> bool:
    status, wanted = workload.get("status", {}), workload["spec"]["replicas"]
    current = status.get("observedGeneration") == workload["metadata"]["generation"]
    return bool(current and status.get("updatedReplicas") == status.get("availableReplicas", 0) == wanted)
