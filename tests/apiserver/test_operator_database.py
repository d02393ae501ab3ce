"""Databases that refuse, do not answer, cannot be migrated or move: it is said so, and the cure is noticed."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from airfield.environment.values import schema_revision
from airfield.environment_class.controller import LABEL_TEMPLATE
from airfield.kube import kinds
from airfield.kube.kinds import Ref
from operated_cluster import PULL_SECRET, REPAIR_SECONDS, SCHEMA, SYSTEM, VERSION, Json, Team, decoded, eventually

pytestmark = pytest.mark.apiserver


async def test_server_that_refuses_the_administrator(team: Team) -> None:
    admin = team.site.postgres.admin
    secret = {"namespace": team.namespace, "name": "postgres-admin"}
    await team.put_class(databaseServers=[team.server(adminSecret=secret)])
    await team.put_environment()
    await team.until_stuck("SecretNotFound", "databaseServers[main].adminSecret", f"{team.namespace}/postgres-admin")
    await team.put_secret("postgres-admin", {"username": admin.user, "password": "wrong"})
    condition = await team.until_stuck(
        "DatabaseRefused", f"{admin.host}:{admin.port}", f"role {admin.user}", "check user and password in the Secret"
    )
    assert "wrong" not in condition["message"]
    await team.put_secret("postgres-admin", {"username": admin.user, "password": admin.password})
    await team.until_ready()


async def test_server_that_does_not_answer(team: Team) -> None:
    """It is waited for; and when the class gives it another address, a person says whether the data has moved along."""
    admin = team.site.postgres.admin
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        await team.put_class(databaseServers=[team.server(port=port)])
        await team.put_environment()
        await team.until_stuck("DatabaseUnreachable", f"{admin.host}:{port}", "check that the server runs")
        assert (await team.condition("Reconciling"))["reason"] == "DatabaseUnreachable"
    async with _forwarding(port, admin.port):
        await team.until_ready()
        await team.put_class(databaseServers=[team.server()])
        where = (f"{admin.host}:{port} (Secret 'demo-database')", f"{admin.host}:{admin.port}")
        await team.until_stuck("DatabaseChanged", *where, "nothing is moved", "delete that Secret")
    await team.kube.delete(team.ref(kinds.SECRET, "demo-database"))
    await team.until_ready()


@asynccontextmanager
async def _forwarding(port: int, to: int) -> AsyncIterator[None]:
    """Let a port of this machine lead to another one."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(pipe(reader, back), pipe(there, writer), return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def external(team: Team) -> None:
    """An environment with a database of the user's own, which the operator has migrated by a Job."""
    name = team.name.replace("-", "_")
    address = team.site.external_database(name, "password-of-the-user")
    content = {"host": address.host, "port": str(address.port), "database": address.database, "sslmode": "disable"}
    await team.put_secret("db", {**content, "username": address.user, "password": address.password})
    await team.put_environment(database={"external": {"secret": {"name": "db"}}})


async def test_external_database(team: Team) -> None:
    await team.put_environment(database={"external": {"secret": {"name": "db"}}})
    await team.until_stuck("SecretNotFound", "database.external.secret", "'db'", "create it")
    await team.put_secret("db", {"host": "127.0.0.1", "database": "x", "username": "x"})
    await team.until_stuck("SecretNotFound", "database.external.secret", "password")
    await team.kube.delete(team.ref(kinds.SECRET, "db"))
    await external(team)
    await team.until_ready()


async def test_migration_that_fails(team: Team) -> None:
    """The Job's pods are kept from being made; that its time is up is said in its controller's stead."""
    quota = {"spec": {"hard": {"pods": "0"}}}
    await team.put("v1", "ResourceQuota", "none", quota)
    await external(team)

    async def job() -> Json:
        jobs = await team.kube.list(kinds.JOB, team.namespace)
        assert len(jobs) == 1
        assert jobs[0]["status"].get("startTime"), "not seen by the controller yet"
        return jobs[0]

    first = await eventually(job)
    over = {"status": "True", "reason": "DeadlineExceeded", "message": "Job was active longer than specified deadline"}
    over["lastTransitionTime"] = first["status"]["startTime"]
    failed = json.dumps({"status": {"conditions": [{"type": kind, **over} for kind in ("FailureTarget", "Failed")]}})
    space = f"--namespace={team.namespace}"
    job_name = f"job/{first['metadata']['name']}"
    team.site.kubectl("patch", job_name, space, "--subresource=status", "--type=merge", f"--patch={failed}")
    await team.until_stuck("MigrationFailed", first["metadata"]["name"], "failed", "tried again every", "kubectl logs")
    assert not await team.kube.list(kinds.DEPLOYMENT, team.namespace), "nothing starts on a schema that does not fit"

    async def again() -> bool:
        return bool((await job())["metadata"]["uid"] != first["metadata"]["uid"])

    await eventually(again)
    await team.kube.delete(team.ref(kinds.RESOURCE_QUOTA, "none"))
    await team.until_ready(seconds=90)


async def test_a_migration_job_that_somebody_edits(team: Team) -> None:
    await team.put("v1", "ResourceQuota", "none", {"spec": {"hard": {"pods": "0"}}})
    await external(team)

    async def begun() -> Json:
        (found,) = await team.kube.list(kinds.JOB, team.namespace) or [{}]
        assert found.get("status", {}).get("startTime"), "not seen by the controller yet"
        return found

    job = await eventually(begun)

    async def put_right(edit: Json) -> None:
        edited = await team.kube.patch(Ref.of(job), edit)
        assert edited is not None

        async def repaired(edited: Json = edited) -> bool:
            found = await begun()
            assert found["metadata"]["resourceVersion"] != edited["metadata"]["resourceVersion"]
            assert found["spec"] == job["spec"]
            return all(
                found["metadata"][part] == job["metadata"][part] for part in ("uid", "labels", "ownerReferences")
            )

        await eventually(repaired, REPAIR_SECONDS)

    theft: Json = {"metadata": {"labels": {"airfield.dev/tenant": "thieves"}}}
    await put_right({"spec": {"suspend": True}})
    await put_right({"spec": {"activeDeadlineSeconds": 3000}})
    await put_right(theft)
    await put_right({"metadata": {"labels": {"airfield.dev/environment": None}}})
    await put_right({"metadata": {"ownerReferences": None}})
    await team.kube.delete(team.ref(kinds.RESOURCE_QUOTA, "none"))
    await team.kube.patch(Ref.of(job), {"metadata": {"annotations": {"look": "again"}}})
    await team.until_ready()
    await put_right(theft)


async def test_a_template_that_cannot_be_made(team: Team) -> None:
    """Its Job fails: nothing of it is left, the class says so, and it is made when it can be."""
    image = f"airfield/airflow:{team.name}"
    revision = schema_revision(VERSION, image)

    async def things(kind: kinds.Kind) -> list[Json]:
        return await team.kube.list(kind, SYSTEM, f"{LABEL_TEMPLATE}={revision}")

    async def job() -> Json:
        (found,) = await things(kinds.JOB) or [{}]
        assert found.get("status", {}).get("startTime"), "not seen by the controller yet"
        return found

    async with _no_pods_in_the_system(team):
        await team.put_class(catalog={"versions": [{"version": VERSION, "image": image}]})
        begun = await eventually(job)
        assert begun["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": PULL_SECRET}]
        assert team.site.databases(revision)
        await team.kube.patch(Ref.of(begun), {"spec": {"activeDeadlineSeconds": 1}})
        words = (f"template for {image} on server 'main'", "its Job failed", "longer than specified")
        await eventually(lambda: team.says_of_itself("AirflowEnvironmentClass", "False", "TemplateFailed", *words))
        assert [*await things(kinds.JOB), *await things(kinds.SECRET)] == []
        assert team.site.databases(revision) == set()

        await team.put_class(sizes=[{"name": "small", "defaults": {}}])  # it is tried again; or a minute later
        again = await eventually(job)
        (secret,) = await things(kinds.SECRET)
        with team.site.in_database(decoded(secret)) as connection:
            connection.execute(SCHEMA)
    await team.kube.patch(Ref.of(again), {"metadata": {"annotations": {"look": "again"}}})

    async def ready() -> bool:
        found = await team.says_of_itself("AirflowEnvironmentClass", "True", "Succeeded")
        return [each["ready"] for each in found["status"]["templates"]] == [True]

    await eventually(ready)
    assert team.site.databases(revision)
    assert [*await things(kinds.JOB), *await things(kinds.SECRET)] == []


@asynccontextmanager
async def _no_pods_in_the_system(team: Team) -> AsyncIterator[None]:
    """Within the block no pod can be made in the operator's namespace."""
    await team.put("v1", "ResourceQuota", "none", {"spec": {"hard": {"pods": "0"}}}, namespace=SYSTEM)
    try:
        yield
    finally:
        await team.kube.delete(Ref("v1", "ResourceQuota", SYSTEM, "none"))


async def test_airflow_that_is_not_healthy(team: Team) -> None:
    """Pods that run are not enough: Airflow's own heartbeats count."""
    airflow, me = team.site.airflow, f"{team.namespace}/demo"
    airflow.down.add(me)
    await team.put_environment()
    await team.until_stuck("Unreachable", "api-server", "503")
    airflow.down.remove(me)
    airflow.silent[me] = "scheduler"
    await team.until_stuck("Unhealthy", "the scheduler sends no heartbeat")
    del airflow.silent[me]
    await team.until_ready()


async def test_one_look_in_vain_is_not_told(team: Team) -> None:
    """A lost packet must not alarm anybody."""
    airflow, me = team.site.airflow, f"{team.namespace}/demo"
    await team.put_environment()
    await team.until_ready()
    await team.settled_versions()
    before = await team.kube.get(team.environment())

    async def looked_at(again: int) -> bool:
        return airflow.asked.count(me) >= asked + again

    airflow.stumbles.add(me)
    asked = airflow.asked.count(me)
    await _disturb(team)
    await eventually(lambda: looked_at(2))
    assert me not in airflow.stumbles
    assert await team.kube.get(team.environment()) == before

    airflow.down.add(me)
    await _disturb(team)
    await team.until_stuck("Unreachable", "api-server", "503")
    airflow.down.remove(me)
    await team.until_ready()


async def _disturb(team: Team) -> None:
    """Have the operator look at the environment: somebody takes a Service away."""
    assert await team.kube.delete(team.ref(kinds.SERVICE, "demo-api-server"))


async def test_another_external_database_is_migrated_too(team: Team) -> None:
    """What is known of the schema of one database says nothing about another one."""
    first, second = (team.site.external_database(f"{team.name}_{n}", "secret") for n in ("one", "two"))
    for address in (first, second):
        content = {"host": address.host, "port": str(address.port), "database": address.database, "sslmode": "disable"}
        await team.put_secret("mine", {**content, "username": address.user, "password": address.password})
        if address is first:
            await team.put_environment(database={"external": {"secret": {"name": "mine"}}})
            await team.until_ready()
            job = await _job(team)

    async def migrated_again() -> bool:
        return (await _job(team)) != job

    await eventually(migrated_again)
    await team.until_ready()
    assert (await team.secret("demo-database"))["database"] == second.database


async def _job(team: Team) -> str:
    """The uid of the migration Job."""
    jobs = [obj for ref, obj in (await team.objects()).items() if ref.kind == "Job"]
    assert len(jobs) == 1, [job["metadata"]["name"] for job in jobs]
    return str(jobs[0]["metadata"]["uid"])
