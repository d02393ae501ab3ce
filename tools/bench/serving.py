"""When an Airflow serves, seen from outside and in the same way whoever set it up."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.1
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
HEALTHY = ("metadatabase", "scheduler", "dag_processor", "triggerer")
LABEL = "app.kubernetes.io/component"
MILESTONES = ("database ready", "components started", "API server answers", "serving")
"""What happens on the way, in this order."""

Object = dict[str, Any]


class Observer:
    """One namespace of the cluster whose API server is at `address`:`port`; keeps its connection open."""

    def __init__(self, address: str, port: int, pki: Path, namespace: str) -> None:
        tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._connection = http.client.HTTPSConnection(address, port, timeout=10, context=tls)
        self._namespace = namespace

    def wait(self, started: float, seconds: float) -> dict[str, float]:
        """Seconds from `started` (time.monotonic) to each milestone. TimeoutError if it does not serve in `seconds`."""
        found: dict[str, float] = {}
        while "serving" not in found:
            for milestone in self._reached():
                found.setdefault(milestone, time.monotonic() - started)
            if time.monotonic() - started > seconds:
                raise TimeoutError(f"{self._namespace} does not serve after {seconds:.0f} s: {found}")
            time.sleep(POLL_SECONDS)
        return found

    def _reached(self) -> Iterator[str]:
        pods = {pod["metadata"]["labels"].get(LABEL): pod for pod in self._list("api/v1", "pods")}
        if "database" in pods and _ready(pods["database"]):
            yield "database ready"
        if all(name in pods and _running(pods[name], name) for name in COMPONENTS):
            yield "components started"
        workloads = [*self._list("apis/apps/v1", "deployments"), *self._list("apis/apps/v1", "statefulsets")]
        available = {workload["metadata"]["labels_"].get(LABEL): _available(workload) for workload in workloads}
        if not available.get("api-server"):
            return
        yield "API server answers"
        if all(available.get(name) for name in COMPONENTS) and all(available.values()) and self._healthy():
            yield "serving"

    def _list(self, group: str, kind: str) -> list[Object]:
        document = self._get(f"/{group}/namespaces/{self._namespace}/{kind}?resourceVersion=0")
        items: list[Object] = document["items"]
        return items
