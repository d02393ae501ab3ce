"""Databases and roles on one PostgreSQL server. Every method may be repeated after a crash at any point.

The administrator needs CREATEDB and CREATEROLE, not SUPERUSER. It never logs in to a database that a tenant may write
to: what it must do inside a database it does before the tenant becomes the owner. CREATE DATABASE knows no
transactions, so a database grows under another name and gets owner, mark and final name in one transaction.
Advisory locks in the maintenance database keep two operators from building the same thing; where possible let it be
one that only the administrator may connect to.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from airfield.postgres.connection import SESSION_SECONDS, Address, Connection, connect
from airfield.postgres.errors import DatabaseError, translated
from airfield.postgres.mark import LONGEST, Mark
from airfield.postgres.names import (
    TEMPLATE_PREFIX,
    UNFINISHED_SUFFIX,
    template_digest,
    template_name,
    unfinished_name,
)
from airfield.postgres.roles import create_role, drop_role, join, set_password, watch_sessions

__all__ = ["Address", "DatabaseFacts", "Mark", "Server"]

LOCALES = ("C.UTF-8", "C")  # the first that the server's operating system knows; sorting by code point in any case


@dataclass(frozen=True)
class DatabaseFacts:
    exists: bool
    owner: str | None
    role_exists: bool
    mark: Mark | None  # None also when the comment is not ours
    connections: int


@dataclass(frozen=True)
class _Database:
    owner: str
    mark: Mark | None


class Server:
    """A server as its administrator sees it. `address.database` is the maintenance database, often `postgres`."""

    def __init__(self, address: Address, session: Connection | None = None) -> None:
        self.address = address
        self._open_session = session

    @asynccontextmanager
    async def in_one_session(self, doing: str) -> AsyncIterator["Server"]:
        """The same server by one connection, for what is done one after the other; after a failure nothing more.

        Each thing that is done has the time that it would have by itself.
        """
        async with connect(self.address, doing, seconds=None) as connection:
            yield Server(self.address, connection)

    async def facts(self, database: str, role: str) -> DatabaseFacts:
        """What there is of an environment."""
        async with self._session(f"looking for database {database}") as connection:
            found = await _lookup(connection, database)
            cursor = await connection.execute(
                "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s),"
                " (SELECT count(*) FROM pg_stat_activity WHERE datname = %s)",
                [role, database],
            )
            role_exists, connections = await cursor.fetchone() or (False, 0)
        return DatabaseFacts(
            exists=found is not None,
            owner=found.owner if found else None,
            role_exists=role_exists,
            mark=found.mark if found else None,
            connections=connections,
        )

    async def ensure_role(
        self, role: str, password: str, *, reset: bool = False, connection_limit: int | None = None
    ) -> bool:
        """Creates the log-in role, or sets its password again when `reset`; True when it was created.

        Raises DatabaseError Conflict when a role of that name exists that Airfield did not create.
        """
        async with self._session(f"creating role {role}", lock=role) as connection:
            created = await create_role(connection, role)
            if created or reset:
                await set_password(connection, role, password)
            if connection_limit is not None:
                await _execute(
                    connection, "ALTER ROLE {} CONNECTION LIMIT {}", sql.Identifier(role), sql.Literal(connection_limit)
                )
            await watch_sessions(connection, role)
        return created

    async def create_database(self, name: str, owner: str, mark: Mark) -> None:
        """Creates an empty database. Done when it exists with a mark of the same owner, Conflict with another's."""
        await self._build(name, owner, mark, template=None)

    async def clone_database(self, name: str, template: str, owner: str, mark: Mark) -> None:
        """Like create_database, with the objects of a finished template (a value of templates()), owned by `owner`."""
        await self._build(name, owner, mark, template=template)

    async def set_mark(self, name: str, mark: Mark) -> None:
        """Replaces the mark of a database of the same environment; Conflict when it is somebody else's or gone."""
        async with self._session(f"marking database {name}", lock=name) as connection:
            found = await _lookup(connection, name)
            if found is None or not mark.same_owner(found.mark):
                raise self._conflict(name, found)
            if found.mark != mark:
                await _execute(
                    connection, "COMMENT ON DATABASE {} IS {}", sql.Identifier(name), sql.Literal(mark.dump())
                )

    async def adopt(self, name: str, mark: Mark) -> None:
        """Takes over a database that the same environment's namesake in another cluster left behind; Conflict else."""
        async with self._session(f"adopting database {name}", lock=name) as connection:
            found = await _lookup(connection, name)
            if found is None or found.mark is None or found.mark.environment != mark.environment:
                raise self._conflict(name, found)
            adopted = replace(mark, schema=found.mark.schema)
            await _execute(
                connection, "COMMENT ON DATABASE {} IS {}", sql.Identifier(name), sql.Literal(adopted.dump())
            )

    async def drop_database(self, name: str, role: str, *, only_if: Callable[[Mark | None], bool]) -> None:
        """Ends all sessions, drops the database and then the role. Conflict when `only_if` says no to the mark."""
        async with self._session(f"dropping database {name}", lock=name) as connection:
            if (found := await _lookup(connection, name)) is not None and not only_if(found.mark):
                raise self._conflict(name, found)
            for database in (unfinished_name(name), name):
                await _drop(connection, database)
            await drop_role(connection, role)

    async def templates(self) -> dict[str, str]:
        """The finished templates: schema digest → name."""
        async with self._session("listing templates") as connection:
            cursor = await connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datistemplate AND NOT datallowconn"
                " AND pg_has_role(datdba, 'USAGE') ORDER BY datname",
                [TEMPLATE_PREFIX],
            )
            names = [name for (name,) in await cursor.fetchall()]
        return {digest: name for name in names if (digest := template_digest(name)) is not None}

    async def begin_template(self, digest: str, password: str) -> Address | None:
        """Where a migration job fills the template: an unfinished one is continued. Sets the role's password.

        None when the template is finished already.
        """
        final = template_name(digest)
        unfinished = final + UNFINISHED_SUFFIX
        async with self._session(f"beginning template {final}", lock=final) as connection:
            if await _lookup(connection, final) is not None:
                return None
            await create_role(connection, final)
            await set_password(connection, final, password)
            await watch_sessions(connection, final)
            if await _lookup(connection, unfinished) is None:
                await _create(connection, unfinished, template=None)
            await _open(connection, unfinished)
            await _execute(
                connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", *_identifiers(unfinished, final)
            )
            async with self._inside(unfinished) as inside:
                await _execute(inside, "GRANT CREATE, USAGE ON SCHEMA public TO {}", sql.Identifier(final))
        return replace(self.address, user=final, password=password, database=unfinished)

    async def finish_template(self, digest: str) -> None:
        """Closes the template that a job has filled. Failed when it has no Airflow schema, Conflict when it is gone."""
        final = template_name(digest)
        unfinished = final + UNFINISHED_SUFFIX
        async with self._session(f"finishing template {final}", lock=final) as connection:
            if await _lookup(connection, final) is not None:
                return
            if await _lookup(connection, unfinished) is None:
                raise DatabaseError("Conflict", f"there is no unfinished template {unfinished} on {self.address}")
            async with self._inside(unfinished) as inside:
                cursor = await inside.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL")
                if await cursor.fetchone() != (True,):
                    raise DatabaseError(
                        "Failed",
                        f"template {unfinished} on {self.address} holds no Airflow schema; see its migration job's log",
                    )
                await _execute(inside, "REVOKE CREATE, USAGE ON SCHEMA public FROM {}", sql.Identifier(final))
            await _execute(connection, "ALTER ROLE {} NOLOGIN PASSWORD NULL", sql.Identifier(final))
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [unfinished]
            )
            async with connection.transaction():
                await _execute(
                    connection, "ALTER DATABASE {} IS_TEMPLATE true ALLOW_CONNECTIONS false", sql.Identifier(unfinished)
                )
                await _execute(connection, "ALTER DATABASE {} RENAME TO {}", *_identifiers(unfinished, final))

    async def drop_template(self, digest: str) -> None:
        """Drops the template, finished or not, and its role. Clones are independent of it."""
        final = template_name(digest)
        async with self._session(f"dropping template {final}", lock=final) as connection:
            for database in (final + UNFINISHED_SUFFIX, final):
                await _drop(connection, database)
            await drop_role(connection, final)

    async def _build(self, name: str, owner: str, mark: Mark, *, template: str | None) -> None:
        comment = mark.dump()
        unfinished = unfinished_name(name)
        async with self._session(f"creating database {name} for role {owner}", lock=name) as connection:
            if (found := await _lookup(connection, name)) is not None:
                if mark.same_owner(found.mark):
                    return
                raise self._conflict(name, found)
            await join(connection, owner)
            await _drop(connection, unfinished)
            await _create(connection, unfinished, template)
            await _open(connection, unfinished)
            if template is not None:
                async with self._inside(unfinished) as inside, inside.transaction():
                    # A template's objects belong to the role of the template's name. Sequences that no column owns
                    # rule out ALTER TABLE … OWNER; the administrator owns the database, so REASSIGN leaves it alone.
                    # The new owner must be able to create in the schema, which it gets to own with the database.
                    await _execute(inside, "GRANT CREATE ON SCHEMA public TO {}", sql.Identifier(owner))
                    await _execute(inside, "REASSIGN OWNED BY {} TO {}", *_identifiers(template, owner))
                    await _execute(inside, "REVOKE CREATE ON SCHEMA public FROM {}", sql.Identifier(owner))
            async with connection.transaction():
                await _execute(
                    connection, "COMMENT ON DATABASE {} IS {}", sql.Identifier(unfinished), sql.Literal(comment)
                )
                await _execute(connection, "ALTER DATABASE {} OWNER TO {}", *_identifiers(unfinished, owner))
                await _execute(connection, "ALTER DATABASE {} RENAME TO {}", *_identifiers(unfinished, name))

    @asynccontextmanager
    async def _session(self, doing: str, *, lock: str | None = None) -> AsyncIterator[Connection]:
        if self._open_session is None:
            async with connect(self.address, doing) as connection, _locked(connection, lock):
                yield connection
            return
        with translated(str(self.address), doing):
            async with asyncio.timeout(SESSION_SECONDS), _locked(self._open_session, lock):
                yield self._open_session

    @asynccontextmanager
    async def _inside(self, database: str) -> AsyncIterator[Connection]:
        async with connect(replace(self.address, database=database), f"preparing database {database}") as connection:
            yield connection

    def _conflict(self, name: str, found: _Database | None) -> DatabaseError:
        if found is None:
            return DatabaseError("Conflict", f"there is no database {name} on {self.address}")
        if found.mark is None:
            whose = f"has no mark of Airfield (owner: role {found.owner})"
        else:
            whose = f"belongs to environment {found.mark.environment} of cluster {found.mark.cluster}"
        return DatabaseError(
            "Conflict", f"database {name} on {self.address} {whose}; move it away or rename the environment"
        )


@asynccontextmanager
async def _locked(connection: Connection, lock: str | None) -> AsyncIterator[None]:
    """Within the block nobody else has that lock. After a failure, or a crash of ours, it goes with the session."""
    if lock is not None:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"airfield {lock}"])
    yield
    if lock is not None:
        await connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [f"airfield {lock}"])


async def _lookup(connection: Connection, name: str) -> _Database | None:
    cursor = await connection.execute(
        "SELECT pg_get_userbyid(datdba), left(shobj_description(oid, 'pg_database'), %s)"
        " FROM pg_database WHERE datname = %s",
        [LONGEST + 1, name],
    )
    row = await cursor.fetchone()
    return None if row is None else _Database(owner=row[0], mark=Mark.parse(row[1]))


async def _create(connection: Connection, name: str, template: str | None) -> None:
    """Creates a database of our own that nobody can log in to yet: at first PUBLIC may CONNECT."""
    if template is not None:
        await _execute(
            connection, "CREATE DATABASE {} TEMPLATE {} ALLOW_CONNECTIONS false", *_identifiers(name, template)
        )
        return
    for locale in LOCALES:
        try:
            await _execute(
                connection,
                "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE {}"
                " ALLOW_CONNECTIONS false",
                sql.Identifier(name),
                sql.Literal(locale),
            )
        except (psycopg.errors.WrongObjectType, psycopg.errors.InvalidParameterValue):  # "invalid locale name"
            if locale == LOCALES[-1]:
                raise
        else:
            return


async def _open(connection: Connection, name: str) -> None:
    async with connection.transaction():
        await _execute(connection, "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", sql.Identifier(name))
        await _execute(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS true", sql.Identifier(name))


async def _drop(connection: Connection, name: str) -> None:
    if (found := await _lookup(connection, name)) is None:
        return
    await join(connection, found.owner)
    await _execute(connection, "ALTER DATABASE {} IS_TEMPLATE false", sql.Identifier(name))
    await _execute(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", sql.Identifier(name))


async def _execute(connection: Connection, statement: str, *parts: sql.Composable) -> None:
    await connection.execute(sql.SQL(statement).format(*parts))


def _identifiers(*names: str) -> list[sql.Composable]:
    return [sql.Identifier(name) for name in names]
