"""A server that is prepared as docs/databases.md says is one that the operator can work with."""

import re
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql

from airfield.api.environment_class import DatabaseServer
from airfield.postgres.mark import Mark
from airfield.postgres.names import database_name, role_name
from airfield.postgres.server import Server
from postgres_server import PostgresServer, login

PAGE = (Path(__file__).parents[3] / "docs" / "databases.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


async def test_what_the_page_says_suffices(postgres_server: PostgresServer) -> None:
    superuser = postgres_server.superuser
    (named,) = (DatabaseServer.model_validate(each) for each in yaml.safe_load(block("yaml"))["databaseServers"])
    assert named.maintenance_database is not None
    with login(superuser) as connection:
        for statement in block("sql").split(";")[:-1]:
            connection.execute(statement.strip())
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD 'a'").format(sql.Identifier(named.maintenance_database)))

    admin = replace(superuser, user=named.maintenance_database, password="a", database=named.maintenance_database)
    server, environment = Server(admin), ("documented", "demo")
    database, role = database_name(*environment), role_name(*environment)
    await server.ensure_role(role, "b", connection_limit=named.connection_limit)
    await server.create_database(database, role, Mark("/".join(environment), "cluster", ""))
    team = replace(superuser, user=role, password="b", database=database)
    with login(team) as connection:
        connection.execute("CREATE TABLE dag ()")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        login(replace(team, database=named.maintenance_database))
    await server.drop_database(database, role, only_if=lambda _: True)
