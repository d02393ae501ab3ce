"""One environment, what is done to it, and a witness who writes down what it says of itself meanwhile."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from demo.platform import Platform, PlatformError
from e2e.databases import DatabaseServer
from e2e.environments import COMPONENT, Environment
from e2e.processes import operators
from e2e.waiting import Stopwatch, eventually
from reliability.record import Finding, Record

NAMESPACE = "disturbed"
BUNDLE = {"name": "examples", "git": {"url": "http://git.airfield-demo.svc.cluster.local/dags.git", "ref": "main"}}
SILENCE = "*the API server does not answer*"


class Witness:
    """Looks at an environment's Ready condition again and again. `words`: what it said, without repetitions."""

    def __init__(self, environment: Environment) -> None:
        self.words: list[str] = []
        self._environment = environment
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.3):
            word = self._look()
            if word and self.words[-1:] != [word]:
                self.words.append(word)

    def _look(self) -> str:
        try:
            return str(self._environment.condition("Ready").get("reason", ""))
        except PlatformError:
            return SILENCE


@dataclass
class Scene:
    """Where an environment is made, disturbed, and seen to recover."""

    server: DatabaseServer
    record: Record
    name: str
    environment: Environment = field(init=False)

    def __post_init__(self) -> None:
        self.environment = Environment(self.platform, NAMESPACE, self.name)

    @property
    def platform(self) -> Platform:
        return self.server.platform

    def create(self, **spec: Any) -> None:
        """Begin to make the environment, on an embedded database unless told otherwise."""
        database = {"embedded": {"size": "1Gi"}}
        self.environment.apply(
            **{"executor": "LocalExecutor", "database": database, "dags": {"bundles": [BUNDLE]}} | spec
        )

    def until(self, what: str, look: Callable[[], object]) -> None:
        """Wait for a moment in the environment's life."""
        eventually(what, look, said=self.environment.describe)

    def running(self, component: str) -> bool:
        """Whether a container of that component runs."""
        return any(
            "running" in each["state"]
            for pod in self.environment.items("pods")
            if pod["metadata"]["labels"].get(COMPONENT) == component
            for each in pod["status"].get("containerStatuses", [])
        )

    @contextmanager
    def disturbed(self, fault: str, moment: str, mended: str) -> Iterator[Stopwatch]:
        """Do harm within the block and, where nothing else does, remove its cause; then see the environment recover.

        The stopwatch runs from the beginning of the block. Call its `lap` when the cause is removed later than that.
        """
        with Witness(self.environment) as witness:
            watch = Stopwatch()
            yield watch
            self.environment.until_ready()
            seconds = watch.lap(f"{fault}: Ready again")
        self.environment.succeeds("hello")
        words = [word for word in witness.words if word != "Serving"]
        self.record.findings.append(Finding(fault, moment, " → ".join(words), mended, seconds))

    def started_anew(self, pod: dict[str, Any]) -> bool:
        """Whether every container of a pod was started again since, and runs."""
        now = self.environment.platform.get("-n", pod["metadata"]["namespace"], "pod", pod["metadata"]["name"])
        before = {each["name"]: each["restartCount"] for each in pod["status"]["containerStatuses"]}
        return all(
            each["restartCount"] > before[each["name"]] and "running" in each["state"]
            for each in now["status"]["containerStatuses"]
        )

    def operators(self) -> list[dict[str, Any]]:
        """The operator's pods, the leader first."""
        return operators(self.platform)
