"""What is to be recorded of each environment, out of the resources as they are in the cluster. Pure."""

import operator
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import ValidationError

from airfield.api.conditions import ConditionType, is_true
from airfield.api.prices import COST_CENTRE, Prices
from airfield.costs.ledger import NOTHING, Key, Terms
from airfield.environment.quota import ask_of
from airfield.kube.resources import Resources

Body = Mapping[str, Any]


class Charge(NamedTuple):
    """An environment's terms, and the tenant whose ledger they belong in."""

    tenant: str
    terms: Terms
    firm: bool = True
    """Whether it runs with the class and the labels that its resource names; if not, those that it had before count."""


class _Seen(NamedTuple):
    """What a charge was made of: bodies that are never changed in place."""

    environment: Body
    tenant: Body | None
    blueprint: Body | None
    charge: Charge | None


class Fleet:
    """Looks at all environments; at one that is as it was, it only looks whether it is."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._seen: dict[Key, _Seen] = {}
        self._bodies: tuple[Body, ...] = ()
        """All that was looked at."""
        self._charges: Mapping[Key, Charge] = {}

    def look(self) -> Mapping[Key, Charge]:
        """What is to be recorded now: of those that were granted something, until they are gone.

        The very same as last time if nothing has changed: a thousand environments are looked at every second.
        """
        resources, before = self._resources, self._seen
        bodies = (*resources.environments.values(), *resources.tenants.values(), *resources.classes.values())
        if len(bodies) == len(self._bodies) and all(map(operator.is_, bodies, self._bodies)):
            return self._charges
        self._seen, self._bodies = {}, bodies
        for key, body in resources.environments.items():
            status, spec = body.get("status") or {}, body.get("spec") or {}
            tenant = resources.tenants.get(status.get("tenant", ""))
            blueprint = resources.classes.get(spec.get("className", ""))
            seen = before.get(key)
            if (
                seen is None
                or seen.environment is not body
                or seen.tenant is not tenant
                or seen.blueprint is not blueprint
            ):
                seen = _Seen(body, tenant, blueprint, charge(body, tenant, blueprint))
            self._seen[key] = seen
        self._charges = {key: seen.charge for key, seen in self._seen.items() if seen.charge is not None}
        return self._charges

    def fitted(self, charge: Charge, before: Terms | None) -> Terms:
        """The terms of an environment that had others before.

        As long as it is refused it keeps its class, and the cost centre that it chose itself. What the platform team
        says counts for it all the same: so nobody gets out of a new price by being refused.
        """
        terms = charge.terms
        if charge.firm or before is None or before.uid != terms.uid:
            return terms
        amounts = {"cpu": terms.cpu, "memory": terms.memory, "storage": terms.storage}
        prices, known = _prices(self._resources.classes.get(before.class_name))
        if not known:
            return before.model_copy(update=amounts)
        tenant = self._resources.tenants.get(charge.tenant) or {}
        centre = _cost_centre(prices, {}, tenant.get("spec") or {}) or before.cost_centre
        return before.model_copy(update={**amounts, **_priced(prices), "cost_centre": centre})


def charge(environment: Body, tenant: Body | None, blueprint: Body | None) -> Charge | None:
    """What an environment is charged; None as long as it was granted nothing: its status says what, and whose it is."""
    metadata, spec, status = environment["metadata"], environment.get("spec") or {}, environment.get("status") or {}
    ask, holder = ask_of(status), status.get("tenant", "")
    if ask is None or not holder:
        return None
    prices, known = _prices(blueprint)
    resolved = is_true(environment, ConditionType.RESOLVED)
    current = status.get("observedGeneration") == metadata.get("generation") or "deletionTimestamp" in metadata
    terms = Terms(
        uid=metadata.get("uid", ""),
        cpu=ask.cpu,
        memory=ask.memory,
        storage=ask.storage,
        class_name=spec.get("className", ""),
        stage=ask.stage.value,
        cost_centre=_cost_centre(prices, spec, (tenant or {}).get("spec") or {}),
        **_priced(prices),
    )
    return Charge(holder, terms, firm=known and tenant is not None and resolved and current)


def _prices(blueprint: Body | None) -> tuple[Prices | None, bool]:
    """The price book of a class, and whether that is known: a class without one has no prices."""
    found = ((blueprint or {}).get("spec") or {}).get("prices")
    try:
        return (None if found is None else Prices.model_validate(found)), blueprint is not None
    except ValidationError:
        return None, False


def _priced(prices: Prices | None) -> dict[str, Any]:
    numbers = ("cpu_hour", "memory_gib_hour", "storage_gib_month")
    if prices is None:
        return {"currency": "", **dict.fromkeys(numbers, NOTHING)}
    return {"currency": prices.currency, **{name: Decimal(getattr(prices, name)) for name in numbers}}


def _cost_centre(prices: Prices | None, environment: Body, tenant: Body) -> str:
    """What the label says: what the tenant says goes."""
    label = (prices and prices.cost_centre_label) or COST_CENTRE
    return str({**(environment.get("labels") or {}), **(tenant.get("labels") or {})}.get(label, ""))
