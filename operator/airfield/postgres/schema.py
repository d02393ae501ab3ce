"""Which schema an environment's database holds."""

from dataclasses import dataclass

from psycopg import sql

from airfield.postgres.connection import Address, Connection, connect


@dataclass(frozen=True)
class SchemaHeads:
    airflow: str | None
    fab: str | None
    tables: int
    may_create: bool = True
    """Whether the role may create tables in schema public."""


async def schema_heads(address: Address) -> SchemaHeads:
    """Reads Alembic's tables; None where one is missing or empty. Log in with the environment's own role.

    Several heads (a branched history) are joined by commas.
    """
    async with connect(address, "reading the schema's version") as connection:
        cursor = await connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace", ["public"]
        )
        tables = {name for (name,) in await cursor.fetchall()}
        cursor = await connection.execute("SELECT has_schema_privilege(to_regnamespace('public'), 'CREATE')")
        return SchemaHeads(
            airflow=await _head(connection, "alembic_version", tables),
            fab=await _head(connection, "alembic_version_fab", tables),
            tables=len(tables),
            may_create=await cursor.fetchone() == (True,),
        )


async def _head(connection: Connection, table: str, tables: set[str]) -> str | None:
    if table not in tables:
        return None
    query = sql.SQL("SELECT left(version_num, 64) FROM public.{} ORDER BY 1 LIMIT 10").format(sql.Identifier(table))
    rows = await (await connection.execute(query)).fetchall()
    return ",".join(head for (head,) in rows) or None
