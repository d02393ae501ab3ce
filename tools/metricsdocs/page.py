"""From the registry to a page."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric

from airfield.runtime.metrics import CostState, EnvironmentState, Metrics

HEAD = """\
# Metrics

The operator serves them at `/metrics`, port 8080, of each replica; the chart's Service `airfield-metrics` leads there,
and `metrics.serviceMonitor.enabled` has the Prometheus operator scrape it. Every replica tells about all environments,
since every one keeps its caches warm: aggregate with `max by (…)`, not with `sum`. Two things differ: only the replica
that leads has `airfield_leader` 1, and only it has queues.

`namespace` and `name` are an environment's. A scrape must keep them (`honor_labels: true`), or Prometheus calls the
first one `exported_namespace`. An environment has two series, one more while it is stalled or paused, four for what it
requests and [costs](costs.md), two more for what its pods use, where a metrics server says so, and one for what its
volumes hold, where [kubelets are asked](costs.md#what-is-counted): only the leader asks. Up to two tell of its
certificate. A scrape of 1,000 environments takes about 50 ms of CPU and is 600 KB.

`charts/airfield/alerts/airfield.yaml` has the alerts, [runbooks](runbooks/) say what to do about each, and
`charts/airfield/dashboards/airfield.json` is a Grafana dashboard. This page is generated: `make generate`.

| metric | type | labels | what it is |
| --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Family:
    """A metric as Prometheus knows it."""

    name: str
    """Without the suffixes of a histogram; with `_total` if it is a counter."""
    kind: str
    labels: tuple[str, ...]
    about: str

    @property
    def series(self) -> frozenset[str]:
        """The names of its series."""
        suffixes = ("_bucket", "_count", "_sum") if self.kind == "histogram" else ("",)
        return frozenset(self.name + suffix for suffix in suffixes)


def filled() -> Metrics:
    """Metrics of which each has a value."""
    metrics = Metrics("0.0.0")
    metrics.on_request("get", "Pod", 200)
    metrics.on_render("ok")
    metrics.on_event("Pod")
    metrics.watch_queue("environment", lambda: 0.0, lambda: 0.0)
    metrics.watch_leadership(lambda: True)
    metrics.watch_relists(lambda: 1.0, lambda: 1.0, 600.0)
    state = EnvironmentState(
        "team-a",
        "demo",
        stalled=True,
        paused=True,
        certificate="CertificateExpired",
        expiry=0.0,
        conditions=(("Ready", "False"),),
    )
    metrics.watch_environments(lambda: [state])
    amounts = dict.fromkeys(("cpu", "memory", "storage", "cost", "used_cpu", "used_memory", "used_storage"), 1.0)
    metrics.watch_costs(lambda: [CostState("team-a", "demo", "a", "cc-1", "EUR", **amounts)])
    metrics.reconcile_seconds.labels("environment", "ok").observe(0.1)
    return metrics


def families(metrics: Metrics) -> Iterator[Family]:
    """All of them, by name.

    Raises:
        LookupError: one has no value, so that nobody knows its labels.
    """
    for metric in sorted(metrics.registry.collect(), key=lambda metric: metric.name):
        if not metric.samples:
            raise LookupError(f"{metric.name} has no value: see to it in `filled`")
        yield Family(_name(metric), metric.type, _labels(metric), metric.documentation.rstrip("."))


def page() -> str:
    """The whole of docs/metrics.md."""
    return HEAD + "".join(
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} | {family.about} |\n"
        for family in families(filled())
    )


def _name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def _labels(metric: Metric) -> tuple[str, ...]:
    return tuple(label for label in metric.samples[0].labels if label != "le")
