"""files/migrate.py: its decision, and what it does to a real database, with stand-ins for Airflow and its dump."""

import itertools
import json
import os
import signal
import stat
import threading
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from chart.database import PASSWORD, Database, create, start
from chart.rendered import CHART
from postgres_server import PostgresServer

Script = dict[str, ModuleType]
HEADS = {"alembic_version": "d2", "alembic_version_fab": "02"}
DUMP = """
CREATE TABLE public.alembic_version (version_num varchar(32) NOT NULL);
CREATE TABLE public.alembic_version_fab (version_num varchar(32) NOT NULL);
CREATE TABLE public.slot_pool (id serial PRIMARY KEY, pool varchar(256), slots integer);
INSERT INTO public.slot_pool VALUES (1, 'default_pool', 128);
INSERT INTO public.alembic_version VALUES ('d2');
INSERT INTO public.alembic_version_fab VALUES ('02');
"""
OLD = "CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('c1');"


@pytest.mark.parametrize(
    ("current", "empty", "dump", "plain", "expected"),
    [
        ({}, True, HEADS, True, "load"),
        ({}, True, None, True, "migrate"),
        ({}, True, HEADS, False, "migrate"),
        ({}, False, HEADS, True, "migrate"),  # killed in the middle of `airflow db migrate`
        (HEADS, False, HEADS, True, "nothing"),
        (HEADS, False, None, True, "migrate"),
        (HEADS, False, HEADS, False, "migrate"),
        ({"alembic_version": "d2"}, False, HEADS, True, "migrate"),
        (HEADS | {"alembic_version": "c1"}, False, HEADS, True, "migrate"),
        (HEADS | {"alembic_version": "c1,d2"}, False, HEADS, True, "migrate"),
    ],
)
def test_decisions(
    script: Script, current: dict[str, str], empty: bool, dump: dict[str, str] | None, plain: bool, expected: str
) -> None:
    assert script["migrate"].decide(current, empty=empty, dump=dump, plain=plain) == expected


class Image:
    """An image's files: a dump, and a command `airflow` that counts its runs and does what the test says."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder, self.database = folder, database
        self.runs = folder / "runs"
        self.log = folder / "termination-log"
        self.schema(DUMP)
        self.airflow("exit 0")
        self.scripts()
        self.more: dict[str, str] = {}

    def schema(self, dump: str, packages: dict[str, str] | None = None) -> None:
        facts: dict[str, Any] = packages or {"psycopg2-binary": version("psycopg2-binary")}
        (self.folder / "schema.sql").write_text(dump)
        (self.folder / "schema.json").write_text(json.dumps(facts | {"heads": HEADS}))

    def airflow(self, script: str) -> None:
        command = self.folder / "airflow"
        command.write_text(f'#!/bin/sh\necho "$@" >> {self.runs}\n{script}\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    @property
    def migrations(self) -> int:
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0

    def scripts(self) -> None:
        """migrate.py with this folder in place of the image's paths, and little patience.

        Written once: a process that starts beside another one must not find the file half written.
        """
        source = (CHART / "files" / "migrate.py").read_text()
        replaced = source.replace('"/opt/airfield"', repr(str(self.folder)))
        replaced = replaced.replace('"/dev/termination-log"', repr(str(self.log))).replace(
            "WAIT_SECONDS = 120.0", "WAIT_SECONDS = 3.0"
        )
        files = self.folder / "scripts"
        files.mkdir()
        (files / "migrate.py").write_text(replaced)
        (files / "airfield_database.py").write_text((CHART / "files" / "airfield_database.py").read_text())

    def start(self) -> Any:
        path = f"{self.folder}:{os.environ['PATH']}"
        variables = self.database.variables(**{"PATH": path, **self.more})
        return start(str(self.folder / "scripts" / "migrate.py"), variables=variables)

    def migrate(self) -> tuple[int, str]:
        process = self.start()
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    @property
    def message(self) -> str:
        return self.log.read_text()


@pytest.fixture
def image(postgres_server: PostgresServer, tmp_path: Path) -> Image:
    return Image(tmp_path, create(postgres_server, f"migrate_{uuid.uuid4().hex[:8]}"))


def test_an_empty_database_gets_the_dump_once(image: Image) -> None:
    assert image.migrate()[1].startswith("load: done in")
    assert image.database.query("SELECT version_num FROM alembic_version") == [("d2",)]
    code, output = image.migrate()
    assert (code, output[:13]) == (0, "nothing: done")
    assert image.migrations == 0


def test_other_databases_are_migrated_by_airflow(image: Image) -> None:
    image.database.execute(OLD)
    assert image.migrate()[0] == 0
    assert image.runs.read_text() == "db migrate\n"


@pytest.mark.parametrize("packages", [{"psycopg2-binary": "0.1"}, {"no-such-package": "1"}])
def test_a_dump_of_other_packages_is_not_used(image: Image, packages: dict[str, str]) -> None:
    image.schema(DUMP, packages)
    assert image.migrate()[0] == 0
    assert image.migrations == 1


def test_an_image_without_a_dump_is_migrated_by_airflow(image: Image) -> None:
    (image.folder / "schema.json").unlink()
    assert image.migrate()[0] == 0
    assert image.migrations == 1


@pytest.mark.parametrize(
    ("section", "key"), [("database", "external_db_managers"), ("logging", "log_filename_template")]
)
def test_settings_that_reach_the_database_are_left_to_airflow(image: Image, section: str, key: str) -> None:
    config = image.folder / "airflow.cfg"
    config.write_text(f"[{section}]\n{key} = 100%%\n")
    image.more = {"AIRFLOW_CONFIG": str(config)}
    assert image.migrate()[0] == 0
    assert image.migrations == 1


def test_the_default_pool_gets_its_size(image: Image) -> None:
    image.more = {"AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": "7"}
    assert image.migrate()[0] == 0
    assert image.database.query("SELECT slots FROM slot_pool") == [(7,)]


def test_failure_reports_airflows_last_line_without_secrets(image: Image) -> None:
    image.database.execute(OLD)
    image.airflow(f'echo "Traceback"; echo "Cannot migrate with {PASSWORD}" >&2; exit 3')
    code, output = image.migrate()
    assert code == 1
    assert image.message == "airflow db migrate failed (3): Cannot migrate with ***"
    assert output.splitlines()[0] == "Traceback"


def test_a_broken_dump_changes_nothing(image: Image) -> None:
    image.schema(DUMP + "SELECT broken;")
    code, _ = image.migrate()
    assert code == 1
    assert image.message == 'UndefinedColumn: column "broken" does not exist'
    assert image.database.query("SELECT to_regclass('alembic_version')") == [(None,)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pass%3A", "fail%3A", "the database did not answer for 3 s: connection to server"),
        ("postgresql+psycopg2", "mysql", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN is not a PostgreSQL URL"),
        ("%25battery", "%zz", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN is not a valid PostgreSQL URL"),
    ],
)
def test_a_database_out_of_reach_is_explained(image: Image, old: str, new: str, message: str) -> None:
    image.more = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": image.database.url.replace(old, new)}
    assert image.migrate()[0] == 1
    assert message in image.message
    assert not any(piece in image.message for piece in ("staple", "odd", "horse", "battery"))


def test_it_waits_for_the_database(image: Image, postgres_server: PostgresServer) -> None:
    name = image.database.address.database
    with psycopg.connect(
        host=postgres_server.superuser.host,
        port=postgres_server.superuser.port,
        user="postgres",
        password=postgres_server.superuser.password,
        dbname="postgres",
        autocommit=True,
    ) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        process = image.start()
        assert "waiting for the database" in process.stdout.readline()
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
    assert process.communicate(timeout=60)[0].startswith("load: done in")


def test_two_at_once_work_once(image: Image) -> None:
    image.schema("SELECT pg_sleep(0.5);" + DUMP)
    processes = [image.start() for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0].splitlines()[-1] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert sorted(output.partition(":")[0] for output in outputs) == ["load", "nothing", "nothing"]


def test_a_kill_at_any_point_leaves_all_or_nothing(image: Image) -> None:
    """The dump takes its time, so that the kills fall before, into and after it."""
    image.schema("".join(f"{statement};SELECT pg_sleep(0.02);" for statement in DUMP.split(";") if statement.strip()))
    for delay in itertools.count():
        process = image.start()
        timer = threading.Timer(0.05 * delay, process.send_signal, [signal.SIGKILL])
        timer.start()
        process.communicate(timeout=60)
        timer.cancel()
        deadline = time.monotonic() + 10
        while image.database.query(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'airfield-migration' AND datname = current_database()"
        ) != [(0,)]:
            assert time.monotonic() < deadline  # the server notices a dead client when the statement ends
        tables = image.database.query(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        assert tables in ([(0,)], [(3,)])
        if process.returncode == 0:
            break
    assert image.migrate()[1].startswith("nothing")


def test_termination_ends_airflow_too(image: Image) -> None:
    image.database.execute(OLD)
    image.airflow('trap "echo stopped; exit 9" TERM; echo running; while :; do sleep 0.05; done')
    process = image.start()
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGTERM)
    assert "stopped" in process.communicate(timeout=10)[0]
    assert image.message == "airflow db migrate failed (9): stopped"
