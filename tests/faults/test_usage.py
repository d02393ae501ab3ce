"""What pods use, where a metrics server says so: the proxy answers in the place of one, which the cluster lacks."""

from decimal import Decimal
from typing import Any

import pytest

from airfield.costs import store
from faultproxy import METRICS, Answer, Rule, Say
from faults.fault_site import FaultSite
from operated_cluster import SYSTEM, Team, eventually

pytestmark = pytest.mark.apiserver


def measured(team: Team) -> dict[str, Any]:
    """A PodMetricsList of two pods: half a core and 256 MiB in all."""
    labels = {"airfield.dev/environment": "demo"}
    pods = [
        {
            "metadata": {"name": name, "namespace": team.namespace, "labels": labels},
            "containers": [{"name": "base", "usage": {"cpu": "250000000n", "memory": "131072Ki"}}],
        }
        for name in ("scheduler", "triggerer")
    ]
    return {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": pods}


async def test_what_is_used_is_told_and_recorded(team: Team, site: FaultSite) -> None:
    await team.put_environment()
    await team.until_ready()
    here = f'{{name="demo",namespace="{team.namespace}"}}'
    amounts = {"cpu_cores": "0.5", "memory_bytes": "2.68435456e+08"}
    expected = {f"airfield_environment_used_{what}{here} {amount}" for what, amount in amounts.items()}
    site.operator.stop()
    before, page = len(site.proxy.seen), f"airfield-costs.{team.name}."
    rule = Rule(Say(measured(team)), frozenset({"list"}), kind=METRICS, times=10**6)
    with site.faults(rule):
        site.operator.start(USAGE_SECONDS="1")

        async def told() -> bool:
            """And the ledger was read before the last measurement: until then nobody knows where to write it."""
            asked = [seen.request for seen in site.proxy.seen[before:]]
            read = [number for number, each in enumerate(asked) if each.verb == "get" and each.name.startswith(page)]
            known = bool(read) and any(each.kind == METRICS for each in asked[read[0] :])
            return known and all(line in site.operator.metrics() for line in expected)

        await eventually(told)
        site.operator.stop()
    site.operator.start()
    names = (await store.names(team.kube, SYSTEM, team.name))[team.name]
    loaded = await store.load(team.kube, SYSTEM, team.name, max(names))
    assert loaded is not None
    (segment,) = loaded[0].entries[team.namespace, "demo"]
    assert segment.used.cpu >= Decimal("0.5")
    assert segment.used.memory == segment.used.cpu * 2 * 256 * 1024**2


@pytest.mark.parametrize(
    ("answer", "said"), [(Answer(404), False), (Answer(503), False), (Answer(403, "Forbidden"), True)]
)
async def test_nobody_says_what_is_used(team: Team, site: FaultSite, answer: Answer, *, said: bool) -> None:
    """A cluster without a metrics server is none to speak of; a right that is missing is."""
    site.operator.stop()
    before = len(site.operator.log.read_text(encoding="utf-8"))
    with site.faults(Rule(answer, frozenset({"list"}), kind=METRICS, times=10**6)) as script:
        site.operator.start(USAGE_SECONDS="1")
        await team.put_environment()
        await team.until_ready()

        async def asked() -> bool:
            return len(script.taken) >= 3

        await eventually(asked)
        text = site.operator.log.read_text(encoding="utf-8")[before:]
        assert text.count("what pods use is not known") == said
        assert "airfield_environment_used_cpu_cores{" not in site.operator.metrics()
        site.operator.stop()
    site.operator.start()
