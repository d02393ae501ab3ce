"""What is recorded of an environment, out of the resources as they are in the cluster."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from airfield.costs.census import costs
from airfield.costs.fleet import Charge, Fleet, charge
from airfield.costs.ledger import Spent
from airfield.kube.resources import Resources
from airfield.kube.task_pods import TaskPods
from airfield.runtime.metrics import CostState

Json = dict[str, Any]
KEY = ("team-a", "demo")
GRANTED = {"stage": "prod", "cpu": "1500m", "memory": "3Gi", "storage": "10Gi"}
GRANTED |= {"cpuLimit": "2", "memoryLimit": "2Gi", "volume": "5Gi"}
PRICES = {"currency": "EUR", "cpuHour": "0.04", "memoryGibHour": "0.005", "storageGibMonth": "0.73"}
RESOLVED = {"type": "Resolved", "status": "True"}


def environment(status: Json | None = None, spec: Json | None = None, **metadata: Any) -> Json:
    return {
        "metadata": {"namespace": KEY[0], "name": KEY[1], "uid": "u", "generation": 3, **metadata},
        "spec": {"className": "standard", "stage": "prod", **(spec or {})},
        "status": {
            "tenant": "a",
            "granted": GRANTED,
            "observedGeneration": 3,
            "conditions": [RESOLVED],
            **(status or {}),
        },
    }


def tenant(**labels: str) -> Json:
    return {"metadata": {"name": "a"}, "spec": {"labels": labels}}


def blueprint(prices: object = PRICES) -> Json:
    return {"metadata": {"name": "standard"}, "spec": {} if prices is None else {"prices": prices}}


def charged(body: Json, of_tenant: Json | None = None, of_class: Json | None = None) -> Charge:
    found = charge(body, tenant() if of_tenant is None else of_tenant, blueprint() if of_class is None else of_class)
    assert found is not None
    return found


def test_amounts_and_prices() -> None:
    found = charged(environment())
    terms = found.terms
    assert (found.tenant, found.firm) == ("a", True)
    assert [terms.cpu, terms.memory, terms.storage] == [Decimal("1.5"), 3 * 1024**3, 10 * 1024**3]
    assert (terms.uid, terms.class_name, terms.stage, terms.cost_centre) == ("u", "standard", "prod", "")
    prices = [terms.cpu_hour, terms.memory_gib_hour, terms.storage_gib_month]
    assert (terms.currency, prices) == ("EUR", [Decimal("0.04"), Decimal("0.005"), Decimal("0.73")])


@pytest.mark.parametrize("status", [{"granted": None}, {"granted": {"cpu": "1"}}, {"tenant": ""}])
def test_who_was_granted_nothing_is_charged_nothing(status: Json) -> None:
    assert charge(environment(status), tenant(), blueprint()) is None


@pytest.mark.parametrize(
    ("own", "of_tenant", "label", "found"),
    [
        ({}, {}, None, ""),
        ({"cost-centre": "1"}, {}, None, "1"),
        ({}, {"cost-centre": "2"}, None, "2"),
        ({"cost-centre": "1"}, {"cost-centre": "2"}, None, "2"),
        ({"cost-centre": "1"}, {}, "example.com/kst", ""),
        ({"example.com/kst": "3"}, {"cost-centre": "2"}, "example.com/kst", "3"),
    ],
)
def test_cost_centre(own: Json, of_tenant: Json, label: str | None, found: str) -> None:
    """The label that the class names; what the tenant says goes."""
    prices = PRICES if label is None else {**PRICES, "costCentreLabel": label}
    body = environment(spec={"labels": own})
    assert charged(body, tenant(**of_tenant), blueprint(prices)).terms.cost_centre == found


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(environment({"conditions": [{**RESOLVED, "status": "False"}]}), id="refused"),
        pytest.param(environment({"conditions": []}), id="not looked at"),
        pytest.param(environment({"observedGeneration": 2}), id="changed a moment ago"),
    ],
)
def test_what_it_does_not_run_with_changes_nothing(body: Json) -> None:
    assert not charged(body).firm


def test_who_is_being_deleted_is_charged_on() -> None:
    assert charged(environment({"observedGeneration": 2}, deletionTimestamp="now")).firm


@pytest.mark.parametrize("prices", [{"currency": "EURO"}, {"cpuHour": "1"}, {"currency": "EUR", "cpuHour": "-1"}, 7])
def test_prices_that_cannot_be_read(prices: object) -> None:
    """A class made under other CRDs: what was recorded last goes on."""
    assert not charged(environment(), of_class=blueprint(prices)).firm


def test_a_class_without_prices() -> None:
    found = charged(environment(), of_class=blueprint(None))
    assert (found.firm, found.terms.currency, found.terms.cpu_hour) == (True, "", Decimal(0))


def test_class_or_tenant_that_is_gone() -> None:
    for gone in ((None, blueprint()), (tenant(), None)):
        found = charge(environment(), *gone)
        assert found is not None
        assert not found.firm


CHEAP = {"currency": "CHF", "cpuHour": "0.01"}
RUNS = charged(environment(spec={"labels": {"cost-centre": "own"}})).terms
REFUSED = {"conditions": [{**RESOLVED, "status": "False"}]}


@pytest.mark.parametrize(
    ("of_tenant", "prices", "changes"),
    [
        pytest.param({}, PRICES, {}, id="its class and its label stay"),
        pytest.param({"cost-centre": "7"}, PRICES, {"cost_centre": "7"}, id="the tenant's label goes"),
        pytest.param({}, {**PRICES, "cpuHour": "9"}, {"cpu_hour": Decimal(9)}, id="a new price counts"),
        pytest.param({"cost-centre": "7"}, {"currency": "?"}, {}, id="of prices that cannot be read none do"),
    ],
)
def test_who_is_refused_gets_out_of_nothing(of_tenant: Json, prices: Json, changes: Json) -> None:
    """It names another class, of which it has nothing."""
    body = environment(REFUSED, {"className": "cheap", "labels": {"cost-centre": "others"}})
    classes = {"standard": blueprint(prices), "cheap": blueprint(CHEAP)}
    fleet = Fleet(Resources(environments={KEY: body}, tenants={"a": tenant(**of_tenant)}, classes=classes))
    assert fleet.fitted(fleet.look()[KEY], RUNS) == RUNS.model_copy(update=changes)


def test_another_of_its_name_has_its_own_terms() -> None:
    body = environment(REFUSED, {"className": "cheap"}, uid="other")
    resources = Resources(environments={KEY: body}, tenants={"a": tenant()}, classes={"cheap": blueprint(CHEAP)})
    fleet = Fleet(resources)
    found = fleet.look()[KEY]
    assert fleet.fitted(found, RUNS) == fleet.fitted(found, None) == found.terms
    assert found.terms.currency == "CHF"


def test_only_what_is_new_is_looked_at() -> None:
    body = environment()
    resources = Resources(environments={KEY: body}, tenants={"a": tenant()}, classes={"standard": blueprint()})
    fleet = Fleet(resources)
    first = fleet.look()[KEY]
    assert fleet.look()[KEY] is first
    resources.classes["standard"] = blueprint({**PRICES, "cpuHour": "1"})
    assert fleet.look()[KEY].terms.cpu_hour == 1
    resources.tenants["a"] = tenant(**{"cost-centre": "x"})
    assert fleet.look()[KEY].terms.cost_centre == "x"
    resources.environments[KEY] = environment({"granted": {**GRANTED, "cpu": "7"}})
    assert fleet.look()[KEY].terms.cpu == 7
    before = fleet.look()
    assert fleet.look() is before  # so that nobody needs to compare
    del resources.environments[KEY]
    assert fleet.look() == {}


@pytest.mark.parametrize(
    ("prices", "used", "expected"),
    [
        (PRICES, {}, ("EUR", 1.5 * 0.04 + 3 * 0.005 + 0.01, (0, 0, 0))),
        (None, {KEY: Spent(cpu=Decimal("0.2"), memory=Decimal(7), storage=Decimal(9))}, ("", 0, (0.2, 7, 9))),
    ],
)
def test_what_metrics_tell(prices: object, used: Mapping[Any, Spent], expected: tuple[str, float, Any]) -> None:
    charges = {KEY: charged(environment(), tenant(**{"cost-centre": "7"}), blueprint(prices))}
    (found,) = costs(charges, TaskPods(), used)
    currency, cost, use = expected
    assert found.cost == pytest.approx(cost)
    assert found == CostState(*KEY, "a", "7", currency, 1.5, 3 * 1024**3, 10 * 1024**3, found.cost, *use)
