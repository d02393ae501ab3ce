"""Quotas of tenants: who gets the last of one, that nobody loses what they have, and what Kubernetes holds them to."""

import pytest

from airfield.kube import kinds
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref
from operated_cluster import PAUSED, Json, Team, eventually, restricted_container

pytestmark = pytest.mark.apiserver

MORE: Json = {"components": {"scheduler": {"resources": {"requests": {"cpu": "1"}}}}}


async def tenant_status(team: Team) -> Json:
    live = await team.kube.get(Ref("airfield.dev/v1alpha1", "AirflowTenant", "", team.name))
    assert live is not None
    found: Json = live["status"]
    return found


async def uses(team: Team, **wanted: str) -> bool:
    found = {each["name"]: f"{each['used']}/{each['limit']}" for each in (await tenant_status(team)).get("quota", [])}
    assert found == wanted
    return True


async def test_two_race_for_the_last_slot(team: Team) -> None:
    """The older one gets it, or of two of an age the first by name; and it stays with it until it is given up."""
    await team.put_tenant(quota={"environments": 1})
    with team.site.no_operator():
        for name in ("zoe", "adam", "mia"):
            await team.put_environment(name)
    born = {
        env["metadata"]["name"]: env["metadata"]
        for env in await team.kube.list(kinds.AIRFLOW_ENVIRONMENT, team.namespace)
    }
    first, second, third = sorted(born, key=lambda name: (born[name]["creationTimestamp"], name))
    await team.until_ready(first)
    for name in (second, third):
        words = (f"tenant {team.name!r} has 1 other environments", "its quota is 1", "ask the platform team")
        await team.until_stuck("QuotaExceeded", *words, name=name)
        assert not await team.objects(name)
    await eventually(lambda: uses(team, environments="1/1"))
    await team.put_environment(first, config={"core": {"parallelism": "7"}})
    await team.until_ready(first)
    with team.site.no_operator():  # whoever leads next knows who had it
        await team.put_environment(second, config={"core": {"parallelism": "7"}})
    await team.until_stuck("QuotaExceeded", name=second)
    await team.until_ready(first)
    await team.kube.delete(team.environment(first))
    await team.until_ready(second)
    await team.until_stuck("QuotaExceeded", name=third)
    await team.put_tenant(quota={"environments": 2})
    await team.until_ready(second, third)


async def test_a_quota_below_use_harms_nobody_who_runs(team: Team) -> None:
    await team.put_environment("one")
    await team.put_environment("two")
    await team.until_ready("one", "two")
    await team.put_tenant(quota={"environments": 1, "cpu": "100m", "memory": "1Gi", "storage": "1Gi"})
    await eventually(lambda: uses(team, environments="2/1", cpu="600m/100m", memory="1920Mi/1Gi", storage="10Gi/1Gi"))
    for name in ("one", "two"):
        await team.put_environment(name, config={"core": {"parallelism": "9"}})
    await team.until_ready("one", "two")
    before = await team.existing(kinds.DEPLOYMENT, "one-scheduler")
    await team.put_environment("one", **MORE)
    words = ("cpu: this environment asks for 1200m", "others of tenant", "use 300m, and the quota is 100m")
    await team.until_stuck("QuotaExceeded", *words, name="one")
    assert (await team.existing(kinds.DEPLOYMENT, "one-scheduler"))["spec"] == before["spec"]
    await team.kube.delete(team.ref(kinds.DEPLOYMENT, "two-scheduler"))  # what is lost comes back
    await team.until_ready("two")
    less: Json = {"components": {"scheduler": {"resources": {"requests": {"cpu": "50m"}}}}}
    await team.put_environment("one", **less)
    await team.until_ready("one")
    await eventually(lambda: uses(team, environments="2/1", cpu="550m/100m", memory="1920Mi/1Gi", storage="10Gi/1Gi"))
    await team.put_tenant(quota={})
    await eventually(lambda: uses(team))
    await team.put_environment("one", **MORE)
    await team.until_ready("one")


async def test_who_runs_and_waits_to_grow_keeps_its_turn(team: Team) -> None:
    """Whoever looks first when something becomes free: the older one gets it. Paused ones want nothing."""
    await team.put_tenant(quota={"cpu": "1300m"})
    await team.put_environment("old")
    await team.put_environment("filler")
    await team.until_ready("old", "filler")
    await team.put_environment("old", **MORE)
    await team.until_stuck("QuotaExceeded", "asks for 1200m", name="old")
    little: Json = {"components": {"scheduler": {"resources": {"requests": {"cpu": "550m"}}}}}
    await team.put_environment("young", **little)
    await team.until_stuck("QuotaExceeded", "asks for 750m", name="young")
    await team.kube.delete(team.environment("filler"))
    await team.until_ready("old")
    await team.until_stuck("QuotaExceeded", "others of tenant", "use 1200m", name="young")
    await team.put_environment("old")
    await team.until_ready("old", "young")
    await team.put_environment("old", annotations=PAUSED, **MORE)
    await team.put_environment("young", components={"scheduler": {"resources": {"requests": {"cpu": "800m"}}}})
    await team.until_ready("young")


async def test_kubernetes_holds_namespaces_to_it(team: Team) -> None:
    """Task pods, and whatever a DAG makes of its pod: they are refused by the API server."""
    other = f"{team.name}-other"
    await team.put_class(ceilings={"cpu": "2", "memory": "4Gi", "storage": "20Gi"})
    places = [{"name": team.namespace}, {"name": other}]
    await team.put_tenant(quota={"cpu": "3", "memory": "8Gi", "storage": "30Gi"}, namespaces=places)
    await team.put_environment()
    await team.until_ready()

    async def limited(namespace: str, cpu: str, memory: str, storage: str) -> bool:
        live = await team.kube.get(Ref("v1", "ResourceQuota", namespace, "airfield"))
        assert live is not None
        hard = {"requests.cpu": cpu, "requests.memory": memory, "requests.storage": storage}
        assert live["spec"]["hard"] == hard
        return True

    # The other namespace has what this one leaves; this one has room to roll out.
    await eventually(lambda: limited(team.namespace, "3300m", "9152Mi", "30Gi"))
    await eventually(lambda: limited(other, "2700m", "7232Mi", "25Gi"))
    ranges = await team.existing(kinds.LIMIT_RANGE, "airfield")
    assert [item["type"] for item in ranges["spec"]["limits"]] == ["Container", "PersistentVolumeClaim"]

    def pod(name: str, **resources: Json) -> Json:
        container = {**restricted_container("base", "airfield/airflow:3.3.2"), "resources": resources}
        metadata = {"name": name, "namespace": other}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}

    def volume(name: str, size: str) -> Json:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        metadata = {"name": name, "namespace": other}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}

    made = await team.kube.create(pod("small"))
    assert made is not None
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "50m", "memory": "64Mi"}
    with pytest.raises(ApiError, match="maximum cpu usage per Container is 2, but limit is 5"):
        await team.kube.create(pod("large", limits={"cpu": "5"}))
    with pytest.raises(ApiError, match="maximum memory usage per Container is 4Gi, but limit is 5Gi"):
        await team.kube.create(pod("large", limits={"memory": "5Gi"}))

    async def counted() -> bool:
        live = await team.kube.get(Ref("v1", "ResourceQuota", other, "airfield"))
        return live is not None and live.get("status", {}).get("used", {}).get("requests.cpu") == "50m"

    await eventually(counted)
    await team.kube.create(pod("first", requests={"cpu": "2", "memory": "1Gi"}))
    with pytest.raises(ApiError, match=r"exceeded quota: airfield, requested: requests\.cpu=2"):
        await team.kube.create(pod("second", requests={"cpu": "2", "memory": "1Gi"}))
    with pytest.raises(ApiError, match="maximum storage usage per PersistentVolumeClaim is 20Gi, but request is 21Gi"):
        await team.kube.create(volume("large", "21Gi"))
    await team.kube.create(volume("first", "20Gi"))
    with pytest.raises(ApiError, match=r"exceeded quota: airfield, requested: requests\.storage=20Gi"):
        await team.kube.create(volume("second", "20Gi"))
    # Nobody but the platform team changes that, and not in the namespace.
    await team.kube.patch(Ref("v1", "ResourceQuota", other, "airfield"), {"spec": {"hard": {"requests.cpu": "99"}}})
    await team.kube.delete(team.ref(kinds.LIMIT_RANGE, "airfield"))
    await eventually(lambda: limited(other, "2700m", "7232Mi", "25Gi"))
    assert await eventually(lambda: team.get(kinds.LIMIT_RANGE, "airfield"))
    # Both follow tenant and class.
    await team.put_tenant(quota={"environments": 3})
    await team.put_class(ceilings={})

    async def unlimited() -> bool:
        return not await team.kube.list(kinds.RESOURCE_QUOTA, other) and not await team.kube.list(
            kinds.LIMIT_RANGE, other
        )

    await eventually(unlimited)
