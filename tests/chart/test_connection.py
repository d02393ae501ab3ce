"""files/airfield_connection.py: connections that notice when the database has gone without a word."""

import importlib
import os
import socket
import uuid
from contextlib import closing
from types import ModuleType

import pytest

from chart.database import Database, create
from chart.rendered import COMPONENTS, Json, pod, pods, render
from postgres_server import PostgresServer

VARIABLE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
PREFIX = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"
PLACE = "/opt/airflow/config/airfield_connection.py"
OPTIONS = {
    "alive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    "count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    "timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
}
"""What a socket is to have: its milliseconds in the last, seconds and numbers in the others."""


@pytest.fixture
def database(postgres_server: PostgresServer) -> Database:
    return create(postgres_server, f"connection_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def connection(script: dict[str, ModuleType]) -> ModuleType:
    return script["airfield_connection"]


def options(endpoint: socket.socket) -> dict[str, int]:
    return {name: endpoint.getsockopt(level, option) for name, (level, option, _) in OPTIONS.items()}


def test_libpq_gives_up(database: Database, connection: ModuleType, script: dict[str, ModuleType]) -> None:
    psycopg2, url = script["airfield_database"].driver(), database.url.replace("+psycopg2", "")
    with (
        closing(psycopg2.connect(url, **connection.ARGUMENTS)) as made,
        socket.socket(fileno=os.dup(made.fileno())) as endpoint,
    ):
        assert options(endpoint) == {name: value for name, (_, _, value) in OPTIONS.items()}
    assert connection.ARGUMENTS["connect_timeout"] == 10


async def test_asyncpg_gives_up(database: Database, connection: ModuleType) -> None:
    arguments = dict(connection.ARGUMENTS_ASYNC)
    made = await arguments.pop("async_creator_fn")(database.url.replace("+psycopg2", ""), **arguments)
    try:
        assert await made.fetchval("SELECT 1") == 1
        assert options(made._transport.get_extra_info("socket")) == {
            name: value for name, (_, _, value) in OPTIONS.items()
        }
    finally:
        await made.close()
    assert arguments == {"timeout": 10}


def test_what_the_url_says_counts_for_more(connection: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setenv(
            VARIABLE, "postgresql://u:p@db:5432/airflow?sslmode=require&keepalives_idle=77&connect_timeout="
        )
        assert importlib.reload(connection).ARGUMENTS == {
            "tcp_user_timeout": 30_000,
            "keepalives_interval": 5,
            "keepalives_count": 4,
        }
    finally:
        monkeypatch.undo()
        importlib.reload(connection)


def wired(template: Json) -> dict[str, str]:
    """How a pod's connections are told to give up, if they are."""
    (container,) = template["spec"]["containers"]
    env = [each for each in container["env"] if each["name"].startswith(PREFIX)]
    mounted = any(mount["mountPath"] == PLACE for mount in container["volumeMounts"])
    assert mounted or not any("airfield_connection" in each["value"] for each in env)
    return {each["name"]: each["value"] for each in env}


@pytest.mark.parametrize("executor", ["KubernetesExecutor", "LocalExecutor"])
def test_who_has_such_connections(executor: str) -> None:
    """Neither task pods, which have none, nor the Job, which lives for a minute and cannot be changed afterwards."""
    found = {component: wired(template) for component, template in pods(render({"executor": executor}))}
    ours = {PREFIX: "airfield_connection.ARGUMENTS", f"{PREFIX}_ASYNC": "airfield_connection.ARGUMENTS_ASYNC"}
    assert {component for component, env in found.items() if env == ours} == set(COMPONENTS)
    assert {component for component, env in found.items() if env and env != ours} == set()


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ({"config": {"database": {"sql_alchemy_connect_args": "theirs.args"}}}, {f"{PREFIX}_ASYNC"}),
        ({"config": {"database": {"sql_alchemy_connect_args_async": "theirs.args"}}}, {PREFIX}),
        ({"config": {"database": {"sql_alchemy_pool_size": "3"}}}, {PREFIX, f"{PREFIX}_ASYNC"}),
    ],
    ids=["sync", "async", "another"],
)
def test_who_has_settings_of_their_own_keeps_them(values: Json, left: set[str]) -> None:
    assert wired(pod(render(values), "scheduler")).keys() == left


def test_so_does_who_sets_them_in_the_environment() -> None:
    found = wired(pod(render({"env": [{"name": PREFIX, "value": "theirs.args"}]}), "scheduler"))
    assert found == {PREFIX: "theirs.args", f"{PREFIX}_ASYNC": "airfield_connection.ARGUMENTS_ASYNC"}
