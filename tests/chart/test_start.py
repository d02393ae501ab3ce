"""files/start.py: a component starts when the database answers, and not before."""

import uuid

import pytest
from psycopg import sql

from chart.database import Database, create, run, start
from postgres_server import PostgresServer, login


@pytest.fixture
def database(postgres_server: PostgresServer) -> Database:
    return create(postgres_server, f"start_{uuid.uuid4().hex[:8]}")


def test_it_becomes_the_command(database: Database) -> None:
    assert run(
        "start.py", "sh", "-c", "echo $0 $1; exit 7", "airflow", "scheduler", variables=database.variables()
    ) == (
        7,
        "airflow scheduler\n",
    )


def test_it_waits_for_the_database_and_names_the_reason_once(
    database: Database, postgres_server: PostgresServer
) -> None:
    name = sql.Identifier(database.address.database)
    with login(postgres_server.superuser) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        process = start("start.py", "echo", "started", variables=database.variables())
        assert process.stdout
        assert "not currently accepting connections" in process.stdout.readline()
        refused = "not currently accepting connections"
        while postgres_server.log.read_text(errors="replace").count(f'"{database.address.database}" is {refused}') < 2:
            assert process.poll() is None
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    assert process.communicate(timeout=60)[0] == "started\n"
