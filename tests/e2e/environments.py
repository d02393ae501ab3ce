"""An environment on a real cluster, as its tests see it: through the API server and through Airflow's REST API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from airfield.airflow.rest import Airflow, RestError
from demo.airflow import login, reach, run_dag
from demo.platform import SYSTEM, Platform, PlatformError
from e2e.reading import listed, read
from e2e.waiting import PATIENCE, eventually

Object = dict[str, Any]
T = TypeVar("T")

KINDS = (
    "deployments,statefulsets,pods,jobs,services,configmaps,secrets,serviceaccounts,persistentvolumeclaims,roles,"
    "rolebindings,networkpolicies,poddisruptionbudgets,ingresses"
)
"""Whatever the operator makes for an environment."""
CHURN = frozenset({"Pod", "Deployment", "StatefulSet", "Job", "PersistentVolumeClaim", "PodDisruptionBudget"})
"""Kinds whose status changes by itself: of these only what somebody wants counts."""


@dataclass(frozen=True)
class Environment:
    """The environment `name` in `namespace`."""

    platform: Platform
    namespace: str
    name: str

    def apply(self, **spec: Any) -> None:
        """Make it, or change it; see `manifest`."""
        self.platform.apply([self.manifest(**spec)])

    def manifest(self, **spec: Any) -> Object:
        """Its resource. `spec` is the whole specification, but for what every test's environment has.

        And for what few need: a triggerer runs only where `components` is given.
        """
        common: Object = {"className": "e2e", "stage": "dev", "deletionPolicy": "Delete"}
        # The node is full when requests are, and eight environments ask for more processors than it has.
        modest = {"resources": {"requests": {"cpu": "10m"}}}
        components = dict.fromkeys(("apiServer", "scheduler", "dagProcessor", "workers"), modest)
        common |= {"components": {**components, "triggerer": {"replicas": 0}}}
        metadata = {"name": self.name, "namespace": self.namespace}
        body = {"apiVersion": "airfield.dev/v1alpha1", "kind": "AirflowEnvironment", "metadata": metadata}
        return {**body, "spec": {**common, **spec}}

    def delete(self) -> None:
        """Delete it, if it is there, and wait until it is gone."""
        self.kubectl("delete", "afenv", self.name, "--ignore-not-found", "--wait=false")
        eventually(f"end of {self}", self._is_gone, said=self.last_words)

    def delete_all(self) -> None:
        """Delete it and wait until nothing is left of it.

        What was made a moment before may have pods that the operator has not seen: they end, and free their volumes.
        """
        self.delete()
        left = self.names()
        assert {name.partition("/")[0] for name in left} <= {"Pod", "PersistentVolumeClaim"}, left
        eventually(f"end of all that {self} had", lambda: not self.names(), said=self.names)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in its namespace."""
        return self.platform.kubectl("-n", self.namespace, *arguments)

    def get(self, *arguments: str) -> Object:
        """`kubectl get … -o json` in its namespace."""
        return self.platform.get("-n", self.namespace, *arguments)

    def items(self, kinds: str) -> list[Object]:
        """The objects of these kinds that carry its label."""
        selector = f"airfield.dev/environment={self.name}"
        return listed(self.platform.cluster.kubeconfig, kinds, self.namespace, selector)

    def names(self, kinds: str = KINDS) -> set[str]:
        """`Kind/name` of what it has."""
        return {f"{each['kind']}/{each['metadata']['name']}" for each in self.items(kinds)}

    def picture(self) -> dict[str, tuple[object, ...]]:
        """What would be another if the environment had been touched: of pods, also whether they were restarted."""
        found = self.versions(KINDS)
        assert len([name for name in found if name.startswith("Pod/")]) >= 3
        return found

    def versions(self, kinds: str) -> dict[str, tuple[object, ...]]:
        """The same of some kinds."""
        found: dict[str, tuple[object, ...]] = {}
        for each in self.items(kinds):
            metadata = each["metadata"]
            restarts = [status["restartCount"] for status in each.get("status", {}).get("containerStatuses", [])]
            version = metadata.get("generation") if each["kind"] in CHURN else metadata["resourceVersion"]
            found[f"{each['kind']}/{metadata['name']}"] = (metadata["uid"], version, restarts)
        return found

    def pod(self, component: str) -> Object:
        """The newest pod of a component."""
        pods = [each for each in self.items("pods") if each["metadata"]["labels"][COMPONENT] == component]
        return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def status(self) -> Object:
        """Its status, {} before the operator has seen it."""
        found: Object = self.resource().get("status", {})
        return found

    def resource(self) -> Object:
        """The AirflowEnvironment itself."""
        found = self._look()
        if found is None:
            raise PlatformError(f"{self} is not there")
        return found

    def _look(self) -> Object | None:
        path = f"/apis/airfield.dev/v1alpha1/namespaces/{self.namespace}/airflowenvironments/{self.name}"
        return read(self.platform.cluster.kubeconfig, path)

    def condition(self, kind: str) -> Object:
        """The condition of that type, {} when there is none."""
        conditions: list[Object] = self.status().get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def until(self, kind: str, status: str, *reasons: str, seconds: float = PATIENCE) -> Object:
        """Wait for a condition's status, and for one of the reasons if any are given; the condition."""

        def look() -> Object | None:
            found = self.condition(kind)
            fits = found.get("status") == status and (not reasons or found.get("reason") in reasons)
            return found if fits else None

        return eventually(f"{self}: {kind}={status} {reasons}", look, seconds, self.describe)

    def until_ready(self) -> Object:
        """Wait until the operator has seen the latest change and the environment is Ready."""

        def look() -> Object | None:
            found = self.resource()
            status = found.get("status", {})
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            ready = {"type": "Ready", "status": "True"}.items()
            return found if seen and any(ready <= each.items() for each in status["conditions"]) else None

        return eventually(f"{self}: Ready", look, said=self.describe)

    def _is_gone(self) -> bool:
        return self._look() is None

    def last_words(self) -> str:
        """Also what the operator said of it lately, and what the cluster did to its pods."""
        said = self._try("-n", SYSTEM, "logs", "-l", "app.kubernetes.io/name=airfield", "--tail=40")
        events = self._try("-n", self.namespace, "get", "events", "--sort-by=.lastTimestamp")
        try:
            described = self.describe()
        except PlatformError as error:
            described = str(error)
        return f"{described}\n{said}\n" + "\n".join(events.splitlines()[-20:])

    def _try(self, *arguments: str) -> str:
        """What kubectl says, be it that it failed: a test has failed already, and that must not be hidden."""
        try:
            return self.platform.kubectl(*arguments)
        except PlatformError as error:
            return f"{error}\n"

    def describe(self) -> str:
        """What a person would look at first."""
        conditions = "\n".join(
            f"  {each['type']}={each['status']} {each['reason']}: {each['message']}"
            for each in self.status().get("conditions", [])
        )
        return f"\n{conditions}\n{self.kubectl('get', 'pods')}"

    def succeeds(self, dag: str) -> None:
        """Run a DAG through the REST API as soon as Airflow knows it, and see it succeed."""

        def run() -> str:
            try:
                return asyncio.run(run_dag(self.platform, self.namespace, self.name, dag))
            except RestError as error:
                if error.status == 0:  # a busy machine; another run does no harm
                    return ""
                raise

        state = eventually(f"end of a run of {dag} in {self}", run, said=self.describe)
        assert state == "success", f"{dag} in {self}: {state}\n{self.last_words()}\n{self.task_logs()}"

    def task_logs(self) -> str:
        """What the scheduler and the tasks said."""
        find = "find /opt/airflow/logs -name '*.log' -mmin -10 -exec tail -n 30 {} +"
        scheduler = f"deployment/{self.name}-scheduler"
        said = self._try("-n", self.namespace, "logs", scheduler, "--tail=60")
        return said + self._try("-n", self.namespace, "exec", scheduler, "--", "sh", "-c", f"{find} || true")

    def ask(self, question: Callable[[Airflow], Awaitable[T]]) -> T:
        """Ask Airflow's REST API something, as the administrator."""

        async def conversation() -> T:
            async with self._airflow() as airflow:
                return await question(airflow)

        return asyncio.run(conversation())

    @asynccontextmanager
    async def _airflow(self) -> AsyncIterator[Airflow]:
        credentials = login(self.platform, self.namespace, self.name)
        async with reach(self.platform, self.namespace, self.name) as url, aiohttp.ClientSession() as http:
            yield await Airflow.login(http, url, *credentials)

    def __str__(self) -> str:
        return f"environment {self.namespace}/{self.name}"


COMPONENT = "app.kubernetes.io/component"
