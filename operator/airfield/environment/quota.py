"""A tenant's quota: what an environment asks for, what others have, and who gets the last of it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from airfield.api.environment import Grant, Stage
from airfield.api.quantity import amount
from airfield.api.tenant import Quota
from airfield.environment.checks import Problem
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective

Key = tuple[str, str]

MEBI: Final = 1024**2
MILLI: Final = Decimal("0.001")


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
    cpu_limit: Decimal = Decimal(0)
    memory_limit: Decimal = Decimal(0)
    volume: Decimal = Decimal(0)
    """The largest limits or requests of a container, and the largest volume: what no other bound may be below."""

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


def asked(effective: Effective, claims: Mapping[str, str] | None = None) -> Ask:
    """What an environment asks for. `claims`: the sizes of the volumes that it has, by name: they never shrink."""
    settings = effective.settings.to_json()
    components = [
        (name, each.get("replicas", 1), each.get("resources", {})) for name, each in settings["components"].items()
    ]
    volumes = {f"{effective.name}-logs": _amount((settings.get("logs", {}).get("persistentVolume") or {}).get("size"))}
    if effective.database_mode == "embedded":
        embedded = settings.get("database", {}).get("embedded") or {}
        components.append(("database", 1, embedded.get("resources", {})))
        volumes[f"{effective.name}-db"] = _amount(embedded.get("size"))
    for name, size in (claims or {}).items():
        volumes[name] = max(volumes.get(name, Decimal(0)), size_of(size))
    # A container without a limit may not be given one below its request.
    bounds = [each.get(kind, {}) for _, _, each in components for kind in ("limits", "requests")]
    return Ask(
        effective.stage,
        cpu=_up(_requested(components, "cpu"), MILLI),
        memory=_up(_requested(components, "memory")),
        storage=_up(sum(volumes.values(), Decimal(0))),
        cpu_limit=_up(max(_amount(bound.get("cpu")) for bound in bounds), MILLI),
        memory_limit=_up(max(_amount(bound.get("memory")) for bound in bounds)),
        volume=_up(max(volumes.values())),
    )


def _requested(components: Iterable[tuple[str, int, Mapping[str, Any]]], name: str) -> Decimal:
    """What all components together request; pods of tasks come and go."""
    return sum(
        (
            replicas * _amount(resources.get("requests", {}).get(name))
            for component, replicas, resources in components
            if component != "workers"
        ),
        Decimal(0),
    )


def _up(value: Decimal, unit: Decimal = Decimal(1)) -> Decimal:
    """Rounded up to whole units, so that what a status says is exactly what was granted."""
    return (value / unit).to_integral_value(ROUND_CEILING) * unit


def grant_of(ask: Ask) -> Grant:
    """As a status says it."""
    return Grant(
        stage=ask.stage,
        cpu=shown("cpu", ask.cpu),
        memory=shown("memory", ask.memory),
        storage=shown("storage", ask.storage),
        cpu_limit=shown("cpu", ask.cpu_limit),
        memory_limit=shown("memory", ask.memory_limit),
        volume=shown("storage", ask.volume),
    )


def ask_of(status: Mapping[str, Any]) -> Ask | None:
    """What a status, as it is in the cluster, says was granted; None when it says nothing that can be read."""
    found = status.get("granted") or {}
    try:
        cpu, memory, storage = (_amount(found[name]) for name in ("cpu", "memory", "storage"))
        largest = (_amount(found[name]) for name in ("cpuLimit", "memoryLimit", "volume"))
        return Ask(Stage(found["stage"]), cpu, memory, storage, *largest)
    except (LookupError, ValueError, TypeError):
        return None


def nothing(spec: Mapping[str, Any]) -> Ask:
    """What an environment has of which nobody knows what it asked for: it counts as one."""
    stage = spec.get("stage")
    return Ask(Stage(stage) if stage in set(Stage) else Stage.DEV, Decimal(0), Decimal(0), Decimal(0))


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


def size_of(claim: str) -> Decimal:
    """The size of a volume claim in the cluster; 0 where somebody has written it in a way that we never do."""
    try:
        return _amount(claim)
    except ValueError:
        return Decimal(0)


def _amount(quantity: str | None) -> Decimal:
    return Decimal(0) if quantity in {None, "0"} else amount(str(quantity))
