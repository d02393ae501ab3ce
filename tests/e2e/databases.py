"""A PostgreSQL server in the cluster, for environments that do not bring their own."""

from dataclasses import dataclass
from pathlib import Path

from demo.platform import Platform

NAMESPACE = "databases"
HOST = f"postgres.{NAMESPACE}.svc"
ADMIN, PASSWORD = "airfield_admin", "of-the-administrator"
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "airfield-admin", "namespace": NAMESPACE},
    "stringData": {"username": ADMIN, "password": PASSWORD},
}


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
        if not self.ask(f"SELECT 1 FROM pg_roles WHERE rolname = '{ADMIN}'"):
            self.ask(f"CREATE ROLE {ADMIN} LOGIN CREATEDB CREATEROLE PASSWORD '{PASSWORD}'")
            self.ask(f"CREATE DATABASE airfield OWNER {ADMIN}")
            self.ask("REVOKE CONNECT ON DATABASE airfield FROM PUBLIC")
        self.platform.apply([SECRET])

    def ask(self, statement: str, database: str = "postgres") -> list[str]:
        """The rows that a statement returns, as psql writes them without decoration."""
        command = ("psql", "-d", database, "-v", "ON_ERROR_STOP=1", "-qAt", "-c", statement)
        return self.platform.kubectl("-n", NAMESPACE, "exec", "deployment/postgres", "--", *command).splitlines()

    def databases(self) -> set[str]:
        return set(self.ask("SELECT datname FROM pg_database"))

    def roles(self) -> set[str]:
        return set(self.ask("SELECT rolname FROM pg_roles"))
