"""A PostgreSQL server in the cluster, for environments that do not bring their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo.platform import QUICKSTART, Platform

NAMESPACE = "databases"
HOST = f"postgres.{NAMESPACE}.svc"
SECRET = "airfield-admin"
"""Holds what the operator logs in with."""
ADMIN, PASSWORD = "airfield_admin", "of-the-administrator"


UNHURRIED = {"scheduler": {"scheduler_idle_sleep_time": "3"}, "dag_processor": {"min_file_process_interval": "300"}}
"""An idle environment uses a tenth of a processor, a third of it for looking every second whether there is a task."""


def class_with_server(name: str, **more: Any) -> dict[str, Any]:
    """The example's class under another name, with the database server, and with `more` in its specification."""
    found: dict[str, Any] = yaml.safe_load((QUICKSTART / "class.yaml").read_text(encoding="utf-8"))
    admin = {"adminSecret": {"name": SECRET, "namespace": NAMESPACE}, "maintenanceDatabase": "airfield"}
    found["metadata"]["name"] = name
    found["spec"]["defaults"]["config"] |= UNHURRIED
    found["spec"] |= {"databaseServers": [{"name": "main", "host": HOST, "sslMode": "disable", **admin}], **more}
    return found


@dataclass(frozen=True)
class DatabaseServer:
    """The server, through the eyes of its superuser."""

    platform: Platform

    def install(self) -> None:
        """Start it, with a role and a maintenance database for the operator."""
        self.platform.namespace(NAMESPACE)
        manifests = Path(__file__).with_name("postgres.yaml")
        self.platform.kubectl("-n", NAMESPACE, "apply", "--server-side", "-f", str(manifests))
        self.platform.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/postgres", "--timeout=180s")
        if ADMIN not in self.roles():
            self.ask(f"CREATE ROLE {ADMIN} LOGIN CREATEDB CREATEROLE PASSWORD '{PASSWORD}'")
            self.ask(f"CREATE DATABASE airfield OWNER {ADMIN}")
            self.ask("REVOKE CONNECT ON DATABASE airfield FROM PUBLIC")
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": NAMESPACE}}
        self.platform.apply([{**secret, "stringData": {"username": ADMIN, "password": PASSWORD}}])

    def ask(self, statement: str, database: str = "postgres") -> list[str]:
        """The rows that a statement returns, as psql writes them without decoration."""
        command = ("psql", "-d", database, "-v", "ON_ERROR_STOP=1", "-qAt", "-c", statement)
        return self.platform.kubectl("-n", NAMESPACE, "exec", "deployment/postgres", "--", *command).splitlines()

    def databases(self) -> set[str]:
        return set(self.ask("SELECT datname FROM pg_database"))

    def roles(self) -> set[str]:
        return set(self.ask("SELECT rolname FROM pg_roles"))
