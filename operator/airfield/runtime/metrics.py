"""What Airfield tells Prometheus about itself. One object that is passed around; nothing global.

docs/metrics.md is generated from this registry. What is counted per environment is bounded: an environment has two
series, four for what it requests and costs, two for what it uses, two for its certificate, and every other label has
few values.
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric

RECONCILE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class EnvironmentState(NamedTuple):
    """What is told of one environment; "" where something is not known yet."""

    namespace: str
    name: str
    tenant: str = ""
    blueprint: str = ""
    version: str = ""
    stage: str = ""
    ready: str = "Unknown"
    """True, False or Unknown."""
    reason: str = ""
    stalled: bool = False
    paused: bool = False
    certificate: str = ""
    """Why its certificate does not do, or not for long; "" when there is nothing to say."""
    expiry: float | None = None
    """When its certificate expires, in seconds since 1970."""
    conditions: tuple[tuple[str, str], ...] = ()
    """Type and status of each that it has."""


class CostState(NamedTuple):
    """What an environment requests and uses, tasks included, and what that costs."""

    namespace: str
    name: str
    tenant: str
    cost_centre: str
    currency: str
    """Empty where it has no price."""
    cpu: float
    memory: float
    storage: float
    cost: float
    """By the hour."""
    used_cpu: float
    used_memory: float
    """0 where neither is known: no pod that runs needs none."""
    used_storage: float
    """0 where it is not known."""


class Metrics:
    """Counters and gauges, in a registry of their own."""

    def __init__(self, version: str = "") -> None:
        registry = self.registry = CollectorRegistry()
        self.reconcile_seconds = Histogram(
            "airfield_reconcile_duration_seconds",
            "Time spent on one reconcile, by kind of resource and outcome: ok, error",
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
        self.watch_events = Counter(
            "airfield_watch_events", "Events that the watches brought, by kind of object", ["kind"], registry=registry
        )
        self.helm_renders = Counter(
            "airfield_helm_renders", "Charts rendered, by outcome: ok, error, cached", ["outcome"], registry=registry
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
        self._leader = Gauge(
            "airfield_leader", "1 on the replica that reconciles and writes, 0 on the others", registry=registry
        )
        self._relist_age = Gauge(
            "airfield_relist_age_seconds", "Since everything was last listed with success", registry=registry
        )
        self._watch_age = Gauge(
            "airfield_watch_age_seconds",
            "Since the watch that has been silent for longest (kopf's apart) was granted, or said something",
            registry=registry,
        )
        self._resync = Gauge(
            "airfield_resync_interval_seconds", "How often everything is to be listed", registry=registry
        )
        self._environments = _Environments()
        registry.register(self._environments)
        self._costs = _Costs()
        registry.register(self._costs)
        build = Gauge(
            "airfield_build_info", "Always 1; what this operator is", ["version", "python"], registry=registry
        )
        build.labels(version, platform.python_version()).set(1)
        ProcessCollector(registry=registry)

    def on_request(self, verb: str, kind: str, status: int) -> None:
        """Count a request to the Kubernetes API; the shape of KubeClient's hook."""
        self.api_requests.labels(verb, kind, str(status)).inc()

    def on_render(self, outcome: str) -> None:
        """Count a render; the shape of Helm's hook."""
        self.helm_renders.labels(outcome).inc()

    def on_event(self, kind: str) -> None:
        """Count a watch event."""
        self.watch_events.labels(kind).inc()

    def watch_queue(self, queue: str, depth: Callable[[], float], oldest_age: Callable[[], float]) -> None:
        """Have a queue's gauges read at every scrape."""
        self._queue_depth.labels(queue).set_function(depth)
        self._queue_oldest.labels(queue).set_function(oldest_age)

    def watch_leadership(self, leading: Callable[[], bool]) -> None:
        """Have it read at every scrape whether this replica leads."""
        self._leader.set_function(lambda: float(leading()))

    def watch_relists(self, age: Callable[[], float], unheard: Callable[[], float], interval: float) -> None:
        """Have the seconds since the last complete list, and since the watches' last words, read at every scrape.

        `interval`: how many seconds there should be between two lists.
        """
        self._relist_age.set_function(age)
        self._watch_age.set_function(unheard)
        self._resync.set(interval)

    def watch_environments(self, states: Callable[[], Iterable[EnvironmentState]]) -> None:
        """Have the states of all environments read at every scrape."""
        self._environments.states = states

    def watch_costs(self, states: Callable[[], Iterable[CostState]]) -> None:
        """Have it read at every scrape what environments request, use and cost."""
        self._costs.states = states

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Environments(Collector):
    """The fleet, counted at every scrape, so that nothing is left of an environment that has gone."""

    def __init__(self) -> None:
        self.states: Callable[[], Iterable[EnvironmentState]] = tuple

    def collect(self) -> Iterator[Metric]:
        """All series about environments."""
        counts = GaugeMetricFamily(
            "airfield_environments",
            "Environments by tenant, class, version, stage, and by Ready's status and reason",
            labels=["tenant", "class", "version", "stage", "ready", "reason"],
        )
        info = GaugeMetricFamily(
            "airfield_environment_info",
            "Always 1; what an environment is, to be joined by namespace and name",
            labels=["namespace", "name", "tenant", "class", "version", "stage"],
        )
        ready = GaugeMetricFamily(
            "airfield_environment_ready", "1 if an environment is Ready, else 0", labels=["namespace", "name"]
        )
        stalled = GaugeMetricFamily(
            "airfield_environment_stalled",
            "1, as long as an environment waits for somebody to change something; else there is no such series",
            labels=["namespace", "name", "reason"],
        )
        paused = GaugeMetricFamily(
            "airfield_environment_paused",
            "1, as long as an environment is paused; else there is no such series",
            labels=["namespace", "name"],
        )
        conditions = GaugeMetricFamily(
            "airfield_environment_conditions",
            "Environments that have a condition, by its type and status",
            labels=["condition", "status"],
        )
        certificates = GaugeMetricFamily(
            "airfield_certificate_problem",
            "1, as long as an environment's certificate does not do, or not for long; else there is no such series",
            labels=["namespace", "name", "reason"],
        )
        expiry = GaugeMetricFamily(
            "airfield_certificate_expiry_timestamp_seconds",
            "When the certificate expires that an environment is served with, where it is in a Secret of its namespace",
            labels=["namespace", "name"],
        )
        tally: Tally[tuple[str, ...]] = Tally()
        having: Tally[tuple[str, str]] = Tally()
        for state in self.states():
            what = (state.tenant, state.blueprint, state.version, state.stage)
            tally[*what, state.ready, state.reason] += 1
            having.update(state.conditions)
            info.add_metric([state.namespace, state.name, *what], 1)
            ready.add_metric([state.namespace, state.name], float(state.ready == "True"))
            if state.stalled:
                stalled.add_metric([state.namespace, state.name, state.reason], 1)
            if state.paused:
                paused.add_metric([state.namespace, state.name], 1)
            if state.certificate:
                certificates.add_metric([state.namespace, state.name, state.certificate], 1)
            if state.expiry is not None:
                expiry.add_metric([state.namespace, state.name], state.expiry)
        for labels, count in sorted(tally.items()):
            counts.add_metric(labels, count)
        for condition, count in sorted(having.items()):
            conditions.add_metric(condition, count)
        yield from (counts, conditions, info, ready, stalled, paused, certificates, expiry)


class _Costs(Collector):
    """What the fleet requests, uses and costs, looked up at every scrape."""

    def __init__(self) -> None:
        self.states: Callable[[], Iterable[CostState]] = tuple

    def collect(self) -> Iterator[Metric]:
        """All series about costs."""
        here = ["namespace", "name"]
        cpu = GaugeMetricFamily(
            "airfield_environment_requested_cpu_cores", "Cores that an environment's pods request", labels=here
        )
        memory = GaugeMetricFamily(
            "airfield_environment_requested_memory_bytes", "Memory that an environment's pods request", labels=here
        )
        storage = GaugeMetricFamily(
            "airfield_environment_requested_storage_bytes", "Volumes that an environment has asked for", labels=here
        )
        used_cpu = GaugeMetricFamily(
            "airfield_environment_used_cpu_cores",
            "Cores that an environment's pods use; told by the leader, where there is a metrics server",
            labels=here,
        )
        used_memory = GaugeMetricFamily(
            "airfield_environment_used_memory_bytes",
            "Memory that an environment's pods use; told by the leader, where there is a metrics server",
            labels=here,
        )
        used_storage = GaugeMetricFamily(
            "airfield_environment_used_storage_bytes",
            "What of an environment's volumes is filled; told by the leader, where it may ask kubelets",
            labels=here,
        )
        cost = GaugeMetricFamily(
            "airfield_environment_cost_per_hour",
            "What an environment costs in an hour, as long as it requests what it does now",
            labels=[*here, "tenant", "cost_centre", "currency"],
        )
        for state in self.states():
            key = [state.namespace, state.name]
            cpu.add_metric(key, state.cpu)
            memory.add_metric(key, state.memory)
            storage.add_metric(key, state.storage)
            if state.used_memory:
                used_cpu.add_metric(key, state.used_cpu)
                used_memory.add_metric(key, state.used_memory)
            if state.used_storage:
                used_storage.add_metric(key, state.used_storage)
            if state.currency:
                cost.add_metric([*key, state.tenant, state.cost_centre, state.currency], state.cost)
        yield from (cpu, memory, storage, used_cpu, used_memory, used_storage, cost)
