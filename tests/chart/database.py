"""A database of a test's own on the suite's PostgreSQL, as Airflow's scripts find it in their environment."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from airfield.postgres.connection import Address
from chart.rendered import CHART
from postgres_server import PostgresServer, login

PASSWORD = "pass:staple/odd@horse%battery"
ENCODED = "pass%3Astaple%2Fodd%40horse%25battery"


@dataclass(frozen=True)
class Database:
    address: Address

    @property
    def url(self) -> str:
        at = f"{self.address.host}:{self.address.port}/{self.address.database}"
        return f"postgresql+psycopg2://{self.address.user}:{ENCODED}@{at}"

    def connect(self) -> psycopg.Connection:
        return login(self.address)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with self.connect() as connection:
            return connection.execute(statement.encode()).fetchall()

    def execute(self, statement: str) -> None:
        with self.connect() as connection:
            connection.execute(statement.encode())

    def variables(self, **more: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.url, **more}


def create(server: PostgresServer, name: str) -> Database:
    address = replace(server.superuser, user=name, password=PASSWORD, database=name)
    with login(server.superuser) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), PASSWORD))
        connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
    return Database(address)


def start(script: str, *arguments: str, variables: dict[str, str], folder: Path | None = None) -> subprocess.Popen[str]:
    """Start a script of the chart as its Pods do, with a bare interpreter."""
    command = [sys.executable, "-B", "-I", "-S", str(CHART / "files" / script), *arguments]
    return subprocess.Popen(
        command, env=variables, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(script: str, *arguments: str, variables: dict[str, str], folder: Path | None = None) -> tuple[int, str]:
    process = start(script, *arguments, variables=variables, folder=folder)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output
