"""Every operation against a real server, by an administrator that is not a superuser."""

import asyncio
import contextlib
import socket
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from airfield.postgres import server as module
from airfield.postgres.connection import WATCHED, connect
from airfield.postgres.errors import DatabaseError
from airfield.postgres.names import unfinished_name
from airfield.postgres.schema import SchemaHeads, schema_heads
from airfield.postgres.server import Address, DatabaseFacts, Mark, Server
from postgres_server import FAKE_AIRFLOW, PostgresServer, login


@dataclass(frozen=True)
class Tenant:
    """Names of one environment: of a database that may not exist yet and its role."""

    name: str
    password: str
    mark: Mark

    def address(self, server: PostgresServer, database: str | None = None) -> Address:
        return replace(server.admin, user=self.name, password=self.password, database=database or self.name)


def tenant() -> Tenant:
    name = f"airflow_{uuid.uuid4().hex[:12]}"
    return Tenant(name, f"password-of-{name}", Mark(environment=f"ns/{name}", cluster="this", schema="1"))


@pytest.fixture
def server(postgres_server: PostgresServer) -> Server:
    return Server(postgres_server.admin)


@pytest.fixture
async def template(server: Server) -> AsyncIterator[str]:
    digest = uuid.uuid4().hex[:12]
    await make_template(server, digest)
    yield (await server.templates())[digest]
    await server.drop_template(digest)


async def begin(server: Server, digest: str, word: str = "template-password") -> Address:
    """Where an unfinished template is filled."""
    address = await server.begin_template(digest, word)
    assert address is not None
    return address


async def make_template(server: Server, digest: str) -> None:
    with login(await begin(server, digest)) as connection:
        connection.execute(FAKE_AIRFLOW)
    await server.finish_template(digest)


async def clone(server: Server, template: str) -> Tenant:
    made = tenant()
    await server.ensure_role(made.name, made.password)
    await server.clone_database(made.name, template, made.name, made.mark)
    return made


def scalar(address: Address, query: str, *parameters: object) -> object:
    with login(address) as connection:
        row = connection.execute(query.encode(), parameters).fetchone()
    return row and row[0]


def databases(server: PostgresServer) -> set[str]:
    with login(server.admin) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


class Crash(BaseException):
    """The operator's sudden end."""


@contextlib.contextmanager
def crash_after(statements: int) -> Iterator[None]:
    """Ends the operator when it has executed so many statements; what was committed stays."""
    original = psycopg.AsyncConnection.execute
    remaining = statements

    async def execute(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal remaining
        if remaining == 0:
            raise Crash
        remaining -= 1
        return await original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.AsyncConnection, "execute", execute)
        yield


async def at_every_point(operation: Callable[[], Awaitable[object]], check: Callable[[], object] = lambda: None) -> int:
    """Crashes the operation after 0, 1, 2, … statements, continuing with what is left, until it comes through.

    `check` runs after each crash. Returns the number of crashes.
    """
    for statements in range(100):
        try:
            with crash_after(statements):
                await operation()
        except Crash:
            check()
        else:
            return statements
    raise AssertionError("the operation makes no progress")


@contextlib.contextmanager
def another_operator_at_work(server: PostgresServer, name: str) -> Iterator[None]:
    with login(server.admin) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"airfield {name}"])
        yield


async def waiting(server: PostgresServer) -> object:
    """The process of the session that waits for an advisory lock, as soon as there is one."""
    query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(10):
        while (found := scalar(server.admin, query)) is None:  # noqa: ASYNC110 - the event is the server's
            await asyncio.sleep(0.01)
    return found


async def test_facts_of_nothing(server: Server) -> None:
    assert await server.facts("airflow_none", "airflow_none") == DatabaseFacts(
        exists=False, owner=None, role_exists=False, mark=None, connections=0
    )


async def test_an_empty_database(server: Server, postgres_server: PostgresServer) -> None:
    own = tenant()
    assert await server.ensure_role(own.name, own.password, connection_limit=7)
    await server.create_database(own.name, own.name, own.mark)
    with login(own.address(postgres_server)) as connection:
        connection.execute("CREATE TABLE public.mine (id serial)")
        assert await server.facts(own.name, own.name) == DatabaseFacts(
            exists=True, owner=own.name, role_exists=True, mark=own.mark, connections=1
        )
    query = "SELECT (pg_encoding_to_char(encoding), datcollate, datctype)::text FROM pg_database WHERE datname = %s"
    assert scalar(postgres_server.admin, query, own.name) == "(UTF8,C.UTF-8,C.UTF-8)"
    query = (
        "SELECT (rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolconnlimit)::text"
        " FROM pg_roles WHERE rolname = %s"
    )
    assert scalar(postgres_server.admin, query, own.name) == "(t,f,f,f,7)"


async def test_a_server_without_unicode_locale(
    server: Server, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tenant()
    monkeypatch.setattr(module, "LOCALES", ("no-such-locale", "C"))
    await server.ensure_role(own.name, own.password)
    await server.create_database(own.name, own.name, own.mark)
    assert scalar(postgres_server.admin, "SELECT datcollate FROM pg_database WHERE datname = %s", own.name) == "C"
    monkeypatch.setattr(module, "LOCALES", ("no-such-locale",))
    with pytest.raises(DatabaseError, match="locale"):
        await server.create_database(tenant().name, own.name, own.mark)


async def test_a_password_changes_only_when_asked(server: Server, postgres_server: PostgresServer) -> None:
    own = tenant()
    assert await server.ensure_role(own.name, own.password)
    await server.create_database(own.name, own.name, own.mark)
    assert not await server.ensure_role(own.name, "another")
    login(own.address(postgres_server)).close()
    assert not await server.ensure_role(own.name, "another", reset=True)
    login(replace(own.address(postgres_server), password="another")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(own.address(postgres_server))


async def test_sessions_end_whose_client_is_gone(server: Server, postgres_server: PostgresServer) -> None:
    """Those of a role that was made before, too; and what the role has stays. The server asks its kernel."""
    own = tenant()
    await server.ensure_role(own.name, own.password)
    await server.create_database(own.name, own.name, own.mark)

    def settings(address: Address) -> dict[str, str]:
        with login(address) as connection:
            return {name: connection.execute(f"SHOW {name}".encode()).fetchall()[0][0] for name in WATCHED}

    assert settings(own.address(postgres_server)) == WATCHED
    with login(own.address(postgres_server)) as connection:
        connection.execute("ALTER ROLE CURRENT_USER RESET ALL; ALTER ROLE CURRENT_USER SET tcp_keepalives_idle = 7")
    await server.ensure_role(own.name, own.password)
    assert settings(own.address(postgres_server)) == {**WATCHED, "tcp_keepalives_idle": "7"}
    digest = uuid.uuid4().hex[:12]
    assert settings(await begin(server, digest)) == WATCHED
    await server.drop_template(digest)


async def test_our_own_sessions_end_too(postgres_server: PostgresServer) -> None:
    async with connect(postgres_server.admin, "looking") as connection:
        found = {name: await (await connection.execute(f"SHOW {name}".encode())).fetchone() for name in WATCHED}
    assert found == {name: (value,) for name, value in WATCHED.items()}


async def test_a_clone_is_the_tenants_own(server: Server, postgres_server: PostgresServer, template: str) -> None:
    own = await clone(server, template)
    address = own.address(postgres_server)
    assert await schema_heads(address) == SchemaHeads(airflow="d2f4e1b3c5a7", fab="02ca36b0235b", tables=6)
    with login(address) as connection:
        connection.execute("SELECT nextval('ab_user_id_seq'), beat(), * FROM running_job")
        connection.execute(
            "DROP SEQUENCE ab_role_id_seq; ALTER TYPE job_state ADD VALUE 'failed'; DROP VIEW running_job"
        )
        connection.execute("ALTER TABLE ab_user ADD COLUMN more text; CREATE TABLE more (id serial)")
    query = (
        "SELECT count(*) FROM pg_shdepend JOIN pg_database ON pg_database.oid = dbid"
        " WHERE datname = %s AND refobjid = %s::regrole"
    )
    assert scalar(address, query, own.name, template) == 0


async def test_heads_of_an_empty_database(server: Server, postgres_server: PostgresServer) -> None:
    own = tenant()
    await server.ensure_role(own.name, own.password)
    await server.create_database(own.name, own.name, own.mark)
    assert await schema_heads(own.address(postgres_server)) == SchemaHeads(airflow=None, fab=None, tables=0)


async def test_many_clones_at_once(server: Server, template: str) -> None:
    made = await asyncio.gather(*(clone(server, template) for _ in range(6)))
    for own in made:
        assert (await server.facts(own.name, own.name)).mark == own.mark


async def test_two_operators_clone_the_same(postgres_server: PostgresServer, template: str) -> None:
    own = tenant()
    servers = [Server(postgres_server.admin) for _ in range(4)]
    await asyncio.gather(*(server.ensure_role(own.name, own.password) for server in servers))
    await asyncio.gather(*(server.clone_database(own.name, template, own.name, own.mark) for server in servers))
    assert (await servers[0].facts(own.name, own.name)).mark == own.mark


@pytest.mark.parametrize(
    "comment", [None, "important", Mark("ns/other", "this", "").dump(), Mark("x", "elsewhere", "").dump()]
)
async def test_a_foreign_database_is_left_alone(
    server: Server, postgres_server: PostgresServer, comment: str | None
) -> None:
    own = tenant()
    await server.ensure_role(own.name, own.password)
    with login(postgres_server.superuser) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(own.name)))
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(own.name), comment))
    for operation in (
        server.create_database(own.name, own.name, own.mark),
        server.clone_database(own.name, "template1", own.name, own.mark),
        server.set_mark(own.name, own.mark),
        server.drop_database(own.name, own.name, only_if=own.mark.same_owner),
    ):
        with pytest.raises(DatabaseError, match=f"database {own.name}") as caught:
            await operation
        assert caught.value.reason == "Conflict"
    facts = await server.facts(own.name, own.name)
    assert (facts.exists, facts.owner, facts.mark, facts.role_exists) == (True, "postgres", Mark.parse(comment), True)


async def test_a_foreign_role_is_left_alone(server: Server, postgres_server: PostgresServer) -> None:
    own = tenant()
    with login(postgres_server.superuser) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(own.name)))
    for operation in (
        server.ensure_role(own.name, own.password, reset=True),
        server.drop_database(own.name, own.name, only_if=own.mark.same_owner),
    ):
        with pytest.raises(DatabaseError, match=f"role {own.name} exists") as caught:
            await operation
        assert caught.value.reason == "Conflict"


async def test_marks(server: Server, template: str) -> None:
    own = await clone(server, template)
    newer = replace(own.mark, schema="it's 2")
    await server.set_mark(own.name, newer)
    assert (await server.facts(own.name, own.name)).mark == newer
    await server.clone_database(own.name, template, own.name, own.mark)
    assert (await server.facts(own.name, own.name)).mark == newer, "creating again changes nothing"
    with pytest.raises(DatabaseError, match="no database"):
        await server.set_mark(tenant().name, own.mark)


async def test_adopting_what_another_cluster_left(server: Server, template: str) -> None:
    own, other = await clone(server, template), tenant()
    here = replace(own.mark, cluster="new", schema="")
    with pytest.raises(DatabaseError, match="of cluster this"):
        await server.set_mark(own.name, here)
    for _ in range(2):
        await server.adopt(own.name, here)
        assert (await server.facts(own.name, own.name)).mark == replace(own.mark, cluster="new")
    for name, mark, problem in (
        (own.name, other.mark, f"belongs to environment {own.mark.environment} of cluster new"),
        (other.name, other.mark, "there is no database"),
        ("postgres", other.mark, "has no mark"),
    ):
        with pytest.raises(DatabaseError, match=problem) as caught:
            await server.adopt(name, mark)
        assert caught.value.reason == "Conflict"


async def test_dropping_ends_sessions(server: Server, postgres_server: PostgresServer, template: str) -> None:
    own, other = await clone(server, template), await clone(server, template)
    with login(postgres_server.superuser) as connection:
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE airfield TO {}").format(sql.Identifier(own.name)))
    inside, outside = login(own.address(postgres_server)), login(own.address(postgres_server, "airfield"))
    outside.execute("SELECT lo_create(0)")  # a large object, which any role may leave behind where it can connect
    await server.drop_database(own.name, own.name, only_if=own.mark.same_owner)
    for connection in (inside, outside):
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()
    await server.drop_database(own.name, own.name, only_if=own.mark.same_owner)
    facts = await server.facts(own.name, own.name)
    assert (facts.exists, facts.role_exists) == (False, False)
    assert (await server.facts(other.name, other.name)).mark == other.mark


async def test_tenants_are_apart(server: Server, postgres_server: PostgresServer, template: str) -> None:
    own, other = await clone(server, template), await clone(server, template)
    building = await begin(server, "unfinished")
    for database in (other.name, template, building.database, "airfield"):
        with pytest.raises(DatabaseError) as caught:
            await schema_heads(own.address(postgres_server, database))
        assert caught.value.reason == "Refused"
    with login(own.address(postgres_server)) as connection:
        for statement in (
            sql.SQL("SET ROLE {}").format(sql.Identifier(other.name)),
            sql.SQL("CREATE DATABASE stolen TEMPLATE {}").format(sql.Identifier(template)),
            sql.SQL("ALTER DATABASE {} RENAME TO stolen").format(sql.Identifier(other.name)),
            sql.SQL("COMMENT ON DATABASE {} IS 'mine'").format(sql.Identifier(other.name)),
            sql.SQL("CREATE ROLE another"),
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    await server.drop_template("unfinished")


async def test_a_finished_template_is_closed(server: Server, postgres_server: PostgresServer) -> None:
    digest = uuid.uuid4().hex[:12]
    address = await begin(server, digest, "first-password")
    assert await begin(server, digest) == replace(address, password="template-password")
    assert digest not in await server.templates()
    with pytest.raises(DatabaseError, match="no Airflow schema"):
        await server.finish_template(digest)
    job = login(replace(address, password="template-password"))
    job.execute(FAKE_AIRFLOW)
    await server.finish_template(digest)
    with pytest.raises(psycopg.OperationalError):
        job.execute("SELECT 1")
    job.close()
    template = (await server.templates())[digest]
    await server.finish_template(digest)
    assert await server.begin_template(digest, "template-password") is None
    for role in (address.user, postgres_server.superuser.user):
        password = "template-password" if role == address.user else postgres_server.superuser.password
        with pytest.raises(psycopg.OperationalError):
            login(replace(address, user=role, password=password, database=template))
    own = await clone(server, template)
    await server.drop_template(digest)
    await server.drop_template(digest)
    assert digest not in await server.templates()
    assert (await schema_heads(own.address(postgres_server))).tables == 6
    with pytest.raises(DatabaseError, match="no unfinished template"):
        await server.finish_template(digest)


async def test_a_vanished_template_is_told(server: Server) -> None:
    own = tenant()
    await server.ensure_role(own.name, own.password)
    with pytest.raises(DatabaseError, match="airfield_template_gone") as caught:
        await server.clone_database(own.name, "airfield_template_gone", own.name, own.mark)
    assert caught.value.reason == "Conflict"


async def test_crashes_while_an_environment_is_made_and_dropped(
    server: Server, postgres_server: PostgresServer, template: str
) -> None:
    own = tenant()

    def nothing_half_made() -> None:
        """What has the final name is complete."""
        if own.name in databases(postgres_server):
            assert (
                scalar(own.address(postgres_server), "SELECT count(*) FROM pg_tables WHERE tableowner = %s", own.name)
                == 6
            )

    assert await at_every_point(lambda: server.ensure_role(own.name, own.password, reset=True)) > 3
    assert (
        await at_every_point(lambda: server.clone_database(own.name, template, own.name, own.mark), nothing_half_made)
        > 8
    )
    assert (await server.facts(own.name, own.name)).mark == own.mark
    assert await at_every_point(lambda: server.set_mark(own.name, replace(own.mark, schema="2"))) > 2
    assert await at_every_point(lambda: server.drop_database(own.name, own.name, only_if=own.mark.same_owner)) > 5
    assert {own.name, unfinished_name(own.name)}.isdisjoint(databases(postgres_server))


async def test_crashes_while_an_empty_database_is_made(server: Server, postgres_server: PostgresServer) -> None:
    own = tenant()
    await server.ensure_role(own.name, own.password)
    assert await at_every_point(lambda: server.create_database(own.name, own.name, own.mark)) > 8
    assert await schema_heads(own.address(postgres_server)) == SchemaHeads(None, None, 0)
    assert unfinished_name(own.name) not in databases(postgres_server)


async def test_crashes_while_a_template_is_made_and_dropped(server: Server, postgres_server: PostgresServer) -> None:
    digest = uuid.uuid4().hex[:12]
    assert await at_every_point(lambda: server.begin_template(digest, "template-password")) > 8
    with login(await begin(server, digest)) as connection:
        connection.execute(FAKE_AIRFLOW)
    assert await at_every_point(lambda: server.finish_template(digest)) > 5
    await clone(server, (await server.templates())[digest])
    assert await at_every_point(lambda: server.drop_template(digest)) > 4
    assert not any(digest in name for name in databases(postgres_server))
    assert scalar(postgres_server.admin, "SELECT count(*) FROM pg_roles WHERE rolname LIKE %s", f"%{digest}%") == 0


async def test_an_environment_that_was_never_finished_leaves_nothing(
    server: Server, postgres_server: PostgresServer, template: str
) -> None:
    own = tenant()
    await server.ensure_role(own.name, own.password)
    with pytest.raises(Crash), crash_after(7):
        await server.clone_database(own.name, template, own.name, own.mark)
    assert unfinished_name(own.name) in databases(postgres_server)
    await server.drop_database(own.name, own.name, only_if=own.mark.same_owner)
    assert unfinished_name(own.name) not in databases(postgres_server)


async def test_cancelling_while_waiting_for_another_operator(
    server: Server, postgres_server: PostgresServer, template: str
) -> None:
    own = tenant()
    await server.ensure_role(own.name, own.password)
    with another_operator_at_work(postgres_server, own.name):
        task = asyncio.create_task(server.clone_database(own.name, template, own.name, own.mark))
        await waiting(postgres_server)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await server.clone_database(own.name, template, own.name, own.mark)
    assert (await server.facts(own.name, own.name)).exists


async def test_a_session_that_the_server_ends(server: Server, postgres_server: PostgresServer) -> None:
    own = tenant()
    with another_operator_at_work(postgres_server, own.name):
        task = asyncio.create_task(server.ensure_role(own.name, own.password))
        process = await waiting(postgres_server)
        scalar(postgres_server.superuser, "SELECT pg_terminate_backend(%s)", process)
        with pytest.raises(DatabaseError) as caught:
            await task
    assert caught.value.reason == "Unreachable"


async def test_owners_settings_do_not_reach_the_administrator(
    server: Server, postgres_server: PostgresServer, template: str
) -> None:
    own = await clone(server, template)
    with login(own.address(postgres_server)) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = public").format(sql.Identifier(own.name)))
        connection.execute(sql.SQL("ALTER ROLE {} SET statement_timeout = 1").format(sql.Identifier(own.name)))
    assert (await schema_heads(own.address(postgres_server))).tables == 6


async def test_a_superuser_can_be_administrator(postgres_server: PostgresServer) -> None:
    server = Server(postgres_server.superuser)
    digest = uuid.uuid4().hex[:12]
    await make_template(server, digest)
    own = await clone(server, (await server.templates())[digest])
    assert (await schema_heads(own.address(postgres_server))).tables == 6
    await server.drop_database(own.name, own.name, only_if=own.mark.same_owner)
    await server.drop_template(digest)


async def test_passwords_stay_out_of_the_servers_log(
    server: Server, postgres_server: PostgresServer, template: str
) -> None:
    own = await clone(server, template)
    await server.ensure_role(own.name, own.password, reset=True)
    await schema_heads(own.address(postgres_server))
    log = postgres_server.log.read_text()
    assert f'ALTER ROLE "{own.name}" LOGIN PASSWORD \'SCRAM-SHA-256$' in log
    for password in (own.password, "template-password", postgres_server.admin.password):
        assert password not in log


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        ({"password": "wrong-secret"}, "Refused", "password authentication failed"),
        ({"user": "nobody-here"}, "Refused", "password authentication failed"),
        ({"database": "no-such-database"}, "Refused", "does not exist"),
        ({"port": 1}, "Unreachable", "127.0.0.1:1"),
        ({"host": "no-such-host.invalid"}, "Unreachable", "no-such-host.invalid"),
        ({"host": "a" * 64}, "Unreachable", "is not the name of a host"),
        ({"host": "no..host"}, "Unreachable", "is not the name of a host"),
        ({"sslmode": "require"}, "Unreachable", "SSL"),
    ],
)
async def test_errors_name_the_server_and_no_password(
    postgres_server: PostgresServer, change: dict[str, Any], reason: str, says: str
) -> None:
    address = replace(postgres_server.admin, **change)
    with pytest.raises(DatabaseError, match=says) as caught:
        await Server(address).templates()
    assert caught.value.reason == reason
    assert f"{address.host}:{address.port}, database {address.database}, role {address.user}" in caught.value.message
    told = "".join(traceback.format_exception(caught.value)) + repr(address) + str(address)
    assert address.password not in told


async def test_a_lack_of_privileges_is_told(server: Server, postgres_server: PostgresServer) -> None:
    own = tenant()
    await server.ensure_role(own.name, own.password)
    await server.create_database(own.name, own.name, own.mark)
    with pytest.raises(DatabaseError, match="CREATEROLE") as caught:
        await Server(own.address(postgres_server)).ensure_role(tenant().name, own.password)
    assert caught.value.reason == "Denied"


async def test_a_silent_server_is_not_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airfield.postgres.connection.CONNECT_SECONDS", 2)
    monkeypatch.setattr("airfield.postgres.connection.SLOW_SECONDS", 1.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = Address("127.0.0.1", listening.getsockname()[1], "u", "p", "d", "disable")
        seconds = []
        for database in ("d", "other"):
            started = time.monotonic()
            with pytest.raises(DatabaseError) as caught:
                await schema_heads(replace(address, database=database))
            assert caught.value.reason == "Unreachable"
            assert f"database {database}" in caught.value.message
            seconds.append(time.monotonic() - started)
    assert seconds[1] < 0.5 < seconds[0]


async def test_one_session_for_all_that_is_to_be_done(postgres_server: PostgresServer, server: Server) -> None:
    """As few logins as can be; and what a lock kept others from is free afterwards."""

    def logins() -> int:
        return postgres_server.log.read_text().count("authorized: user=airfield database=airfield application_name=")

    own, before = tenant(), logins()
    async with server.in_one_session("making it") as same:
        assert not (await same.facts(own.name, own.name)).exists
        await same.ensure_role(own.name, own.password)
        await same.create_database(own.name, own.name, own.mark)
        assert (await same.facts(own.name, own.name)).mark == own.mark
        assert logins() == before + 1
        await asyncio.wait_for(server.ensure_role(own.name, own.password, reset=True), 10)
        await asyncio.wait_for(server.set_mark(own.name, own.mark), 10)
        with pytest.raises(DatabaseError, match="belongs to environment"):
            await same.create_database(own.name, own.name, tenant().mark)
    await server.drop_database(own.name, own.name, only_if=own.mark.same_owner)


async def test_crashes_while_an_environment_is_made_in_one_session(
    server: Server, postgres_server: PostgresServer, template: str
) -> None:
    own = tenant()

    async def make() -> None:
        async with server.in_one_session("making it") as same:
            facts = await same.facts(own.name, own.name)
            await same.ensure_role(own.name, own.password)
            if not facts.exists:
                await same.clone_database(own.name, template, own.name, own.mark)

    assert await at_every_point(make) > 15
    assert (await server.facts(own.name, own.name)).mark == own.mark
    assert unfinished_name(own.name) not in databases(postgres_server)
    await server.drop_database(own.name, own.name, only_if=own.mark.same_owner)


async def test_a_session_that_ends_in_the_middle(server: Server, postgres_server: PostgresServer) -> None:
    own = tenant()
    async with server.in_one_session("making it") as same:
        await same.ensure_role(own.name, own.password)
        sessions = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'airfield'"
        assert scalar(postgres_server.superuser, sessions)
        with pytest.raises(DatabaseError, match=f"^creating database {own.name} .* on ") as error:
            await same.create_database(own.name, own.name, own.mark)
    assert error.value.reason == "Unreachable"
    await server.create_database(own.name, own.name, own.mark)
    await server.drop_database(own.name, own.name, only_if=own.mark.same_owner)
