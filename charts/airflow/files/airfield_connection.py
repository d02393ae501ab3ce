"""Lets Airflow notice that its database has gone without a word: its node is lost, or another server has its address.

The kernel would send what is not acknowledged for a quarter of an hour, and ask for a new connection for two minutes;
Airflow's processes wait that long. What the database's URL says itself counts for more.
"""
# ruff: noqa: INP001, PLC0415 - a file of a ConfigMap; only the API server connects by asyncpg

import os
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

CONNECT_SECONDS = 10
SILENCE_SECONDS = 30
"""For how long a server may acknowledge nothing, not even that it is there."""
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
"""In seconds; for who waits for an answer that nobody will send."""

_said = parse_qs(urlsplit(os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "")).query, keep_blank_values=True)
_wanted = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": SILENCE_SECONDS * 1000} | KEEPALIVE
ARGUMENTS = {name: value for name, value in _wanted.items() if name not in _said}
"""Of libpq, as [database] sql_alchemy_connect_args."""


async def connected(*arguments: Any, **options: Any) -> Any:
    """Return asyncpg's connection, whose socket gives up as libpq's do; asyncpg has no settings for that."""
    import asyncpg  # type: ignore[import-untyped]

    connection = await asyncpg.connect(*arguments, **options)
    transport = getattr(connection, "_transport", None)
    endpoint = transport.get_extra_info("socket") if transport is not None else None
    if endpoint is not None and endpoint.family in {socket.AF_INET, socket.AF_INET6}:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE["keepalives_idle"])
        endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE["keepalives_interval"])
        endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE["keepalives_count"])
        endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)
    return connection


ARGUMENTS_ASYNC = {"timeout": CONNECT_SECONDS, "async_creator_fn": connected}
"""Of asyncpg, as [database] sql_alchemy_connect_args_async."""
