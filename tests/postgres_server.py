"""A private PostgreSQL server for tests: temporary, on loopback, SCRAM only, every statement in its log.

A conftest.py that imports `postgres_server` gives its folder the fixture. Each pytest-xdist worker gets a server of its
own (about a second). AIRFIELD_POSTGRES_BIN names the binaries to use; without it the newest ones that Debian installed
are taken, and `apt-get` fetches them when they are lacking and we are root.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from filelock import FileLock
from psycopg import sql

from airfield.postgres.connection import Address
from airfield.postgres.scram import scram_verifier
from localcluster.host import apt_get, apt_install

START_SECONDS = 120
ROOM = 4 << 30
"""Bytes: hundreds of databases of eight megabytes each, of several workers."""
CREATE_CLUSTER_CONFIG = Path("/etc/postgresql-common/createcluster.conf")

FAKE_AIRFLOW = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('d2f4e1b3c5a7');
CREATE TABLE alembic_version_fab (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version_fab VALUES ('02ca36b0235b');
CREATE TYPE job_state AS ENUM ('running', 'success');
CREATE TABLE job (id serial PRIMARY KEY, state job_state, latest_heartbeat timestamptz);
CREATE VIEW running_job AS SELECT * FROM job WHERE state = 'running';
CREATE FUNCTION beat() RETURNS timestamptz LANGUAGE sql AS 'SELECT max(latest_heartbeat) FROM public.job';
CREATE SEQUENCE ab_user_id_seq;
CREATE TABLE ab_user (
    id integer PRIMARY KEY, first_name varchar(256) NOT NULL, last_name varchar(256) NOT NULL,
    username varchar(512) NOT NULL UNIQUE, password varchar(256), active boolean, email varchar(512) NOT NULL UNIQUE,
    last_login timestamp, login_count integer, fail_login_count integer, created_on timestamp, changed_on timestamp,
    created_by_fk integer REFERENCES ab_user, changed_by_fk integer REFERENCES ab_user
);
CREATE UNIQUE INDEX idx_ab_user_username ON ab_user (lower(username));
CREATE SEQUENCE ab_role_id_seq;
CREATE TABLE ab_role (id integer PRIMARY KEY, name varchar(64) NOT NULL UNIQUE);
CREATE SEQUENCE ab_user_role_id_seq;
CREATE TABLE ab_user_role (
    id integer PRIMARY KEY, user_id integer REFERENCES ab_user ON DELETE CASCADE,
    role_id integer REFERENCES ab_role ON DELETE CASCADE, UNIQUE (user_id, role_id)
);
"""
"""What matters of Airflow's and FAB's schema: FAB's sequences belong to no column, so they move with no table."""


@dataclass(frozen=True)
class PostgresServer:
    superuser: Address
    admin: Address  # CREATEDB and CREATEROLE only, as on a managed server; its maintenance database is its own
    log: Path


@pytest.fixture(scope="package")
def postgres_server() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@contextlib.contextmanager
def running_server() -> Iterator[PostgresServer]:
    """The same for what is not a test."""
    with contextlib.ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="airfield-postgres-", dir=_roomy_memory()))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        yield _start(directory, _binaries(), stack)


def _roomy_memory() -> Path | None:
    """A file system in memory, if there is one with room: each clone of a database is hundreds of small files."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of its own
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None


def _start(directory: Path, binaries: Path, stack: contextlib.ExitStack) -> PostgresServer:
    user = "nobody" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(directory, user)
    address = Address("127.0.0.1", _free_port(), "postgres", "superuser-of-the-tests", "postgres", "disable")
    password_file = directory / "password"
    password_file.write_text(address.password)
    data, log = directory / "data", directory / "log"
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--auth=scram-sha-256",
        f"--pwfile={password_file}",
    ]
    options = ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    subprocess.run([*initdb, *options], check=True, user=user, cwd=directory, stdout=subprocess.DEVNULL)
    settings = {
        "listen_addresses": address.host,
        "unix_socket_directories": directory,
        "fsync": "off",
        "autovacuum": "off",  # it would visit each of hundreds of databases once a minute, with a process of its own
        "log_statement": "all",
        "log_connections": "on",
        "shared_buffers": "32MB",
    }
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-p", str(address.port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *(part for key, value in settings.items() for part in ("-c", f"{key}={value}"))],
            user=user,
            cwd=directory,
            stderr=output,
        )
    stack.callback(process.wait)
    stack.callback(process.send_signal, 2)  # SIGINT is PostgreSQL's "fast" shutdown
    admin = replace(address, user="airfield", password="administrator-of-the-tests", database="airfield")
    with _connected(address, process, log) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE airfield LOGIN CREATEDB CREATEROLE PASSWORD {}").format(scram_verifier(admin.password))
        )
        connection.execute("CREATE DATABASE airfield OWNER airfield")
        connection.execute("REVOKE CONNECT, TEMPORARY ON DATABASE airfield FROM PUBLIC")
    return PostgresServer(address, admin, log)


def _connected(address: Address, process: subprocess.Popen[bytes], log: Path) -> psycopg.Connection:
    """The first connection that succeeds; the server accepts none before it is ready."""
    for _ in range(START_SECONDS * 10):
        try:
            return login(address)
        except psycopg.OperationalError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                break
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")


def login(address: Address) -> psycopg.Connection:
    """A plain connection, as any other program would make it."""
    return psycopg.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        dbname=address.database,
        sslmode=address.sslmode,
        autocommit=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binaries() -> Path:
    if configured := os.environ.get("AIRFIELD_POSTGRES_BIN"):
        return Path(configured)
    with FileLock(Path(tempfile.gettempdir()) / f"airfield-postgres-{os.getuid()}.lock"):
        if (found := _installed()) is None and os.getuid() == 0 and shutil.which("apt-get"):
            _install()
            found = _installed()
    if found is None:
        pytest.fail("PostgreSQL is not installed: install Debian's package postgresql or set AIRFIELD_POSTGRES_BIN")
    return found


def _installed() -> Path | None:
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _install() -> None:
    """Debian's package would also create and start a server of its own, unless told not to beforehand."""
    apt_install("postgresql-common")
    if "\ncreate_main_cluster = false" not in CREATE_CLUSTER_CONFIG.read_text():
        with CREATE_CLUSTER_CONFIG.open("a") as config:
            config.write("\ncreate_main_cluster = false\n")
    apt_get("install", "--yes", "--no-install-recommends", "postgresql")
