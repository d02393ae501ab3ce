import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import TupleRow

from airfield.airflow.admin import ensure_admin, verify, werkzeug_hash
from airfield.postgres.connection import Address
from airfield.postgres.errors import DatabaseError
from postgres_server import FAKE_AIRFLOW, PostgresServer, login

# Written by Werkzeug 3: generate_password_hash("correct horse") and (…, method="pbkdf2:sha256:1000").
SCRYPT = (
    "scrypt:32768:8:1$8NJ9jFKzJIn5Xu3q$fc9ed3aada3c3ae7af9708a283dcf5461251fd1e23e62e0a"
    "18c6d4968956245eb9bba039428b7187eb9ca3f48c3404f56fcc05fddfe83a1901c5bd8e6a6ff526"
)
PBKDF2 = "pbkdf2:sha256:1000$Y5WCb5gbLSWpJVzW$e50e526492cc7cfe9017495de3509d0a54d3ee8a15fc4e29b1659ed111d97f9a"


def test_hashes_of_werkzeug() -> None:
    assert verify("correct horse", SCRYPT)
    assert verify("correct horse", PBKDF2)
    assert not verify("wrong", SCRYPT)
    assert not verify("wrong", PBKDF2)


@settings(max_examples=5)
@given(st.text(st.characters(codec="utf-8")))
def test_our_hashes(password: str) -> None:
    for random, cost in ((False, "scrypt:32768:8:1$"), (True, "scrypt:1024:8:1$")):
        made = werkzeug_hash(password, random=random)
        assert made.startswith(cost)
        assert len(made) <= 256  # ab_user.password
        assert verify(password, made)
        assert not verify(password + "x", made)


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "plain",
        "scrypt:32768:8:1$salt",
        "scrypt:32768:8$salt$00",
        "scrypt:32768:8:x$salt$00",
        "scrypt:32767:8:1$salt$00",
        "scrypt:1073741824:8:1$salt$00",
        "scrypt:2:1:1073741824$salt$00",
        "scrypt:-2:-8:1$salt$00",
        "pbkdf2:sha256:999999999999$salt$00",
        "pbkdf2:md55:1000$salt$00",
        "pbkdf2:sha256:0$salt$00",
        "argon2$salt$00",
        SCRYPT + "ä",
    ],
)
def test_malformed_and_expensive_hashes(hashed: str) -> None:
    assert not verify("correct horse", hashed)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Address]:
    """An empty database and the role that owns it."""
    name = f"airflow_{uuid.uuid4().hex[:12]}"
    with login(postgres_server.superuser) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'tenant'").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
    yield replace(postgres_server.superuser, user=name, password="tenant", database=name)
    with login(postgres_server.superuser) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def airflow(database: Address) -> Address:
    """A database after the api-server's first start."""
    with login(database) as connection:
        connection.execute(FAKE_AIRFLOW)
        connection.execute("INSERT INTO ab_role SELECT nextval('ab_role_id_seq'), unnest(ARRAY['Viewer', 'Admin'])")
    return database


def users(address: Address) -> list[TupleRow]:
    query = (
        "SELECT username, email, ab_role.name FROM ab_user JOIN ab_user_role ON user_id = ab_user.id"
        " JOIN ab_role ON role_id = ab_role.id WHERE active ORDER BY 1"
    )
    with login(address) as connection:
        return connection.execute(query.encode()).fetchall()


def execute(address: Address, statement: str) -> None:
    with login(address) as connection:
        connection.execute(statement.encode())


def stored_hash(address: Address) -> str:
    with login(address) as connection:
        row = connection.execute("SELECT password FROM ab_user WHERE username = 'admin'").fetchone()
    assert row is not None
    return str(row[0])


async def test_waiting_for_the_api_server(database: Address) -> None:
    assert await ensure_admin(database, "admin", "secret", "a@example.com") == "waiting"
    execute(database, FAKE_AIRFLOW)
    assert await ensure_admin(database, "admin", "secret", "a@example.com") == "waiting"
    execute(database, "INSERT INTO ab_role VALUES (nextval('ab_role_id_seq'), 'Admin')")
    assert await ensure_admin(database, "admin", "secret", "a@example.com") == "created"


async def test_a_user(airflow: Address) -> None:
    assert await ensure_admin(airflow, "admin", "secret", "a@example.com") == "created"
    assert users(airflow) == [("admin", "a@example.com", "Admin")]
    assert verify("secret", stored_hash(airflow))
    assert await ensure_admin(airflow, "admin", "secret", "a@example.com") == "unchanged"
    assert await ensure_admin(airflow, "admin", "new secret", "b@example.com") == "updated"
    assert verify("new secret", stored_hash(airflow))
    assert await ensure_admin(airflow, "other", "secret", "other@example.com") == "created"
    assert users(airflow) == [("admin", "a@example.com", "Admin"), ("other", "other@example.com", "Admin")]


@pytest.mark.parametrize(
    "damage", ["UPDATE ab_user SET password = NULL", "UPDATE ab_user SET password = 'x'", "DELETE FROM ab_user_role"]
)
async def test_repair(airflow: Address, damage: str) -> None:
    await ensure_admin(airflow, "admin", "secret", "a@example.com")
    execute(airflow, damage)
    assert await ensure_admin(airflow, "Admin", "secret", "a@example.com") == "updated"
    assert await ensure_admin(airflow, "admin", "secret", "a@example.com") == "unchanged"
    assert users(airflow) == [("admin", "a@example.com", "Admin")]


async def test_a_deactivated_user_stays_so(airflow: Address) -> None:
    await ensure_admin(airflow, "admin", "secret", "a@example.com")
    execute(airflow, "UPDATE ab_user SET active = false")
    assert await ensure_admin(airflow, "admin", "secret", "a@example.com") == "unchanged"
    assert users(airflow) == []


async def test_an_email_address_that_is_taken(airflow: Address) -> None:
    await ensure_admin(airflow, "somebody", "secret", "a@example.com")
    with pytest.raises(DatabaseError, match=r"a@example\.com") as caught:
        await ensure_admin(airflow, "admin", "secret", "a@example.com")
    assert caught.value.reason == "Conflict"
    assert users(airflow) == [("somebody", "a@example.com", "Admin")]


async def test_many_at_once(airflow: Address) -> None:
    outcomes = await asyncio.gather(*(ensure_admin(airflow, "admin", "secret", "a@example.com") for _ in range(5)))
    assert sorted(outcomes) == ["created", "unchanged", "unchanged", "unchanged", "unchanged"]
    assert users(airflow) == [("admin", "a@example.com", "Admin")]


async def test_nothing_half_done(airflow: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the last statement leaves no user without a role."""
    original = psycopg.AsyncConnection.execute

    async def execute(self: Any, query: str, *arguments: Any) -> Any:
        if "INTO public.ab_user_role" in query:
            raise SystemError
        return await original(self, query, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.AsyncConnection, "execute", execute)
        with pytest.raises(SystemError):
            await ensure_admin(airflow, "admin", "secret", "a@example.com")
    assert await ensure_admin(airflow, "admin", "secret", "a@example.com") == "created"
