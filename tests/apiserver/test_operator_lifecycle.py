"""The end of environments, and what comes after it."""

import asyncio

import pytest
from psycopg import sql

from airfield.kube import kinds
from airfield.kube.errors import ApiError
from airfield.kube.kinds import Ref
from airfield.postgres.mark import Mark
from operated_cluster import VERSION, Team, assert_says, eventually
from postgres_server import login

pytestmark = pytest.mark.apiserver

KEYS = ("fernet", "api", "jwt", "admin", "database")


async def gone(team: Team, name: str = "demo") -> bool:
    return await team.kube.get(team.environment(name)) is None


async def delete(team: Team, name: str = "demo") -> None:
    await team.kube.delete(team.environment(name))
    await eventually(lambda: gone(team, name), 60)


async def nothing_left(team: Team, *kept: str) -> bool:
    """Whether of the environment's objects only those kinds are left."""
    left = [ref for ref in await team.objects() if ref.kind not in kept]
    assert not left
    return True


async def test_delete(team: Team) -> None:
    await team.put_environment(deletionPolicy="Delete", executor="KubernetesExecutor")
    await team.put_environment("other")
    await team.until_ready("demo", "other")
    mine = (await team.secret("demo-database"))["database"]
    others = (await team.secret("other-database"))["database"]
    assert team.site.databases(mine) == {mine}
    before = await team.settled_versions("other")
    await delete(team)
    await eventually(lambda: nothing_left(team))
    assert team.site.databases(mine) == set()
    assert team.site.databases(others) == {others}

    def told(versions: dict[Ref, str]) -> dict[Ref, str]:
        return {ref: version for ref, version in versions.items() if not ref.kind.startswith("Airflow")}

    assert told(await team.versions("other")) == told(before)


async def test_orphan_and_adoption(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    secrets = {key: await team.secret(f"demo-{key}") for key in KEYS}
    volume = await team.existing(kinds.PERSISTENT_VOLUME_CLAIM, "demo-logs")
    with team.site.in_database(secrets["database"]) as connection:
        connection.execute("CREATE TABLE keepsake ()")
    await delete(team)
    await eventually(lambda: nothing_left(team, "Secret", "PersistentVolumeClaim"))

    await team.put_environment()
    await team.until_ready()
    assert {key: await team.secret(f"demo-{key}") for key in KEYS} == secrets
    found = await team.existing(kinds.PERSISTENT_VOLUME_CLAIM, "demo-logs")
    assert found["metadata"]["uid"] == volume["metadata"]["uid"]
    with team.site.in_database(secrets["database"]) as connection:
        assert connection.execute("SELECT to_regclass('public.keepsake') IS NOT NULL").fetchone() == (True,)


async def test_the_database_of_a_lost_cluster_is_taken_over_once_the_class_says_that_it_is_lost(team: Team) -> None:
    """As docs/databases.md tells it: of the former cluster's Secrets only the Fernet key was restored."""
    await team.put_environment()
    await team.until_ready()
    before = await team.secret("demo-database")
    with team.site.in_database(before) as connection:
        connection.execute("CREATE TABLE keepsake ()")
    await delete(team)
    for key in set(KEYS) - {"fernet"}:
        await team.kube.delete(team.ref(kinds.SECRET, f"demo-{key}"))
    mark = Mark(environment=f"{team.namespace}/demo", cluster="the-lost-one", schema="")
    with login(team.site.postgres.superuser) as connection:
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
        connection.execute(comment.format(sql.Identifier(before["database"]), sql.Literal(mark.dump())))

    await team.put_environment()
    await team.until_stuck("DatabaseConflict", "'the-lost-one'", "databaseServers[main].formerClusters")
    await team.put_class(databaseServers=[team.server(formerClusters=["the-lost-one"])])
    await team.until_ready()
    after = await team.secret("demo-database")
    assert (after["database"], after["password"] == before["password"]) == (before["database"], False)
    with team.site.in_database(after) as connection:
        connection.execute("SELECT FROM keepsake")


async def test_delete_of_what_cannot_be_read_keeps_the_data(team: Team) -> None:
    """Its class would delete them in development; of a specification that cannot be read, nobody knows the stage."""
    presets = [{"stage": "dev", "defaults": {"deletionPolicy": "Delete"}}]
    await team.put_class(stages=presets)
    await team.put_environment(stage="prod")
    await team.until_ready()
    secrets = {key: await team.secret(f"demo-{key}") for key in KEYS}
    await team.put_environment(stage="prod", labels={"cost centre": "4711"})  # no schema can look at a map's keys
    await team.until_stuck("InvalidSpec", "labels")
    await delete(team)
    await eventually(lambda: nothing_left(team, "Secret", "PersistentVolumeClaim"))
    assert {key: await team.secret(f"demo-{key}") for key in KEYS} == secrets
    with team.site.in_database(secrets["database"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_delete_of_what_never_came_to_be(team: Team) -> None:
    """What cannot be resolved can be deleted nevertheless."""
    await team.put_environment(className="nowhere", deletionPolicy="Delete")
    await team.until_stuck("ClassNotFound")
    await delete(team)


async def test_delete_while_it_is_being_created(team: Team) -> None:
    """At whatever point of its making it is hit, nothing is left behind."""
    names = [f"early-{number}" for number in range(4)]
    for number, name in enumerate(names):
        await team.put_environment(name, deletionPolicy="Delete")

        async def advanced(name: str = name, steps: int = 6 * number) -> bool:
            return len(await team.objects(name)) >= steps

        await eventually(advanced)
        await team.kube.delete(team.environment(name))
    for name in names:
        await eventually(lambda name=name: gone(team, name), 60)  # type: ignore[misc]

    async def clean(name: str) -> bool:
        assert not await team.objects(name)
        return True

    for name in names:
        await eventually(lambda name=name: clean(name))  # type: ignore[misc]
    assert team.site.databases(team.namespace.replace("-", "_")) == set()


async def test_delete_and_make_anew_at_once(team: Team) -> None:
    await team.put_environment(deletionPolicy="Delete")
    await team.until_ready()
    before = await team.secret("demo-fernet")
    await delete(team)
    await team.put_environment(deletionPolicy="Delete")
    await team.until_ready()
    assert await team.secret("demo-fernet") != before


async def test_delete_waits_for_a_database_server(team: Team) -> None:
    await team.put_environment(deletionPolicy="Delete")
    await team.until_ready()
    database = (await team.secret("demo-database"))["database"]
    secret = {"namespace": team.namespace, "name": "lost"}
    await team.put_class(databaseServers=[team.server(adminSecret=secret)])
    await team.kube.delete(team.environment())

    async def waits() -> bool:
        condition = await team.condition("Ready", latest=False)
        assert condition["reason"] == "SecretNotFound" or "adminSecret" in condition["message"], condition
        return True

    await eventually(waits)
    assert await team.get(kinds.SECRET, "demo-fernet"), "keys stay as long as the data that they open"
    await team.put_class(databaseServers=[team.server()])
    await eventually(lambda: gone(team), 60)
    assert team.site.databases(database) == set()


async def test_namespace_with_an_environment_can_be_deleted(team: Team) -> None:
    await team.put_environment(executor="KubernetesExecutor")
    await team.put_environment("young")
    await team.until_ready()
    namespace = Ref("v1", "Namespace", "", team.namespace)
    before = await team.kube.get(namespace)
    await team.kube.delete(namespace)

    async def anew() -> bool:
        """Its tenant lists it, so it is made again."""
        live = await team.kube.get(namespace)
        return bool(before and live and live["metadata"]["uid"] != before["metadata"]["uid"])

    await eventually(anew, 60)
    assert not await team.objects()


async def test_as_long_as_a_scheduler_drains_there_is_an_api_server(team: Team) -> None:
    """Its tasks report to it."""
    await team.put_environment()
    await team.until_ready()
    # On a node that does not exist nobody ends a pod.
    labels = {"airfield.dev/environment": "demo", "app.kubernetes.io/component": "scheduler"}
    await team.put_pod("draining", {"nodeName": "nowhere"}, labels=labels)
    await team.kube.delete(team.environment())

    async def drains() -> bool:
        assert "draining" in (await team.condition("Healthy"))["message"]
        return await team.get(kinds.DEPLOYMENT, "demo-scheduler") is None

    await eventually(drains)
    assert await team.get(kinds.DEPLOYMENT, "demo-api-server")
    await asyncio.to_thread(
        team.site.kubectl, f"--namespace={team.namespace}", "delete", "pod", "draining", "--force", "--grace-period=0"
    )
    await eventually(lambda: gone(team))
    await eventually(lambda: nothing_left(team, "Secret", "PersistentVolumeClaim"))


async def test_class_and_tenant_may_go_first(team: Team) -> None:
    await team.put_environment(deletionPolicy="Orphan")
    await team.until_ready()
    await team.kube.delete(Ref("airfield.dev/v1alpha1", "AirflowEnvironmentClass", "", team.name))
    await team.until_stuck("ClassNotFound")
    await team.kube.delete(Ref("airfield.dev/v1alpha1", "AirflowTenant", "", team.name))
    await team.until_stuck("NoTenant")
    assert await team.get(kinds.DEPLOYMENT, "demo-scheduler"), "what runs goes on running"
    await delete(team)


async def test_kind_of_database_is_for_ever(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    with pytest.raises(ApiError) as caught:
        await team.put_environment(database={"embedded": {}})
    assert "make a new environment and move the data" in caught.value.message
    await asyncio.gather(team.until_ready())


async def test_a_class_that_changes_its_volumes_leaves_existing_ones(team: Team) -> None:
    """Kubernetes refuses such changes; an environment that runs must not suffer from the attempt."""
    await team.put_environment()
    await team.until_ready()
    volume = await team.existing(kinds.PERSISTENT_VOLUME_CLAIM, "demo-logs")
    smaller = {"size": "1Gi", "storageClassName": "slow", "accessMode": "ReadWriteOnce"}
    await team.put_class(
        defaults={"version": VERSION, "executor": "LocalExecutor", "logs": {"persistentVolume": smaller}}
    )

    async def told() -> bool:
        applied = await team.condition("Applied")
        assert applied["status"] == "True"
        assert_says(applied["message"], "volume 'demo-logs' keeps its size 5Gi", "access mode ReadWriteMany")
        return True

    await eventually(told)
    await team.until_ready()
    after = await team.existing(kinds.PERSISTENT_VOLUME_CLAIM, "demo-logs")
    assert (after["metadata"]["uid"], after["spec"]) == (volume["metadata"]["uid"], volume["spec"])
