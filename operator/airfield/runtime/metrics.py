"""What Airfield tells Prometheus about itself. One object that is passed around; nothing global."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECONCILE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters and gauges, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.reconcile_seconds = Histogram(
            "airfield_reconcile_duration_seconds",
            "Time spent on one reconcile, by kind of resource and outcome",
            ["kind", "outcome"],
            buckets=RECONCILE_BUCKETS,
            registry=registry,
        )
        self.api_requests = Counter(
            "airfield_api_requests",
            "Requests to the Kubernetes API by verb, kind and HTTP status (0: no answer)",
            ["verb", "kind", "code"],
            registry=registry,
        )
        self.helm_renders = Counter(
            "airfield_helm_renders", "Charts rendered, by outcome: ok, error, cached", ["outcome"], registry=registry
        )
        self._environments = Gauge(
            "airfield_environments", "Environments by the state of their Ready condition", ["ready"], registry=registry
        )
        self._queue_depth = Gauge(
            "airfield_queue_depth", "Keys that wait for a worker, by queue", ["queue"], registry=registry
        )
        self._queue_oldest = Gauge(
            "airfield_queue_oldest_age_seconds",
            "Age of the key that has waited longest, by queue",
            ["queue"],
            registry=registry,
        )

    def on_request(self, verb: str, kind: str, status: int) -> None:
        """Count a request to the Kubernetes API; the shape of KubeClient's hook."""
        self.api_requests.labels(verb, kind, str(status)).inc()

    def on_render(self, outcome: str) -> None:
        """Count a render; the shape of Helm's hook."""
        self.helm_renders.labels(outcome).inc()

    def watch_queue(self, queue: str, depth: Callable[[], float], oldest_age: Callable[[], float]) -> None:
        """Have a queue's gauges read at every scrape."""
        self._queue_depth.labels(queue).set_function(depth)
        self._queue_oldest.labels(queue).set_function(oldest_age)

    def set_environments(self, by_ready: Mapping[str, int]) -> None:
        """Set the number of environments for each state of Ready ("True", "False", "Unknown"); the rest become 0."""
        for ready in ("True", "False", "Unknown"):
            self._environments.labels(ready).set(by_ready.get(ready, 0))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
