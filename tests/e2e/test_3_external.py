"""An environment on a database that somebody else made; and an operator that dies at the wrong moment."""

import signal

import pytest

from demo.platform import SYSTEM, Platform
from e2e.databases import HOST, DatabaseServer
from e2e.environments import Environment
from e2e.processes import processes, send
from e2e.secrecy import leaks
from e2e.waiting import Stopwatch, eventually

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("steady", "bystander")]

LOGIN = {"host": HOST, "port": "5432", "database": "handmade", "username": "handmade", "password": "of-handmade-role"}
SPEC = {"executor": "LocalExecutor", "database": {"external": {"secret": {"name": "metadata"}}}}


@pytest.fixture(scope="module")
def environment(platform: Platform, server: DatabaseServer) -> Environment:
    """Its role may log in to its database, and nothing more."""
    server.ask(f"CREATE ROLE handmade LOGIN PASSWORD '{LOGIN['password']}'")
    server.ask("CREATE DATABASE handmade")
    metadata = {"name": "metadata", "namespace": "external"}
    platform.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": LOGIN}])
    environment = Environment(platform, "external", "airflow")
    environment.apply(**SPEC)
    return environment


def test_a_role_that_may_not_create_tables(environment: Environment) -> None:
    found = environment.until("DatabaseReady", "False", "DatabaseRefused", "MigrationFailed")
    assert "'handmade'" in found["message"]
    assert "schema public" in found["message"]
    assert leaks(environment) == []


def test_a_migration_that_fails(environment: Environment, server: DatabaseServer) -> None:
    """A table of somebody else's is in Airflow's way."""
    server.ask("CREATE TABLE dag (number int)", "handmade")
    server.ask("GRANT CREATE, USAGE ON SCHEMA public TO handmade", "handmade")
    found = environment.until("DatabaseReady", "False", "MigrationFailed")
    assert "airflow db migrate failed (1)" in found["message"]
    assert leaks(environment) == []
    assert not environment.items("deployments")


def test_it_recovers_although_the_operator_is_killed(environment: Environment, server: DatabaseServer) -> None:
    watch = Stopwatch()
    server.ask("DROP TABLE dag", "handmade")
    eventually("migration", lambda: environment.items("jobs"))
    watch.lap("nothing in the way: migrating")
    operators = environment.platform.get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/name=airfield")["items"]
    send(signal.SIGKILL, processes(operators[0]))
    environment.until_ready()
    watch.lap("operator killed: Ready")
    operator = environment.platform.get("-n", SYSTEM, "pod", operators[0]["metadata"]["name"])
    assert operator["status"]["containerStatuses"][0]["restartCount"] > 0


def test_the_database_outlives_it(environment: Environment, server: DatabaseServer) -> None:
    environment.delete_all()
    assert server.ask("SELECT count(*) > 50 FROM pg_tables WHERE schemaname = 'public'", "handmade") == ["t"]
