"""What environments ask for, and who gets the last of a quota."""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.api.environment import Stage
from airfield.api.quantity import amount
from airfield.api.tenant import Quota
from airfield.environment.quota import Ask, Claim, ask_of, asked, check_quota, grant_of, limits, nothing, used
from airfield.environment.reasons import Reason
from builders import SERVER, blueprint, effective, environment

Json = dict[str, Any]
GI = Decimal(1024**3)
EXTERNAL = {"external": {"secret": {"name": "given"}}}


def ask(cpu: str = "1", memory: int = 1, storage: int = 1, stage: str = "dev") -> Ask:
    return Ask(Stage(stage), Decimal(cpu), memory * GI, storage * GI)


def quota(**spec: Any) -> Quota:
    return Quota.model_validate(spec)


def claim(name: str, *, born: int = 1, granted: Ask | None = None, wanted: Ask | None = None) -> Claim:
    return Claim(("team-a", name), f"2026-01-0{born}T00:00:00Z", granted, wanted)


@pytest.mark.parametrize(
    ("spec", "cpu", "memory", "storage"),
    [
        # The bundled defaults: four components; an embedded database; volumes for it and for logs.
        ({}, "0.45", 384 + 320 + 256 + 320 + 128, 10),
        ({"database": {"server": {}}}, "0.35", 384 + 320 + 256 + 320, 5),
        ({"database": EXTERNAL}, "0.35", 384 + 320 + 256 + 320, 5),
        (
            {"database": EXTERNAL, "components": {"apiServer": {"replicas": 3}, "workers": {"replicas": 9}}},
            "0.55",
            3 * 384 + 320 + 256 + 320,
            5,
        ),
        (
            {
                "database": {
                    "embedded": {
                        "size": "20Gi",
                        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                    }
                },
                "logs": {"persistentVolume": {"size": "1Gi"}},
            },
            "1.35",
            384 + 320 + 256 + 320 + 1024,
            21,
        ),
    ],
)
def test_what_an_environment_asks_for(spec: Json, cpu: str, memory: int, storage: int) -> None:
    components = {name: value for name, value in spec.get("components", {}).items() if name != "workers"}
    given = {**spec, **({"components": components} if components else {})}
    wanted = effective(environment(**given), blueprint(databaseServers=[SERVER]))
    found = asked(wanted)
    assert (found.stage, found.cpu, found.memory, found.storage) == (
        Stage.DEV,
        Decimal(cpu),
        memory * GI / 1024,
        storage * GI,
    )
    assert read_back(found) == found
    # A volume that is there does not shrink; others that it left behind count, too.
    there = {"demo-logs": "100Gi", "demo-old": "1Gi", "odd": "1e3"}
    larger, logs = asked(wanted, there), amount(spec.get("logs", {}).get("persistentVolume", {}).get("size", "5Gi"))
    assert (larger.storage, larger.volume) == (found.storage - logs + 101 * GI, 100 * GI)


def read_back(ask: Ask) -> Ask | None:
    return ask_of({"granted": grant_of(ask).model_dump(mode="json", by_alias=True)})


def test_the_largest_of_each() -> None:
    """Of containers, workers among them. Fractions are rounded up: nobody ever asks for more than was granted."""
    workers = {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "3", "memory": "2Gi"}}}
    scheduler = {"resources": {"requests": {"cpu": "0.0005", "memory": "1.1Gi"}, "limits": {"memory": "1.7Gi"}}}
    found = asked(effective(environment(components={"workers": workers, "scheduler": scheduler})))
    assert (found.cpu_limit, found.memory_limit, found.volume) == (Decimal(3), 2 * GI, 5 * GI)
    requested = {"dagProcessor": {"resources": {"requests": {"cpu": "7"}}}}
    assert asked(effective(environment(components=requested))).cpu_limit == 7, "no limit may be below it"
    assert found.cpu == Decimal("0.351")
    assert found.memory == (384 + 256 + 320 + 128) * GI / 1024 + 1181116007
    assert read_back(found) == found


@pytest.mark.parametrize(("spec", "stage"), [({"stage": "prod"}, "prod"), ({"stage": "x"}, "dev"), ({}, "dev")])
def test_what_nobody_has_counted_is_one_environment(spec: Json, stage: str) -> None:
    assert used([nothing(spec)]) == {"environments": 1, stage: 1, "cpu": 0, "memory": 0, "storage": 0}


@pytest.mark.parametrize(
    "status", [{}, {"granted": None}, {"granted": {"stage": "dev"}}, {"granted": {"stage": "x", "cpu": "1"}}]
)
def test_a_status_that_says_nothing_of_it(status: Json) -> None:
    assert ask_of(status) is None


def problems(bounds: Quota, me: Claim, *others: Claim) -> list[str]:
    found = list(check_quota("team", bounds, me, others))
    assert {problem.reason for problem in found} <= {Reason.QUOTA_EXCEEDED}
    return [problem.message for problem in found]


ONE = quota(environments=1)


@pytest.mark.parametrize(
    ("bounds", "me", "others", "words"),
    [
        (quota(), claim("a", wanted=ask()), (), ()),
        (ONE, claim("a", wanted=ask()), (), ()),
        (
            ONE,
            claim("a", wanted=ask()),
            (claim("b", granted=ask()),),
            ("has 1 other environments, and its quota is 1",),
        ),
        # The older one has the last slot; of two of an age, the one that comes first by name.
        (ONE, claim("b", wanted=ask()), (claim("a", born=2, wanted=ask()),), ()),
        (ONE, claim("a", born=2, wanted=ask()), (claim("b", wanted=ask()),), ("its quota is 1",)),
        (ONE, claim("a", wanted=ask()), (claim("b", wanted=ask()),), ()),
        (ONE, claim("b", wanted=ask()), (claim("a", wanted=ask()),), ("its quota is 1",)),
        # Who has it keeps it, whoever else is older.
        (ONE, claim("b", born=2, granted=ask(), wanted=ask()), (claim("a", wanted=ask()),), ()),
        # An older one that does not fit, or that wants nothing that could be had, takes nothing away.
        (quota(cpu="2"), claim("b", wanted=ask("2")), (claim("a", wanted=ask("3")),), ()),
        (ONE, claim("b", wanted=ask()), (claim("a"),), ()),
        # A quota below use harms nobody who runs, as long as it does not want more.
        (quota(cpu="1"), claim("a", granted=ask("2"), wanted=ask("2")), (claim("b", granted=ask("2")),), ()),
        (quota(cpu="1"), claim("a", granted=ask("2"), wanted=ask("1.5")), (claim("b", granted=ask("2")),), ()),
        (
            quota(cpu="1", memory="1Gi"),
            claim("a", granted=ask("2"), wanted=ask("3")),
            (claim("b", granted=ask("1.5")),),
            ("cpu: this environment asks for 3, others of tenant 'team' use 1500m, and the quota is 1;",),
        ),
        # By stage, beside all.
        (
            quota(environments=9, stages=[{"stage": "prod", "environments": 1}]),
            claim("a", wanted=ask(stage="prod")),
            (claim("b", granted=ask(stage="prod")), claim("c", granted=ask())),
            ("tenant 'team' has 1 other environments of stage 'prod', and its quota is 1",),
        ),
        (quota(stages=[{"stage": "prod", "environments": 0}]), claim("a", wanted=ask(stage="prod")), (), ("is 0",)),
        (quota(stages=[{"stage": "prod", "environments": 0}]), claim("a", wanted=ask()), (), ()),
        # All that is lacking is said.
        (
            quota(memory="1Gi", storage="1536Mi"),
            claim("a", wanted=ask("9", 2, 2)),
            (),
            ("memory: this environment asks for 2Gi", "use 0, and the quota is 1Gi", "and the quota is 1536Mi"),
        ),
    ],
)
def test_who_gets_what(bounds: Quota, me: Claim, others: tuple[Claim, ...], words: tuple[str, ...]) -> None:
    found = problems(bounds, me, *others)
    assert bool(found) is bool(words)
    for word in words:
        assert word in "\n".join(found)


asks = st.builds(
    ask,
    st.sampled_from(["0.1", "0.5", "1", "2.5"]),
    st.integers(0, 4),
    st.integers(0, 4),
    st.sampled_from(["dev", "prod"]),
)
claims = st.lists(st.tuples(st.integers(1, 3), st.none() | asks, st.none() | asks), min_size=1, max_size=6).map(
    lambda rows: [claim(f"e{n}", born=born, granted=had, wanted=now) for n, (born, had, now) in enumerate(rows)]
)
quotas = st.builds(
    lambda count, cpu, memory: quota(environments=count, cpu=cpu, memory=memory),
    st.integers(0, 4),
    st.sampled_from(["500m", "1", "3"]),
    st.sampled_from(["1Gi", "4Gi"]),
)


@given(quotas, claims)
def test_nobody_exceeds_and_all_agree(bounds: Quota, everybody: list[Claim]) -> None:
    """Whatever order they look in, those that are let through together stay within the quota, or at what they had."""
    others = {each.key: [other for other in everybody if other is not each] for each in everybody}
    through = [c for c in everybody if c.wanted is not None and not problems(bounds, c, *others[c.key])]
    after = [c.wanted if c in through else c.granted for c in everybody]
    total = used(each for each in after if each is not None)
    before = used(c.granted for c in everybody if c.granted is not None)
    for name, limit in limits(bounds).items():
        assert total.get(name, 0) <= max(limit, before.get(name, Decimal(0)))
    for shuffled in itertools.islice(itertools.permutations(everybody), 24):
        again = [c for c in shuffled if c.wanted is not None]
        again = [c for c in again if not problems(bounds, c, *(o for o in shuffled if o is not c))]
        assert {c.key for c in again} == {c.key for c in through}
