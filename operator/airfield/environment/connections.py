"""What is in the Secrets that say how to connect: to a database, to a git repository. Pure."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airfield.api.dags import DagBundle


def connection_content(*, host: str, port: str, database: str, username: str, password: str) -> dict[str, str]:
    """The database contract: one Secret, whoever runs the database."""
    user, secret, where = quote(username, safe=""), quote(password, safe=""), quote(database, safe="")
    address = f"[{host}]" if ":" in host else host
    return {
        "uri": f"postgresql+psycopg2://{user}:{secret}@{address}:{port}/{where}",
        "host": host,
        "port": port,
        "database": database,
        "username": username,
        "password": password,
    }


def git_connection(bundle: DagBundle, credentials: Mapping[str, str]) -> dict[str, Any]:
    """The Airflow connection (conn_type git) that a bundle uses, from the Secret that the user gave."""
    if bundle.git is None:
        raise ValueError(f"bundle {bundle.name!r} is not from git")
    connection: dict[str, Any] = {"conn_type": "git", "host": bundle.git.url}
    if "ssh-privatekey" in credentials:
        extra = {"private_key": credentials["ssh-privatekey"]}
        if "known_hosts" in credentials:
            extra |= {
                "strict_host_key_checking": "yes",
                "known_hosts_file": f"/etc/airfield/git/{bundle.name}/known_hosts",
            }
        return {**connection, "extra": extra}
    return {**connection, "login": credentials.get("username", "git"), "password": credentials["password"]}


def encoded(content: Mapping[str, str]) -> dict[str, str]:
    """The data of a Secret."""
    return {field: base64.b64encode(value.encode()).decode() for field, value in content.items()}
