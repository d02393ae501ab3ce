"""Bring Airflow's database to the image's schema: python -I -S migrate.py.

Safe to kill at any point, to repeat, and to run twice at once. An empty database gets the image's dump in one
transaction (a tenth of a second instead of eight); a current one is left alone; anything else is `airflow db migrate`.
"""
# ruff: noqa: INP001, T201 - a script of a ConfigMap

import configparser
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.absolute()))
import airfield_database

SCHEMA = Path("/opt/airfield")
TERMINATION_LOG = Path("/dev/termination-log")
WAIT_SECONDS = 120.0
LOCK = 0x61697266  # "airf"; Airflow's own migration lock is another number

Heads = dict[str, str]


class MigrationError(Exception):
    """A message for the person who reads the Job's status."""


def setting(section: str, key: str) -> str | None:
    """Return a setting as Airflow would find it in the environment or in airflow.cfg."""
    variable = f"AIRFLOW__{section.upper()}__{key.upper()}"
    config = configparser.ConfigParser()
    config.read(os.environ.get("AIRFLOW_CONFIG", ""), encoding="utf-8")
    return os.environ.get(variable) or config.get(section, key, fallback=None)


def dump_heads(schema: Path) -> Heads | None:
    """Return the alembic heads of the image's dump, or None if there is none or it is not of the installed packages."""
    try:
        facts = json.loads((schema / "schema.json").read_text())
        heads: Heads = facts.pop("heads")
        return heads if all(version(package) == wanted for package, wanted in facts.items()) else None
    except (FileNotFoundError, PackageNotFoundError):
        return None


def decide(current: Heads, *, empty: bool, dump: Heads | None, plain: bool) -> str:
    """Return what to do: nothing, load or migrate.

    Args:
        current: The heads in the database.
        empty: Whether the database has no tables at all.
        dump: The heads of the image's dump, if it can be trusted.
        plain: Whether nothing in the configuration makes `airflow db migrate` do more than the dump does.
    """
    if dump is None or not plain:
        return "migrate"
    if empty:
        return "load"
    return "nothing" if current == dump else "migrate"


def connect(psycopg2: Any, wait_seconds: float) -> Any:
    """Return a connection in autocommit; retry until the database answers, or raise MigrationError."""
    url = airfield_database.url()
    deadline = time.monotonic() + wait_seconds
    pause, last = 0.2, ""
    while True:
        try:
            connection = psycopg2.connect(url, connect_timeout=5, application_name="airfield-migration")
        except psycopg2.ProgrammingError:  # a malformed URL; its message would quote from it
            raise MigrationError(f"{airfield_database.VARIABLE} is not a valid PostgreSQL URL") from None
        except psycopg2.OperationalError as error:
            message = airfield_database.redacted(str(error), url)
            if time.monotonic() + pause > deadline:
                raise MigrationError(f"the database did not answer for {wait_seconds:.0f} s: {message}") from None
            if message != last:
                print(f"waiting for the database: {message}", flush=True)
            last = message
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        else:
            connection.autocommit = True
            return connection


@contextlib.contextmanager
def locked(cursor: Any) -> Iterator[None]:
    """Hold the migration lock; the server drops it with the connection, soon even if this node vanishes."""
    cursor.execute("SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3")
    cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
    if not cursor.fetchone()[0]:
        print("another migration is running; waiting for it", flush=True)
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    yield
    cursor.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def inspect(cursor: Any, tables: list[str]) -> tuple[Heads, bool]:
    """Return the heads found in these tables, and whether the database is empty."""
    cursor.execute(
        "SELECT current_schema() = 'public'"
        " AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
    )
    empty = bool(cursor.fetchone()[0])
    heads: Heads = {}
    for table in tables:
        cursor.execute("SELECT to_regclass(%s)", (table,))
        if cursor.fetchone()[0]:
            cursor.execute(f'SELECT version_num FROM "{table}"')  # noqa: S608 - from the image's schema.json
            heads[table] = ",".join(sorted(row[0] for row in cursor.fetchall()))
    return heads, empty


def load(cursor: Any, schema: Path) -> None:
    """Load the dump in one transaction."""
    slots = setting("core", "default_pool_task_slot_count")
    cursor.execute("BEGIN")
    cursor.execute((schema / "schema.sql").read_text())
    if slots:
        cursor.execute("UPDATE slot_pool SET slots = %s WHERE pool = 'default_pool'", (int(slots),))
    cursor.execute("COMMIT")


def airflow_db_migrate() -> None:
    """Run `airflow db migrate`, passing on its output; raise MigrationError with its last line if it fails."""
    process = subprocess.Popen(
        ["airflow", "db", "migrate"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    last = ""
    for line in process.stdout or ():
        print(line, end="", flush=True)
        last = line.strip() or last
    if process.wait():
        message = airfield_database.redacted(last, os.environ[airfield_database.VARIABLE])
        raise MigrationError(f"airflow db migrate failed ({process.returncode}): {message}")


def migrate(schema: Path = SCHEMA, wait_seconds: float = WAIT_SECONDS) -> str:
    """Migrate and return what was done: nothing, load or migrate."""
    psycopg2 = airfield_database.driver()
    dump = dump_heads(schema)
    plain = not (setting("database", "external_db_managers") or setting("logging", "log_filename_template"))
    with (
        contextlib.closing(connect(psycopg2, wait_seconds)) as connection,
        connection.cursor() as cursor,
        locked(cursor),
    ):
        heads, empty = inspect(cursor, list(dump or ()))
        action = decide(heads, empty=empty, dump=dump, plain=plain)
        if action == "load":
            load(cursor, schema)
        elif action == "migrate":
            airflow_db_migrate()
    return action


def main() -> int:
    started = time.monotonic()
    try:
        action = migrate()
    except Exception as error:  # noqa: BLE001 - whatever it is, the Job's status tells it
        message = str(error)
        if not isinstance(error, MigrationError):
            message = airfield_database.redacted(
                f"{type(error).__name__}: {error}", os.environ.get(airfield_database.VARIABLE, "")
            )
        print(message, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            TERMINATION_LOG.write_text(message)
        return 1
    print(f"{action}: done in {time.monotonic() - started:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
