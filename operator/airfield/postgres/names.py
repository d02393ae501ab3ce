"""Names of databases and roles on a server. Pure."""

import hashlib
import re

LONGEST = 63  # bytes; PostgreSQL silently cuts what is longer
TEMPLATE_PREFIX = "airfield_template_"
UNFINISHED_SUFFIX = "_building"


def database_name(namespace: str, name: str) -> str:
    """The database of the environment `namespace/name`: readable, unique by a digest, the same for ever."""
    readable = re.sub(r"[^a-z0-9]+", "_", f"{namespace}_{name}".lower()).strip("_")
    return f"airflow_{readable}"[: LONGEST - 9].rstrip("_") + "_" + _digest(f"{namespace}/{name}", 8)


def role_name(namespace: str, name: str) -> str:
    """The role that owns the environment's database. Roles and databases are different name spaces."""
    return database_name(namespace, name)


def unfinished_name(name: str) -> str:
    """What the database `name` is called until it is complete, so that a crash never leaves half of one."""
    return f"airfield_building_{_digest(name, 16)}"


def template_name(digest: str) -> str:
    """The template database that holds the schema `digest`, and the role that owns its objects.

    Raises ValueError unless the digest consists of 1 to 36 lower case letters and digits.
    """
    room = LONGEST - len(TEMPLATE_PREFIX) - len(UNFINISHED_SUFFIX)
    if not re.fullmatch(rf"[a-z0-9]{{1,{room}}}", digest):
        raise ValueError(f"schema digest {digest!r}: use 1 to {room} lower case letters and digits")
    return TEMPLATE_PREFIX + digest


def template_digest(name: str) -> str | None:
    """The inverse of template_name, None for any other name."""
    match = re.fullmatch(rf"{TEMPLATE_PREFIX}([a-z0-9]+)", name)
    return match and match[1]


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
