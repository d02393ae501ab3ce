"""Lets Airflow's components notice a database that has gone without a word: its node is lost, its address another's.

The kernel would send anew what nobody acknowledges for a quarter of an hour, and try to connect for two minutes. A
server that acknowledges and does not answer is waited for as ever. start.py names these as the arguments of
connections, unless somebody has named others.
"""
# ruff: noqa: INP001, PLC0415 - a file of a ConfigMap; only the API server connects by asyncpg

import logging
import os
import re
import socket
from typing import Any
from urllib.parse import parse_qs

CONNECT_SECONDS = 10
"""For an attempt at one address; asyncpg's at all of them. libpq's own variable counts for more, for both."""
SILENCE_SECONDS = 30
"""For how long a server may acknowledge nothing that it is sent, or take none of it."""
IDLE_SECONDS, INTERVAL_SECONDS, PROBES = 10, 5, 4
"""How it is asked whether it is there while its answer is awaited."""


def arguments(url: str, connect_timeout: str = "") -> dict[str, int]:
    """Return libpq's, as far as the URL does not set them; none for another kind of database."""
    if not url.startswith("postgres"):
        return {}
    # As SQLAlchemy takes it apart: a password may hold whatever there is but an @.
    address = re.sub(r"^[\w+]+://([^:/]*(:[^@]*)?@)?", "", url)
    said = parse_qs(address.partition("?")[2], keep_blank_values=True)
    wanted = {
        "tcp_user_timeout": SILENCE_SECONDS * 1000,
        "keepalives_idle": IDLE_SECONDS,
        "keepalives_interval": INTERVAL_SECONDS,
        "keepalives_count": PROBES,
    }
    if not connect_timeout:
        wanted["connect_timeout"] = CONNECT_SECONDS
    return {name: value for name, value in wanted.items() if name not in said}


def arguments_async(url: str, connect_timeout: str = "") -> dict[str, Any]:
    """Return asyncpg's, which has no settings for its socket."""
    if not url.startswith("postgres"):
        return {}
    seconds = int(connect_timeout) if re.fullmatch("[1-9][0-9]{0,4}", connect_timeout) else CONNECT_SECONDS
    return {"timeout": seconds, "async_creator_fn": connected}


async def connected(*positional: Any, **options: Any) -> Any:
    """Return asyncpg's connection, whose socket gives up as libpq's do."""
    import asyncpg  # type: ignore[import-untyped]

    connection = await asyncpg.connect(*positional, **options)
    transport = getattr(connection, "_transport", None)
    endpoint = transport.get_extra_info("socket") if transport is not None else None
    if endpoint is None:
        logging.getLogger(__name__).warning("asyncpg shows no socket: a database that is gone is noticed late")
    elif endpoint.family in {socket.AF_INET, socket.AF_INET6}:
        try:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_SECONDS)
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)
        except OSError:
            connection.terminate()
            raise
    return connection


_given = (os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", ""), os.environ.get("PGCONNECT_TIMEOUT", ""))
ARGUMENTS = arguments(*_given)
ARGUMENTS_ASYNC = arguments_async(*_given)
"""These are what [database] sql_alchemy_connect_args and sql_alchemy_connect_args_async name."""
