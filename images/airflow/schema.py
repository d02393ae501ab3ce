# ruff: noqa: INP001, S608 - a script of the image, whose table names are its own
"""Write the schema of a fresh Airflow database, FAB tables and roles included, as SQL that any owner can load.

Usage: schema.py DIRECTORY, as the user who may run PostgreSQL. Writes DIRECTORY/schema.sql and DIRECTORY/schema.json.
Loading the file takes a fraction of a second, `airflow db migrate` several: new environments start from the file.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

POSTGRES_BIN = Path("/usr/lib/postgresql/17/bin")
FAB_AUTH_MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
HEADS = ("alembic_version", "alembic_version_fab")
PERSONAL = ("ab_user", "connection", "variable", "job", "log", "session")


def postgres(program: str, *arguments: str) -> str:
    return subprocess.run([POSTGRES_BIN / program, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def loadable(dump: str) -> str:
    """Return what a database driver understands and a database's owner may run: no psql commands, no SETs."""
    return "".join(
        line
        for line in dump.splitlines(keepends=True)
        if not line.startswith(
            ("\\", "--", "SET ", "SELECT pg_catalog.set_config", "CREATE SCHEMA", "COMMENT ON SCHEMA")
        )
        and line.strip()
    )


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        socket = ["-h", folder, "-U", "postgres"]
        postgres("initdb", "-D", f"{folder}/data", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "--no-sync")
        server_options = f"-k {folder} -c listen_addresses= -c fsync=off"
        postgres("pg_ctl", "-D", f"{folder}/data", "-o", server_options, "-l", f"{folder}/log", "-w", "start")
        try:
            postgres("createdb", *socket, "airflow")
            environment = os.environ | {
                "AIRFLOW__CORE__AUTH_MANAGER": FAB_AUTH_MANAGER,
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
                "PYTHONHASHSEED": "0",  # the order in which FAB's permissions get their ids
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres@/airflow?host={folder}",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://postgres@/airflow?host={folder}",
            }
            for command in (["db", "migrate"], ["sync-perm"]):
                subprocess.run(["airflow", *command], check=True, env=environment)

            def query(sql: str) -> str:
                return postgres("psql", *socket, "-d", "airflow", "-AtXc", sql).strip()

            query("TRUNCATE log RESTART IDENTITY")  # the audit entries of the two commands above
            for table in PERSONAL:
                if (rows := query(f"SELECT count(*) FROM {table}")) != "0":
                    sys.exit(f"{table} has {rows} rows; a schema must not carry anybody's data")
            heads = {table: query(f"SELECT version_num FROM {table}") for table in HEADS}
            dump = postgres("pg_dump", *socket, "--no-owner", "--no-privileges", "--inserts", "airflow")
        finally:
            postgres("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
    facts = {name: version(name) for name in ("apache-airflow", "apache-airflow-providers-fab")}
    (target / "schema.sql").write_text(loadable(dump))
    (target / "schema.json").write_text(json.dumps(facts | {"heads": heads}, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
