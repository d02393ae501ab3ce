"""Connections to PostgreSQL, each bounded in time and independent of what the database's owner configured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from airfield.postgres.errors import DatabaseError, translated

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
SESSION_SECONDS = 120
OLDEST_SERVER = 15
SLOW_SECONDS = 2.0
SILENT_SECONDS = 10.0
"""So long nobody tries a server again that took longer than SLOW_SECONDS to refuse a connection, or to be given up."""
SILENT_SERVERS = 256
WATCHED: Final = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""With which a server ends a session, locks included, a minute after its client has gone without a word; by default
the kernel asks after two hours. In seconds, but for the last, which is in milliseconds."""
_OPTIONS: Final = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "search_path": "pg_catalog,pg_temp",
        **WATCHED,
    }.items()
)

Connection = psycopg.AsyncConnection[TupleRow]


@dataclass(frozen=True)
class Address:
    """Where to log in, and as whom. `sslmode` is libpq's."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    sslmode: str = "prefer"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}, database {self.database}, role {self.user}"


class _Silent:
    """Servers that lately took long to say nothing. Many environments share one; not each must wait for itself."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int], tuple[float, psycopg.OperationalError]] = {}

    async def reach(self, address: Address, **settings: Any) -> Connection:
        """A new connection; psycopg.OperationalError at once, the last one, for a server that is known to be silent."""
        place = (address.host, address.port)
        until, error = self._until.get(place, (0.0, None))
        started = monotonic()
        if error is not None and started < until:
            raise error
        try:
            connection = await psycopg.AsyncConnection.connect(**settings)
        except UnicodeError:  # an empty part, or one of more than 63 characters: no resolver is even asked
            raise psycopg.OperationalError(f"{address.host!r} is not the name of a host") from None
        except psycopg.OperationalError as failure:
            if monotonic() - started > SLOW_SECONDS:
                self._until[place] = (monotonic() + SILENT_SECONDS, failure.with_traceback(None))
                if len(self._until) > SILENT_SERVERS:
                    del self._until[next(iter(self._until))]
            raise
        self._until.pop(place, None)
        return connection


_SILENT: Final = _Silent()


@asynccontextmanager
async def connect(
    address: Address, doing: str, *, seconds: float | None = SESSION_SECONDS
) -> AsyncIterator[Connection]:
    """An autocommit connection, for so many seconds; None: as long as the block takes.

    Errors inside the block become DatabaseError, told as "`doing` on `address`: …".

    The settings travel in the start-up packet because that beats `ALTER DATABASE … SET` and `ALTER ROLE … SET`:
    the owner of a database must not choose the search path of somebody mightier who visits it.
    """
    with translated(str(address), doing):
        async with (
            asyncio.timeout(seconds),
            await _SILENT.reach(
                address,
                host=address.host,
                port=address.port,
                user=address.user,
                password=address.password,
                dbname=address.database,
                sslmode=address.sslmode,
                connect_timeout=CONNECT_SECONDS,
                options=_OPTIONS,
                tcp_user_timeout=STATEMENT_SECONDS * 1000,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                application_name="airfield",
                client_encoding="utf8",
                autocommit=True,
                prepare_threshold=None,
            ) as connection,
        ):
            if connection.info.server_version < OLDEST_SERVER * 10000:
                raise DatabaseError(
                    "Refused",
                    f"{doing} on {address}: the server is PostgreSQL {connection.info.server_version // 10000};"
                    f" use {OLDEST_SERVER} or newer",
                )
            yield connection
