"""files/airfield_timeouts.py: connections that notice when the database has gone without a word."""

import os
import socket
import uuid
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chart.database import Database, create, run
from chart.rendered import COMPONENTS, pods, render
from postgres_server import PostgresServer

SYNC = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"
ASYNC = f"{SYNC}_ASYNC"
NAMED = ["airfield_timeouts.ARGUMENTS", "airfield_timeouts.ARGUMENTS_ASYNC"]
OPTIONS = {
    "alive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    "count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    "timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
}
"""What a socket is to have: milliseconds in the last, seconds and numbers in the others."""
WANTED = {name: value for name, (_, _, value) in OPTIONS.items()}
ALL = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


@pytest.fixture
def database(postgres_server: PostgresServer) -> Database:
    return create(postgres_server, f"timeouts_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def timeouts(script: dict[str, ModuleType]) -> ModuleType:
    return script["airfield_timeouts"]


def options(endpoint: Any) -> dict[str, int]:
    return {name: endpoint.getsockopt(level, option) for name, (level, option, _) in OPTIONS.items()}


def test_libpq_gives_up(database: Database, timeouts: ModuleType, script: dict[str, ModuleType]) -> None:
    psycopg2, url = script["airfield_database"].driver(), database.url.replace("+psycopg2", "")
    with (
        closing(psycopg2.connect(url, **timeouts.arguments(database.url))) as made,
        socket.socket(fileno=os.dup(made.fileno())) as endpoint,
    ):
        assert options(endpoint) == WANTED


async def test_asyncpg_gives_up(database: Database, timeouts: ModuleType) -> None:
    arguments = timeouts.arguments_async(database.url)
    made = await arguments.pop("async_creator_fn")(database.url.replace("+psycopg2", ""), **arguments)
    try:
        assert await made.fetchval("SELECT 1") == 1
        assert options(made._transport.get_extra_info("socket")) == WANTED
    finally:
        await made.close()
    assert arguments == {"timeout": 10}


@pytest.mark.parametrize(
    ("url", "connect_timeout", "missing"),
    [
        ("postgresql://u:p@db:5432/airflow", "", set()),
        ("postgresql+psycopg2://u:p@db/airflow?sslmode=require", "", set()),
        ("postgresql://u:p@db/a?keepalives_idle=7&connect_timeout=", "", {"keepalives_idle", "connect_timeout"}),
        (
            "postgresql://u:p[a/s?tcp_user_timeout=1#s%3A\u2100@[2001:db8::1]:5/a?keepalives_count=1",
            "",
            {"keepalives_count"},
        ),
        ("postgresql:///airflow?host=/tmp&keepalives_idle=7", "", {"keepalives_idle"}),
        ("postgresql://db/airflow?user=u@example.com&connect_timeout=60", "", {"connect_timeout"}),
        ("postgresql://u:p@db/airflow", "60", {"connect_timeout"}),
        ("sqlite:////tmp/airflow.db", "", ALL.keys()),
        ("", "", ALL.keys()),
    ],
)
def test_what_others_say_counts_for_more(
    url: str, connect_timeout: str, missing: set[str], timeouts: ModuleType
) -> None:
    expected = {name: value for name, value in ALL.items() if name not in missing}
    assert timeouts.arguments(url, connect_timeout) == expected


@pytest.mark.parametrize(("word", "seconds"), [("", 10), ("60", 60), ("0", 10), ("soon", 10)])
def test_asyncpg_heeds_libpqs_variable(word: str, seconds: int, timeouts: ModuleType) -> None:
    assert timeouts.arguments_async("postgresql://u:p@db/a", word)["timeout"] == seconds
    assert timeouts.arguments_async("sqlite://", word) == {}


@pytest.mark.parametrize("executor", ["KubernetesExecutor", "LocalExecutor"])
def test_who_has_the_module(executor: str) -> None:
    """Neither task pods, which have no connections, nor the Job, whose pods cannot be changed once it is there."""
    place = "/opt/airflow/config/airfield_timeouts.py"
    found = {
        component
        for component, template in pods(render({"executor": executor}))
        if any(mount["mountPath"] == place for mount in template["spec"]["containers"][0]["volumeMounts"])
    }
    assert found == set(COMPONENTS)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An AIRFLOW_HOME with the module."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "airfield_timeouts.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("config", "variables", "named"),
    [
        ("[core]\nexecutor = LocalExecutor\n[database]\nsql_alchemy_pool_size = 3", {}, NAMED),
        ("[database]\nsql_alchemy_connect_args = theirs.args", {}, ["", NAMED[1]]),
        ("[database]\nsql_alchemy_connect_args_async = theirs.args", {}, [NAMED[0], ""]),
        ("[core]\nsql_alchemy_connect_args = of no effect", {}, NAMED),
        ("", {SYNC: "theirs.args"}, ["theirs.args", NAMED[1]]),
    ],
)
def test_who_has_chosen_arguments_keeps_them(
    config: str, variables: dict[str, str], named: list[str], database: Database, home: Path
) -> None:
    (home / "airflow.cfg").write_text(config)
    given = database.variables(AIRFLOW_HOME=str(home), AIRFLOW_CONFIG=str(home / "airflow.cfg"), **variables)
    assert run("start.py", "sh", "-c", f'echo "${SYNC}" "${ASYNC}"', variables=given) == (0, " ".join(named) + "\n")


def test_a_pod_without_the_module_starts_as_before(database: Database, tmp_path: Path) -> None:
    given = database.variables(AIRFLOW_HOME=str(tmp_path))
    assert run("start.py", "sh", "-c", f'echo "${SYNC}${ASYNC}"', variables=given) == (0, "\n")
