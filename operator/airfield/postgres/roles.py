"""Roles that Airfield creates, told from others by a comment. The administrator is a member of each of them."""

from psycopg import sql

from airfield.postgres.connection import WATCHED, Connection
from airfield.postgres.errors import DatabaseError
from airfield.postgres.scram import scram_verifier

MARK = "managed by airfield"
EXPLICIT_GRANTS = 160000  # since PostgreSQL 16 a role's creator may grant itself the role, but does not have it


async def create_role(connection: Connection, role: str) -> bool:
    """Creates the role without a password; False when it exists. Conflict when the one that exists is not ours."""
    if await _exists(connection, role):
        await join(connection, role)
        return False
    async with connection.transaction():
        await connection.execute(
            sql.SQL("CREATE ROLE {} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS").format(
                sql.Identifier(role)
            )
        )
        await connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(MARK)))
        await join(connection, role)
    return True


async def set_password(connection: Connection, role: str, password: str) -> None:
    """Lets the role log in with the password, of which the server sees only the verifier."""
    await connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(scram_verifier(password)))
    )


async def watch_sessions(connection: Connection, role: str) -> None:
    """Lets the server end the role's sessions a minute after their client has gone without a word, locks included.

    A scheduler whose node is lost while it holds the lock of the pools would keep its successor from scheduling.
    What the role has already stays.
    """
    cursor = await connection.execute("SELECT rolconfig FROM pg_roles WHERE rolname = %s", [role])
    row = await cursor.fetchone()
    given = {setting.partition("=")[0] for setting in (row and row[0]) or ()}
    statement = sql.SQL("ALTER ROLE {} SET {} = {}")
    for name, value in WATCHED.items():
        if name not in given:
            await connection.execute(statement.format(sql.Identifier(role), sql.Identifier(name), sql.Literal(value)))


async def drop_role(connection: Connection, role: str) -> None:
    """Ends the role's sessions and drops it with what it left in the maintenance database; its own must be gone."""
    if not await _exists(connection, role):
        return
    await join(connection, role)
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role])
    await connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
    await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


async def join(connection: Connection, role: str) -> None:
    """Makes the administrator a member, with the role's privileges, unless it is one (a superuser always is)."""
    cursor = await connection.execute("SELECT pg_has_role(%s, 'USAGE')", [role])
    if await cursor.fetchone() == (True,):
        return
    options = " WITH INHERIT TRUE, SET TRUE" if connection.info.server_version >= EXPLICIT_GRANTS else ""
    await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER" + options).format(sql.Identifier(role)))


async def _exists(connection: Connection, role: str) -> bool:
    cursor = await connection.execute(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", [role]
    )
    row = await cursor.fetchone()
    if row is not None and row[0] != MARK:
        raise DatabaseError(
            "Conflict", f"role {role} exists and was not created by Airfield; rename it or the environment"
        )
    return row is not None
