"""A tenant's quota: what an environment asks for, what others have, and who gets the last of it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from airfield.api.environment import Grant, Stage
from airfield.api.quantity import amount
from airfield.api.tenant import Quota
from airfield.environment.checks import Problem
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective

Key = tuple[str, str]

DATABASE: Final[Mapping[str, str]] = {"cpu": "100m", "memory": "128Mi"}
"""What the bundled chart requests for an embedded database, if nobody says."""
MEBI: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Ask:
    """What the pods and volumes of an environment request; task pods come on top, and are bounded where they run."""

    stage: Stage
    cpu: Decimal
    """Cores."""
    memory: Decimal
    """Bytes."""
    storage: Decimal
    """Bytes."""

    def amounts(self) -> dict[str, Decimal]:
        """By the name of what is limited; an environment is one of all, and one of its stage."""
        one = Decimal(1)
        resources = {"cpu": self.cpu, "memory": self.memory, "storage": self.storage}
        return {"environments": one, self.stage.value: one, **resources}


@dataclass(frozen=True, slots=True)
class Claim:
    """An environment as its tenant's quota sees it."""

    key: Key
    born: str
    """When it was created: RFC 3339."""
    granted: Ask | None
    """What it has: nobody takes that away."""
    wanted: Ask | None
    """What it asks for now; None when it asks for nothing that could be had."""


def asked(effective: Effective) -> Ask:
    """What an environment asks for."""
    settings = effective.settings.to_json()
    cpu = memory = storage = Decimal(0)
    for name, component in settings["components"].items():
        if name != "workers":
            replicas = component.get("replicas", 1)
            requests = component.get("resources", {}).get("requests", {})
            cpu += replicas * _amount(requests.get("cpu"))
            memory += replicas * _amount(requests.get("memory"))
    storage += _amount((settings.get("logs", {}).get("persistentVolume") or {}).get("size"))
    if effective.database_mode == "embedded":
        embedded = settings.get("database", {}).get("embedded") or {}
        requests = {**DATABASE, **embedded.get("resources", {}).get("requests", {})}
        cpu += amount(requests["cpu"])
        memory += amount(requests["memory"])
        storage += _amount(embedded.get("size"))
    return Ask(effective.stage, cpu, memory, storage)


def grant_of(ask: Ask) -> Grant:
    """As a status says it."""
    return Grant(
        stage=ask.stage,
        cpu=shown("cpu", ask.cpu),
        memory=shown("memory", ask.memory),
        storage=shown("storage", ask.storage),
    )


def ask_of(status: Mapping[str, Any]) -> Ask | None:
    """What a status, as it is in the cluster, says was granted; None when it says nothing that can be read."""
    found = status.get("granted") or {}
    try:
        resources = {name: _amount(found[name]) for name in ("cpu", "memory", "storage")}
        return Ask(Stage(found["stage"]), **resources)
    except (LookupError, ValueError, TypeError):
        return None


def limits(quota: Quota) -> dict[str, Decimal]:
    """What a quota limits, and to how much."""
    found = {"environments": None if quota.environments is None else Decimal(quota.environments)}
    found |= {each.stage.value: Decimal(each.environments) for each in quota.stages}
    found |= {name: amount(text) for name, text in quota.resources().items()}
    return {name: limit for name, limit in found.items() if limit is not None}


def used(asks: Iterable[Ask]) -> dict[str, Decimal]:
    """The sum."""
    total: dict[str, Decimal] = {}
    for ask in asks:
        for name, value in ask.amounts().items():
            total[name] = total.get(name, Decimal(0)) + value
    return total


def check_quota(tenant: str, quota: Quota, me: Claim, others: Iterable[Claim]) -> Iterator[Problem]:
    """What of its wish an environment does not get. All who look come to the same.

    What was granted stays granted, however low the quota is now. Of those that want more, the older one comes first.
    """
    bounds, everybody = limits(quota), sorted([me, *others], key=_turn)
    have = used(claim.granted for claim in everybody if claim.granted is not None)
    for claim in everybody:
        lacking = _lacking(claim, have, bounds)
        if claim is me:
            for name in lacking:
                yield _exceeded(tenant, me, name, have, bounds)
            return
        if claim.wanted is not None and not lacking:
            _move(have, claim)


def _turn(claim: Claim) -> tuple[str, Key]:
    return claim.born, claim.key


def _more(claim: Claim) -> dict[str, Decimal]:
    """How much more than it has a claim wants."""
    if claim.wanted is None:
        return {}
    has = claim.granted.amounts() if claim.granted is not None else {}
    return {name: value - has.get(name, Decimal(0)) for name, value in claim.wanted.amounts().items()}


def _lacking(claim: Claim, have: Mapping[str, Decimal], bounds: Mapping[str, Decimal]) -> list[str]:
    """Of what there is too little: only of what is wanted more than before."""
    return [
        name
        for name, more in _more(claim).items()
        if name in bounds and more > 0 and have.get(name, Decimal(0)) + more > bounds[name]
    ]


def _move(have: dict[str, Decimal], claim: Claim) -> None:
    for name, more in _more(claim).items():
        have[name] = have.get(name, Decimal(0)) + more


def _exceeded(tenant: str, me: Claim, name: str, have: Mapping[str, Decimal], bounds: Mapping[str, Decimal]) -> Problem:
    """Says what was asked, what is used by others, and the limit."""
    if me.wanted is None:
        raise ValueError("whoever wants nothing lacks nothing")
    wanted, own = me.wanted.amounts()[name], me.granted.amounts().get(name, Decimal(0)) if me.granted else Decimal(0)
    others = have.get(name, Decimal(0)) - own
    if name in {"environments", *Stage}:
        what = "environments" if name == "environments" else f"environments of stage {name!r}"
        said = f"tenant {tenant!r} has {others} other {what}, and its quota is {bounds[name]}"
    else:
        said = (
            f"{name}: this environment asks for {shown(name, wanted)}, others of tenant {tenant!r} use"
            f" {shown(name, others)}, and the quota is {shown(name, bounds[name])}"
        )
    return Problem(Reason.QUOTA_EXCEEDED, f"{said}; ask for less, remove what is not needed, or ask the platform team")


def shown(name: str, value: Decimal) -> str:
    """An amount as Kubernetes writes it: `1350m`, `3Gi`, `1280Mi`."""
    if name == "cpu":
        return str(int(value)) if value == int(value) else f"{int(value * 1000)}m"
    if name not in {"memory", "storage"}:
        return str(value)
    for suffix, size in (("Ti", MEBI * MEBI), ("Gi", MEBI * 1024), ("Mi", MEBI)):
        if value and value % size == 0:
            return f"{int(value / size)}{suffix}"
    return str(int(value))


def _amount(quantity: str | None) -> Decimal:
    return Decimal(0) if quantity in {None, "0"} else amount(str(quantity))
