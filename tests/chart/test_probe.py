"""files/probe.py: its decisions, and its answers on a real database."""

import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from chart.database import Database, create, run
from postgres_server import PostgresServer

JOB = """
CREATE TABLE job (
    id serial PRIMARY KEY, job_type varchar(30), hostname varchar(500), state varchar(20),
    start_date timestamptz, latest_heartbeat timestamptz
);
"""
Script = dict[str, ModuleType]


@pytest.mark.parametrize(
    ("row", "ready", "alive"),
    [
        (("running", 0.0), True, True),
        (("running", 30.0), True, True),
        (("running", 31.0), False, True),
        (("running", 120.0), False, True),
        (("running", 121.0), False, False),
        (("success", 1.0), False, True),
        (("failed", 1.0), False, True),
        (("failed", 121.0), False, False),
        (None, False, False),
    ],
)
def test_verdicts(script: Script, row: tuple[str, float] | None, ready: bool, alive: bool) -> None:
    verdict = script["probe"].verdict
    assert (verdict("ready", row) is None, verdict("alive", row) is None) == (ready, alive)


def test_the_age_of_pid_1_is_that_of_the_machine(script: Script) -> None:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 < script["probe"].container_age() <= uptime + 3


@pytest.fixture
def database(postgres_server: PostgresServer) -> Database:
    database = create(postgres_server, f"probe_{uuid.uuid4().hex[:8]}")
    database.execute(JOB)
    return database


def beat(
    database: Database,
    age: float,
    *,
    kind: str = "SchedulerJob",
    host: str = "",
    state: str = "running",
    started: str = "now()",
) -> None:
    database.execute(
        "INSERT INTO job (job_type, hostname, state, start_date, latest_heartbeat) VALUES "  # noqa: S608 - the test's own
        f"('{kind}', '{host or socket.gethostname()}', '{state}', {started}, now() - interval '{age} s')"
    )


def answers(database: Database, kind: str = "SchedulerJob") -> tuple[bool, bool]:
    return tuple(
        run("probe.py", kind, question, variables=database.variables())[0] == 0 for question in ("ready", "alive")
    )  # type: ignore[return-value]


def test_fresh_stale_and_dead(database: Database) -> None:
    assert answers(database) == (False, False)
    beat(database, 200)
    assert answers(database) == (False, False)
    beat(database, 60)
    assert answers(database) == (False, True)
    beat(database, 1)
    assert answers(database) == (True, True)
    assert answers(database, "TriggererJob") == (False, False)


def test_started_waits_for_the_first_heartbeat(database: Database) -> None:
    with ThreadPoolExecutor() as executor:
        probe = executor.submit(run, "probe.py", "SchedulerJob", "started", variables=database.variables())
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'airfield-probe'"
        with database.connect() as connection:
            while connection.execute(sessions).fetchone() == (0,):
                assert not probe.done()
        beat(database, 0)
        assert probe.result() == (0, "")


def test_other_hosts_and_earlier_containers_do_not_count(database: Database) -> None:
    beat(database, 0, host="another-pod")
    beat(database, 0, started="now() - interval '100 years'")
    assert answers(database) == (False, False)


def test_a_host_known_by_its_address_counts(database: Database, script: Script) -> None:
    names = script["probe"].host_names()
    assert names[0] == socket.gethostname()
    beat(database, 0, host=names[-1])
    assert answers(database) == (True, True)


@pytest.mark.parametrize("outage", ["no table", "wrong password", "no server", "no url"])
def test_an_outage_makes_unready_and_kills_nothing(database: Database, outage: str) -> None:
    variables = database.variables()
    name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    match outage:
        case "no table":
            database.execute("DROP TABLE job")
        case "wrong password":
            variables[name] = variables[name].replace("pass%3A", "fail%3A")
        case "no server":
            variables[name] = variables[name].replace(f":{database.address.port}/", ":1/")
        case "no url":
            variables[name] = ""
    for question, code in (("ready", 1), ("alive", 0)):
        returned, output = run("probe.py", "SchedulerJob", question, variables=variables)
        assert (returned, output.count("\n")) == (code, 1)
        assert not any(piece in output for piece in ("staple", "odd", "horse", "battery"))


def test_a_database_that_hangs_is_an_outage(database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hanging = database.url.replace(f":{database.address.port}/", f":{listener.getsockname()[1]}/")
        variables = database.variables(AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=hanging)
        started = time.monotonic()
        assert run("probe.py", "SchedulerJob", "alive", variables=variables)[0] == 0
        assert time.monotonic() - started < 9
    with database.connect() as blocker:
        beat(database, 0)
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE job")
        returned, output = run("probe.py", "SchedulerJob", "alive", variables=database.variables())
        assert (returned, output) == (0, "the database does not answer\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('could not translate host name "horse/staple@db"\nmore', 'could not translate host name "***/***@db"'),
        ("\n  the password is p:horse/staple  ", "the password is ***"),
        ('invalid percent-encoded token: "p%3Ahorse%2Fstaple"', 'invalid percent-encoded token: "***"'),
        ("", "unknown error"),
    ],
)
def test_messages_are_redacted(script: Script, text: str, expected: str) -> None:
    assert script["airfield_database"].redacted(text, "postgresql://u:p%3Ahorse%2Fstaple@db/x") == expected
