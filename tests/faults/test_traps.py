"""What watches are known to lose, and what is known to end them: the operator gets over each."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from airfield.api.conditions import conditions_of
from airfield.kube import kinds
from airfield.kube.client import KubeClient
from airfield.kube.kinds import Ref
from airfield.postgres.names import database_name
from faultproxy import Answer, End, Late, Rule
from faultproxy.rules import Action
from faults.fault_site import FaultSite
from faults.stories import create_and_wait
from operated_cluster import Team, eventually

EVENT, LIST, APPLY, PATCH, DELETE = (frozenset({verb}) for verb in ("event", "list", "apply", "patch", "delete"))
WRITTEN_FIRST = ("configmaps", "serviceaccounts", "roles", "rolebindings", "networkpolicies")
"""Kinds of which an environment has more objects in all than are written at a time."""
OURS = ("airflowenvironments", "airflowtenants", "airflowenvironmentclasses")
SOON = 40.0
"""Seconds: much less than the interval of complete lists."""


def of_team(kind: str, team: Team) -> Ref:
    return Ref("airfield.dev/v1alpha1", kind, "", team.name)


async def end_watches(site: FaultSite, team: Team, action: Action, *kinds_of: str, client: str = "") -> None:
    """Have the watches of some kinds end at their next event, those of one client, and wait until that has happened."""
    rules = [Rule(action, EVENT, kind=kind, client=client) for kind in kinds_of]
    with site.faults(*rules) as script:
        for kind in kinds_of:
            await touch(team, kind)

        async def ended() -> bool:
            return len(script.taken) == len(rules)

        await eventually(ended)


async def touch(team: Team, kind: str) -> None:
    """Cause an event that says nothing."""
    note = {"metadata": {"annotations": {"test/touched": "yes"}}}
    if kind == "airflowenvironments":
        await team.kube.patch(team.environment(), note)
    elif kind == "airflowtenants":
        await team.kube.patch(of_team("AirflowTenant", team), note)
    elif kind == "airflowenvironmentclasses":
        await team.kube.patch(of_team("AirflowEnvironmentClass", team), note)
    else:
        await team.kube.patch(team.ref(kinds.SERVICE, "demo-api-server"), note)


async def test_what_goes_while_watches_begin_anew_is_missed_by_no_one(site: FaultSite, kube: KubeClient) -> None:
    """After 410 a collection is listed again; a list says nothing of what is gone."""
    teams = {kind: site.new_team(kube) for kind in OURS}
    for team in teams.values():
        await team.settle()
        await team.put_environment()
    await asyncio.gather(*(team.until_ready() for team in teams.values()))
    ends = [Rule(End(410, "Expired"), EVENT, kind=kind, client="kopf") for kind in OURS]
    blind = [Rule(Answer(503, "ServiceUnavailable"), LIST, kind=kind, client="kopf", times=2) for kind in OURS]
    with site.faults(*ends, *blind) as script:
        for kind, team in teams.items():
            await touch(team, kind)

        async def all_blind() -> bool:
            return {taken.kind for taken in script.taken if taken.verb == "list"} == set(OURS)

        await eventually(all_blind)
        await asyncio.gather(*(GONE[kind][0](team) for kind, team in teams.items()))

        async def all_taken() -> bool:
            return len(script.taken) == 3 * len(OURS)

        await eventually(all_taken)
    await asyncio.gather(*(GONE[kind][1](team) for kind, team in teams.items()))
    for team in teams.values():
        await team.leave()


async def remove_environment(team: Team) -> None:
    """As somebody would whose operator does not work: without it, and at once."""
    await team.kube.patch(team.environment(), {"metadata": {"finalizers": None}})
    await team.kube.delete(team.environment())


async def tenant_forgot_it(team: Team) -> None:
    async def forgot() -> bool:
        tenant = await team.kube.get(of_team("AirflowTenant", team))
        assert tenant is not None
        return bool(tenant["status"].get("environments", 0) == 0)

    await eventually(forgot, SOON)


Step = Callable[[Team], Awaitable[object]]
GONE: dict[str, tuple[Step, Step]] = {
    "airflowenvironments": (remove_environment, tenant_forgot_it),
    "airflowtenants": (
        lambda team: team.kube.delete(of_team("AirflowTenant", team)),
        lambda team: team.until_stuck("NoTenant", seconds=SOON),
    ),
    "airflowenvironmentclasses": (
        lambda team: team.kube.delete(of_team("AirflowEnvironmentClass", team)),
        lambda team: team.until_stuck("ClassNotFound", seconds=SOON),
    ),
}


async def test_what_goes_while_the_operator_starts_is_missed_by_no_one(site: FaultSite, team: Team) -> None:
    """Between the first complete list and the begin of the watches lies a gap."""
    await create_and_wait(team)
    site.operator.kill()
    slow = Rule(Late(2.0), LIST, kind="airflowtenants", client="kopf")
    with site.faults(slow) as script:
        starting = asyncio.create_task(asyncio.to_thread(site.operator.start))

        async def begun() -> bool:
            return bool(script.taken)

        await eventually(begun)
        await team.kube.delete(of_team("AirflowTenant", team))
        await starting
    await team.until_stuck("NoTenant", seconds=SOON)


async def test_what_the_operator_lets_go_while_it_starts_is_missed_by_no_one(site: FaultSite, kube: KubeClient) -> None:
    """It leads before kopf has begun to watch: who waits for the end of a tenant, or of an environment, gets on."""
    orphan, crowd = site.new_team(kube), site.new_team(kube)
    for team in (orphan, crowd):
        await team.settle()
        await create_and_wait(team)
    await crowd.put_tenant(quota={"environments": 1})
    await crowd.put_environment("next")
    await crowd.until_stuck("QuotaExceeded", name="next")
    site.operator.kill()
    await kube.delete(of_team("AirflowTenant", orphan))
    await kube.delete(crowd.environment())
    late = [Rule(Late(8.0), LIST, kind=kind, client="kopf") for kind in OURS]
    with site.faults(*late) as script:
        await asyncio.to_thread(site.operator.start)

        async def let_go() -> bool:
            left = (await kube.get(of_team("AirflowTenant", orphan)), await kube.get(crowd.environment()))
            assert left == (None, None)
            return True

        await eventually(let_go)
        assert len(script.taken) == len(late)
    await orphan.until_stuck("NoTenant", seconds=SOON)
    await crowd.until_ready("next")
    await crowd.leave()


@pytest.mark.parametrize(("kind", "client"), [("airflowenvironments", "kopf"), ("services", "")])
async def test_an_error_in_a_watch_costs_at_most_a_restart(site: FaultSite, team: Team, kind: str, client: str) -> None:
    """kopf ends the process for an ERROR event other than 410; whoever runs it starts it again. Our watches go on."""
    await create_and_wait(team)
    await end_watches(site, team, End(500, "InternalError"), kind, client=client)
    restarts = 0

    async def changed() -> bool:
        nonlocal restarts
        restarts += await keep_running(site)
        found = await team.existing(kinds.CONFIG_MAP, "demo-config")
        return "parallelism = 7" in found["data"]["airflow.cfg"]

    await team.put_environment(executor="KubernetesExecutor", config={"core": {"parallelism": "7"}})
    await eventually(changed)
    assert restarts <= (client == "kopf")  # one that ends may still do the work
    await team.until_ready()
    site.operator.kill()  # one that ends takes its time


async def test_who_is_refused_costs_at_most_a_restart(site: FaultSite, team: Team) -> None:
    """kopf closes the connections of all watches when one of them is refused, and ends when another notices."""
    await create_and_wait(team)
    refused = Rule(Answer(401, "Unauthorized"), LIST, kind="airflowtenants", client="kopf", times=3)
    ended = Rule(End(410, "Expired"), EVENT, kind="airflowtenants", client="kopf")
    with site.faults(ended, refused) as script:
        await touch(team, "airflowtenants")

        async def taken() -> bool:
            return len(script.taken) > 1

        await eventually(taken)
        await team.put_tenant(labels={"cost-centre": "4712"})

        restarts = 0

        async def seen() -> bool:
            nonlocal restarts
            restarts += await keep_running(site)
            return await labelled(team, "4712")

        await eventually(seen)
        assert restarts <= 1
    site.operator.kill()  # one that ends takes its time


async def keep_running(site: FaultSite) -> bool:
    """As whoever runs the operator does; whether that was a restart."""
    if site.operator.running:
        return False
    site.operator.kill()
    await asyncio.to_thread(site.operator.start)
    return True


async def labelled(team: Team, value: str) -> bool:
    """Whether the tenant's label has reached an object of its environment."""
    found = await team.existing(kinds.DEPLOYMENT, "demo-scheduler")
    return bool(found["metadata"]["labels"].get("cost-centre") == value)


@pytest.mark.long
async def test_lists_that_fail_for_long_end_nothing(site: FaultSite, team: Team) -> None:
    """A finite list of back-offs ends the operator when it is used up."""
    await create_and_wait(team)
    pid = site.operator.pid
    with site.faults(
        Rule(End(410, "Expired"), EVENT, kind="airflowtenants"),
        Rule(Answer(503, "ServiceUnavailable"), LIST, kind="airflowtenants", times=5),
    ) as script:
        await touch(team, "airflowtenants")

        async def failed() -> bool:
            return len(script.taken) == 6

        await eventually(failed, 60)
    await team.put_tenant(labels={"cost-centre": "4711"})
    await eventually(lambda: labelled(team, "4711"), 60)
    assert site.operator.pid == pid


async def test_a_flood_of_objects_delays_nobody(kube: KubeClient, team: Team) -> None:
    """Workers that have nothing more to do must not keep others from their turn.

    If kopf kept each of its fifty for five seconds, as it does by default, the last object would wait for a minute.
    Classes without a database server, since nothing is less work.
    """
    crowd = [f"{team.name}-{number}" for number in range(600)]
    spec = {"catalog": team.class_of()["catalog"]}
    gate = asyncio.Semaphore(20)

    async def make(name: str) -> None:
        async with gate:
            await team.put_resource("AirflowEnvironmentClass", name, spec)

    async def remove(name: str) -> None:
        async with gate:
            await kube.delete(Ref("airfield.dev/v1alpha1", "AirflowEnvironmentClass", "", name))

    async def all_told() -> bool:
        found = [each for each in await kube.list(kinds.AIRFLOW_ENVIRONMENT_CLASS) if each["metadata"]["name"] in crowd]
        told = [each for each in found if each["status"]["observedGeneration"] == 1]
        assert len(told) == len(crowd), f"{len(told)} of {len(crowd)}"
        return True

    try:
        await asyncio.gather(*map(make, crowd))
        await eventually(all_told, SOON, pause=1)
    finally:
        await asyncio.gather(*map(remove, crowd))


async def test_who_has_a_namespace_now_has_the_last_word(site: FaultSite, team: Team) -> None:
    """Who gives it up and who has waited for it write to it at the same moment; the former's write comes last."""
    place, rival = Ref("v1", "Namespace", "", team.namespace), f"a-{team.name}"

    async def belongs_to(tenant: str) -> None:
        async def stamped() -> bool:
            live = await team.kube.get(place)
            return bool(live and live["metadata"]["labels"].get("airfield.dev/tenant") == tenant)

        await eventually(stamped)

    await belongs_to(team.name)
    await team.put_resource("AirflowTenant", rival, {"namespaces": [{"name": team.namespace}]})

    async def waiting() -> bool:
        live = await team.kube.get(Ref("airfield.dev/v1alpha1", "AirflowTenant", "", rival))
        return bool(live and "belongs to tenant" in conditions_of(live).get("Ready", {}).get("message", ""))

    await eventually(waiting)
    before = len(site.proxy.seen)
    write = Rule(Late(2.0), APPLY, kind="namespaces", name=place.name)
    news = Rule(Late(1.0), EVENT, kind="namespaces", name=place.name, times=9)  # which the answers come before
    with site.faults(write, news) as script:
        await team.put_tenant(namespaces=[])

        async def both_have_written() -> bool:
            seen = [each for each in site.proxy.seen[before:] if each.request.verb == "apply"]
            return [each.request.name for each in seen if each.request.kind == "namespaces"].count(place.name) > 1

        await eventually(both_have_written)
        await belongs_to(rival)
    assert len(script.taken) > 1


async def test_the_same_name_again_at_once(site: FaultSite, team: Team) -> None:
    """The end of the old object may be told after the beginning of the new one."""
    await create_and_wait(team)
    late = Rule(Late(1.0), EVENT, kind="airflowenvironmentclasses", name=team.name, first=1)
    with site.faults(late) as script:
        await team.kube.delete(of_team("AirflowEnvironmentClass", team))
        await team.put_class(defaults={**team.class_of()["defaults"], "config": {"core": {"parallelism": "7"}}})

        async def followed() -> bool:
            found = await team.existing(kinds.CONFIG_MAP, "demo-config")
            return "parallelism = 7" in found["data"]["airflow.cfg"]

        await eventually(followed)
    assert script.taken
    await asyncio.sleep(1.5)  # until the late event has come and, if it does harm, has done it
    await team.until_ready()
    assert (await team.condition("Resolved"))["status"] == "True"


@pytest.mark.parametrize("verbs", [APPLY, DELETE], ids=["written", "deleted"])
async def test_environments_whose_objects_are_changed_slowly_delay_nobody(
    site: FaultSite, kube: KubeClient, team: Team, verbs: frozenset[str]
) -> None:
    """As with an admission webhook that thinks long: three environments must not hold all connections."""
    neighbour, names = site.new_team(kube), [f"slow-{number}" for number in range(3)]
    await neighbour.settle()
    if verbs == DELETE:
        for name in names:
            await team.put_environment(name, executor="KubernetesExecutor")
        await team.until_ready(*names)
    slow = [Rule(Late(SOON), verbs, kind=kind, namespace=team.namespace, times=99) for kind in WRITTEN_FIRST]
    with site.faults(*slow) as script:
        for name in names:
            if verbs == DELETE:
                await team.kube.delete(team.environment(name))
            else:
                await team.put_environment(name, executor="KubernetesExecutor")

        async def held() -> bool:
            return len(script.taken) >= 3 * 3

        await eventually(held)
        await neighbour.put_environment()
        await neighbour.until_ready(seconds=SOON / 2)
        first = kinds.CONFIG_MAP, "config"
        left = [await team.get(first[0], f"{name}-{first[1]}") is not None for name in names]
        assert all(left) if verbs == DELETE else not any(left), "the others were not slow"
    site.operator.kill()  # its connections would go on waiting
    await neighbour.leave()


async def test_an_environment_deleted_before_its_finalizer_is_set(site: FaultSite, kube: KubeClient) -> None:
    """Nothing holds its deletion up then, and nobody would clear away what were still made of it."""
    team = site.new_team(kube)
    await team.settle()
    late = Rule(Late(3.0), PATCH, "airflowenvironments", team.namespace, "demo")
    # Two watches tell of them: their creation at once, their deletion only when it is too late.
    unsaid = Rule(Late(20.0), EVENT, "airflowenvironments", team.namespace, "demo", first=3, times=9)
    before = len(site.proxy.seen)

    async def begun() -> bool:
        return any(request.verb == "patch" for request in script.taken)

    async def refused() -> bool:
        return any(
            seen.status == 404 and seen.request.verb == "patch" and seen.request.namespace == team.namespace
            for seen in site.proxy.seen[before:]
        )

    with site.faults(late, unsaid) as script:
        await team.put_environment(deletionPolicy="Delete")
        await eventually(begun)
        await kube.delete(team.environment())
        await eventually(refused)
        await team.put_environment("later")
        await team.until_ready("later")
        assert not await team.objects()
    assert site.databases(database_name(team.namespace, "demo")) == set()


async def test_a_restart_writes_nothing(site: FaultSite, kube: KubeClient) -> None:
    """Not in a tenant's namespace, nor to it, nor to our own resources: digests tell what was applied."""
    team = site.new_team(kube)
    people = [{"kind": "User", "name": "jo"}]
    await team.put_namespace()
    await team.put_class(ceilings={"cpu": "2", "memory": "4Gi"})
    await team.put_tenant(owners=people, viewers=people, quota={"cpu": "9"})
    await team.put_environment()
    await team.until_ready()

    async def counted() -> bool:
        live = await team.kube.get(of_team("AirflowTenant", team))
        return bool(live and [use["used"] for use in live["status"].get("quota", [])] == ["300m"])

    await eventually(counted)
    await team.settled_versions()
    site.operator.kill()
    before, looks = len(site.proxy.seen), site.looks(team)
    site.operator.start()
    await site.until_looked_at(team, since=looks)
    everybody = len(await team.kube.list(kinds.AIRFLOW_TENANT))

    async def all_tenants() -> bool:
        passes = re.search(r'_duration_seconds_count\{kind="tenant",outcome="ok"\} (\S+)', site.operator.metrics())
        return passes is not None and float(passes[1]) >= everybody

    await eventually(all_tenants)
    asked = [seen.request for seen in site.proxy.seen[before:]]
    ours = [request for request in asked if team.namespace in {request.namespace, request.name}]
    assert ours
    assert [request for request in ours if request.writes] == []
    await team.leave()
