"""Exec probe of a component that heartbeats: python -I -S probe.py <job type> started|ready|alive.

Airflow's heartbeat tells whether a component works; that its process exists does not. Ready: the heartbeat of this
container is fresh. Alive: it is not long stale, as far as the database can tell; an outage of the database must not
restart every component. Started: ready, and it waits for that; asking again within one process costs little, while a
new process every second would slow down the very imports that it waits for.
"""
# ruff: noqa: INP001, PTH100, PTH120, PTH123, T201 - a script of a ConfigMap; pathlib would be a fifth of its run

import _thread
import os
import socket
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import airfield_database

STALE_SECONDS = {"started": 30, "ready": 30, "alive": 120}
WAIT_SECONDS = {"started": 20, "ready": 0, "alive": 0}
PAUSE_SECONDS = 0.25
PATIENCE_SECONDS = 8  # after the wait; less than any timeoutSeconds, since a timeout would count against liveness
# The newest job of this host, unless an earlier container of the same Pod left it behind.
QUERY = """
SELECT state, EXTRACT(EPOCH FROM now() - latest_heartbeat) FROM job
WHERE job_type = %s AND hostname = ANY(%s) AND start_date >= now() - make_interval(secs => %s)
ORDER BY latest_heartbeat DESC LIMIT 1
"""


def verdict(question: str, row: tuple[str, float] | None) -> str | None:
    """Return why the answer to the question is no, None if it is yes. row: state, age in seconds."""
    if row is None:
        return "no heartbeat yet"
    state, age = row
    if question != "alive" and state != "running":
        return f"the job is {state}"
    limit = STALE_SECONDS[question]
    return f"the last heartbeat was {age:.0f} s ago, more than {limit} s" if age > limit else None


def host_names() -> list[str]:
    """Return what Airflow may call this host: its hostname_callable is getfqdn by default, or the address."""
    name = socket.gethostname()
    names = [name]
    try:
        for _, _, _, canonical, address in socket.getaddrinfo(name, None, 0, socket.SOCK_DGRAM, 0, socket.AI_CANONNAME):
            names += [canonical, str(address[0])]
    except OSError:
        pass
    return [name for name in dict.fromkeys(names) if name]


def container_age() -> float:
    """Return how long ago PID 1 of this container started, in seconds, and a little more."""
    with open("/proc/1/stat") as stat, open("/proc/uptime") as uptime:
        started = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return float(uptime.read().split()[0]) - started + 2


def heartbeat(connection: Any, job_type: str, hosts: list[str]) -> tuple[str, float] | None:
    with connection.cursor() as cursor:
        cursor.execute(QUERY, (job_type, hosts, container_age()))
        row = cursor.fetchone()
    return row and (row[0], float(row[1]))


def answer(job_type: str, question: str, deadline: float) -> str | None:
    """Return why the answer is no, or None as soon as it is yes; raise if the database cannot tell."""
    psycopg2 = airfield_database.driver()
    connection = psycopg2.connect(airfield_database.url(), connect_timeout=5, application_name="airfield-probe")
    connection.autocommit = True
    hosts = host_names()
    while (problem := verdict(question, heartbeat(connection, job_type, hosts))) and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
    return problem


def give_up(question: str) -> None:
    time.sleep(WAIT_SECONDS[question] + PATIENCE_SECONDS)
    os.write(2, b"the database does not answer\n")
    os._exit(0 if question == "alive" else 1)


def main(job_type: str, question: str) -> int:
    _thread.start_new_thread(give_up, (question,))
    deadline = time.monotonic() + WAIT_SECONDS[question]
    while True:
        try:
            problem = answer(job_type, question, deadline)
        except Exception as error:  # noqa: BLE001 - no answer is no news
            if time.monotonic() < deadline:
                time.sleep(1)
                continue
            secret = os.environ.get(airfield_database.VARIABLE, "")
            print(airfield_database.redacted(str(error), secret), file=sys.stderr)
            return 0 if question == "alive" else 1
        if problem:
            print(problem, file=sys.stderr)
        return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
