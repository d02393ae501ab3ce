"""Namespaces of tenants: made, adopted, kept, let go; and how a tenant leaves."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airfield.api.conditions import conditions_of
from airfield.kube import credentials, kinds
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref
from demo.platform import SYSTEM
from operated_cluster import REPAIR_SECONDS, Team, eventually

pytestmark = pytest.mark.apiserver

PLATFORM = {"pod-security.kubernetes.io/enforce-version": "latest"}
"""What the platform team gives the namespaces that it makes."""
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def tenant(team: Team, name: str = "") -> Ref:
    return Ref("airfield.dev/v1alpha1", "AirflowTenant", "", name or team.name)


def namespace(name: str) -> Ref:
    return Ref("v1", "Namespace", "", name)


async def labels(team: Team, name: str) -> dict[str, str]:
    """The labels of a namespace but its name."""
    live = await team.kube.get(namespace(name))
    assert live is not None, f"there is no namespace {name}"
    found = dict(live["metadata"].get("labels", {}))
    del found["kubernetes.io/metadata.name"]
    return found


def says(team: Team, status: str, reason: str, *words: str, name: str = "") -> Callable[[], Awaitable[bool]]:
    """A condition: what the tenant's Ready says of its latest generation."""

    async def look() -> bool:
        live = await team.kube.get(tenant(team, name))
        assert live is not None
        ready = conditions_of(live).get("Ready", {})
        assert (ready.get("status"), ready.get("reason")) == (status, reason), ready
        assert ready["observedGeneration"] == live["metadata"]["generation"]
        assert not [word for word in words if word not in ready["message"]], ready
        return True

    return look


def gone(team: Team, ref: Ref) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await team.kube.get(ref) is None

    return look


def has(team: Team, name: str, wanted: dict[str, str]) -> Callable[[], Awaitable[bool]]:
    """A condition: a namespace has exactly these labels."""

    async def look() -> bool:
        found = await labels(team, name)
        assert found == wanted
        return True

    return look


async def put_environment(team: Team, place: str, name: str = "demo", **spec: Any) -> None:
    """An environment in another namespace than the team's first; made there as soon as one can."""
    body = {"metadata": {"name": name, "namespace": place}, "spec": team.environment_spec(**spec)}
    manifest = {"apiVersion": "airfield.dev/v1alpha1", "kind": "AirflowEnvironment", **body}

    async def made() -> bool:
        with contextlib.suppress(ApiError):
            await team.kube.create(manifest)
        return await team.kube.get(Ref.of(manifest)) is not None

    await eventually(made)


async def until_ready(team: Team, place: str) -> None:
    await Team(team.site, team.kube, team.name, place).until_ready()


async def test_a_namespace_is_made_and_kept(team: Team) -> None:
    place = f"{team.name}-live"
    await team.put_tenant(namespaces=[{"name": team.namespace}, {"name": place}], labels={"cost-centre": "4711"})
    stamped = {**RESTRICTED, "airfield.dev/tenant": team.name, "cost-centre": "4711"}
    await eventually(has(team, place, stamped))
    root = {"name": "base", "image": "x", "securityContext": {"privileged": True}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root", "namespace": place}}
    with pytest.raises(ApiError, match="violates PodSecurity"):
        await team.kube.create({**pod, "spec": {"containers": [root]}})
    await put_environment(team, place)
    await until_ready(team, place)
    await eventually(says(team, "True", "Succeeded"))
    # What others add stays; what they take away or change comes back.
    theft = {"cost-centre": "theirs", "pod-security.kubernetes.io/enforce": "privileged", "theirs": "x"}
    theft |= {"airfield.dev/tenant": "thieves"}
    await team.put("v1", "Namespace", place, {}, namespaced=False, labels=theft)
    await eventually(has(team, place, {**stamped, "theirs": "x"}))
    # A label that the tenant has no more goes.
    await team.put_tenant(labels={})
    del stamped["cost-centre"]
    await eventually(has(team, place, {**stamped, "theirs": "x"}))
    before = await team.kube.get(namespace(place))
    await team.settled_versions()
    assert await team.kube.get(namespace(place)) == before
    # Somebody deletes it: with everything in it, and it is made anew.
    await team.kube.delete(namespace(place))
    await eventually(has(team, place, stamped), 90)


async def test_what_isolates_a_namespace_stays(team: Team) -> None:
    """Both policies come back, and are as they were, within moments."""
    names = ("airfield-default-deny", "airfield-isolation")

    async def found() -> dict[str, Any]:
        objects = {name: await team.get(kinds.NETWORK_POLICY, name) for name in names}
        return {name: obj["spec"] for name, obj in objects.items() if obj is not None}

    async def both() -> dict[str, Any] | None:
        specs = await found()
        return specs if len(specs) == 2 else None

    wanted = await eventually(both)
    assert wanted is not None
    assert wanted["airfield-default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    async def as_wanted() -> bool:
        return await found() == wanted

    for name in names:
        ref = team.ref(kinds.NETWORK_POLICY, name)
        await team.kube.patch(ref, {"spec": {"podSelector": {"matchLabels": {"app": "nobody"}}, "egress": [{}]}})
        await eventually(as_wanted, REPAIR_SECONDS)
        await team.kube.delete(ref)
        await eventually(as_wanted, REPAIR_SECONDS)


async def test_a_namespace_is_adopted_and_let_go(team: Team) -> None:
    place = f"{team.name}-old"
    own = {"theirs": "x", "app.kubernetes.io/managed-by": "Helm", "pod-security.kubernetes.io/enforce": "baseline"}
    await team.put("v1", "Namespace", place, {}, namespaced=False, labels=own)
    await team.put_tenant(namespaces=[{"name": team.namespace}, {"name": place}])
    await eventually(has(team, place, {**own, **RESTRICTED, "airfield.dev/tenant": team.name}))
    await team.put_tenant(namespaces=[{"name": team.namespace}])
    await eventually(has(team, place, {**own, **RESTRICTED}))


async def test_a_namespace_of_another_tenant_stays_the_others(team: Team) -> None:
    """Who claims it later gets nothing, and does no harm; when it is given up, the other one has it at once."""
    await team.put_environment()
    await team.until_ready()
    before = await team.settled_versions()
    rival, words = f"a-{team.name}", (f"{team.namespace!r} belongs to tenant {team.name!r}", "remove it")
    spec = {
        "namespaces": [{"name": team.namespace}],
        "allowedClasses": [team.name],
        "labels": {"cost-centre": "theirs"},
    }
    await team.put_resource("AirflowTenant", rival, spec)
    await eventually(says(team, "False", "NamespaceConflict", *words, name=rival))
    assert await team.settled_versions() == before
    await team.put_tenant(namespaces=[])
    await eventually(says(team, "True", "Succeeded", name=rival))
    stamped = {**PLATFORM, **RESTRICTED, "airfield.dev/tenant": rival, "cost-centre": "theirs"}
    await eventually(has(team, team.namespace, stamped))

    async def moved() -> bool:
        live = await team.kube.get(team.environment())
        assert live is not None
        return bool(live["status"]["tenant"] == rival)

    await eventually(moved)
    await team.until_ready()
    await team.kube.delete(team.environment())
    await eventually(gone(team, team.environment()))

    async def empty() -> bool:
        live = await team.kube.get(tenant(team, rival))
        assert live is not None
        return bool(live["status"]["inUseBy"] == [])

    await eventually(empty)
    await team.kube.delete(tenant(team, rival))
    await eventually(gone(team, tenant(team, rival)))


async def test_the_operators_own_namespace_belongs_to_nobody(team: Team) -> None:
    before = await team.kube.get(namespace(SYSTEM))
    await team.put_tenant(namespaces=[{"name": team.namespace}, {"name": SYSTEM}])
    await eventually(says(team, "False", "NamespaceReserved", SYSTEM))
    await team.put_environment()
    await team.until_ready()  # the tenant's other namespaces are not concerned
    assert await team.kube.get(namespace(SYSTEM)) == before
    await team.put_tenant(namespaces=[{"name": team.namespace}])
    await eventually(says(team, "True", "Succeeded"))


async def in_use(team: Team) -> bool:
    live = await team.kube.get(tenant(team))
    assert live is not None
    assert live["status"]["inUseBy"] == [f"{team.namespace}/demo"]
    return True


async def test_a_tenant_with_environments_is_not_deleted(team: Team) -> None:
    """Admission refuses; and who gets past it, because the status was not up to date, is held by the finalizer."""
    await team.put_tenant(deletionPolicy="Refuse")
    await team.put_environment()
    await team.until_ready()
    await eventually(lambda: in_use(team))
    with pytest.raises(
        ApiError, match=f"still has environments: {team.namespace}/demo; delete them, or set spec"
    ) as no:
        await team.kube.delete(tenant(team))
    assert no.value.forbidden
    with team.site.no_operator():
        await team.kube.patch(tenant(team), {"status": {"inUseBy": []}}, subresource="status")
        await team.kube.delete(tenant(team))
    await eventually(says(team, "False", "TenantInUse", f"environments: {team.namespace}/demo", "deletionPolicy"))
    await team.put_environment(config={"core": {"parallelism": "7"}})
    await team.until_ready()  # until it is gone, it is its tenant
    stamped = await labels(team, team.namespace)
    assert stamped["airfield.dev/tenant"] == team.name
    await team.kube.patch(tenant(team), {"spec": {"deletionPolicy": "Orphan"}})
    await eventually(gone(team, tenant(team)))
    await team.until_stuck("NoTenant")
    del stamped["airfield.dev/tenant"]
    await eventually(has(team, team.namespace, stamped))
    assert await team.get(kinds.DEPLOYMENT, "demo-scheduler") is not None


async def test_a_tenant_that_takes_everything_along(team: Team) -> None:
    """Environments by their own policy; of the namespaces those that were made for it and hold nobody's data."""
    made, kept = f"{team.name}-made", f"{team.name}-kept"
    places = [{"name": name} for name in (team.namespace, made, kept)]
    await team.put_tenant(namespaces=places, deletionPolicy="Delete")
    await team.put_environment(deletionPolicy="Delete")
    await put_environment(team, made, deletionPolicy="Delete")
    await put_environment(team, kept, deletionPolicy="Orphan")
    await team.until_ready()
    for place in (made, kept):
        await until_ready(team, place)
    await team.kube.delete(tenant(team))
    await eventually(gone(team, tenant(team)), 90)
    await eventually(gone(team, namespace(made)), 90)
    assert not await team.kube.list(kinds.AIRFLOW_ENVIRONMENT, kept)
    secrets = {secret["metadata"]["name"] for secret in await team.kube.list(kinds.SECRET, kept)}
    assert {"demo-fernet", "demo-database"} <= secrets
    assert await labels(team, kept) == RESTRICTED
    assert await labels(team, team.namespace) == {**PLATFORM, **RESTRICTED}


async def test_one_that_leaves_takes_no_namespace_of_anothers_along(team: Team) -> None:
    """Although it was made for it, and the other one has had no time to say that it is its own."""
    place, heir = f"{team.name}-made", f"b-{team.name}"
    await team.put_tenant(namespaces=[{"name": place}], deletionPolicy="Delete")
    await eventually(has(team, place, {**RESTRICTED, "airfield.dev/tenant": team.name}))
    with team.site.no_operator():
        await team.put_tenant(namespaces=[])
        await team.put_resource("AirflowTenant", heir, {"namespaces": [{"name": place}]})
        await team.kube.delete(tenant(team))
    await eventually(gone(team, tenant(team)))
    await eventually(has(team, place, {**RESTRICTED, "airfield.dev/tenant": heir}))
    live = await team.kube.get(namespace(place))
    assert live is not None
    assert "deletionTimestamp" not in live["metadata"]


async def test_one_that_cannot_be_read_can_leave(team: Team) -> None:
    await team.put_tenant(labels={"$(id)": "x"})
    await eventually(says(team, "False", "InvalidSpec"))
    await team.kube.delete(tenant(team))
    await eventually(gone(team, tenant(team)))


async def test_what_the_operator_may_do_with_namespaces(team: Team) -> None:
    """Its rights are on all of them; an admission policy leaves it tenants' ones."""
    place = f"{team.name}-foreign"
    await team.put("v1", "Namespace", place, {}, namespaced=False)
    no_delete, no_touch = "deletes only namespaces that it has made", "touches no namespace of the system, nor its own"
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    async with KubeClient(credentials.from_kubeconfig(path=str(team.site.operator.kubeconfig))) as operator:
        for name, message in ((place, no_delete), (SYSTEM, no_touch)):
            with pytest.raises(ApiError, match=message) as no:
                await operator.delete(namespace(name))
            assert no.value.forbidden
        for name in ("kube-system", "default", SYSTEM):
            with pytest.raises(ApiError, match=no_touch):
                await operator.patch(namespace(name), label)
        with pytest.raises(ApiError, match=no_touch):
            await operator.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-more"}})
    await asyncio.to_thread(team.site.kubectl, "delete", "namespace", place, "--wait=false")  # others may
