"""How the chart's scripts reach Airflow's database: by psycopg2 alone; importing Airflow costs two seconds of CPU."""
# ruff: noqa: INP001, PLC0415, PTH120 - a script of a ConfigMap, which imports what it needs when it needs it

import os
import re
import sys
from typing import Any

VARIABLE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def driver() -> Any:
    """Import psycopg2. `python -S` halves the start by leaving site-packages out; they are looked up here instead."""
    prefix = os.path.dirname(os.path.dirname(sys.executable))
    sys.path.append(f"{prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")
    try:
        import psycopg2  # type: ignore[import-untyped]
    except ImportError:  # an image that keeps its packages elsewhere
        import site

        site.main()
        import psycopg2
    return psycopg2


def url() -> str:
    """Return the URL that Airflow uses as libpq understands it; raise ValueError, without the URL, if it cannot."""
    found, count = re.subn(r"^postgres(ql)?(\+\w+)?://", "postgresql://", os.environ.get(VARIABLE, ""))
    if count != 1:
        raise ValueError(f"{VARIABLE} is not a PostgreSQL URL; the Secret's key uri must begin with postgresql://")
    return found


def redacted(text: str, secret_url: str) -> str:
    """Return the first line of text without any piece of the URL's password, however it was taken apart."""
    password = secret_url.partition("//")[2].rpartition("@")[0].partition(":")[2]
    decoded = re.sub("%([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), password)
    pieces = {password, decoded, *re.split(r"[:@/?#%]", password), *re.split(r"[:@/?#%]", decoded)}
    line = next((line.strip() for line in text.splitlines() if line.strip()), "unknown error")
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) > 2:
            line = line.replace(piece, "***")
    return line
