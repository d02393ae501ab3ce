"""Start a component when the database answers: python -I -S start.py COMMAND.

Airflow exits when its database stays away, and again at every start without it; the kubelet then waits ever longer
before the next start, up to five minutes after the database is back. Waiting here costs little and ends at once.
"""
# ruff: noqa: INP001, PTH100, PTH120, T201 - a script of a ConfigMap; pathlib would be a fifth of its run

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import airfield_database

PAUSE_SECONDS = 1.0


def wait_for_database() -> None:
    """Return when the database lets us in; say why it does not, each reason once."""
    psycopg2 = airfield_database.driver()
    url, last = airfield_database.url(), ""
    while True:
        try:
            psycopg2.connect(url, connect_timeout=5, application_name="airfield-start").close()
        except psycopg2.Error as error:
            message = airfield_database.redacted(str(error), url)
            if message != last:
                print(f"waiting for the database: {message}", flush=True)
            last = message
            time.sleep(PAUSE_SECONDS)
        else:
            return


if __name__ == "__main__":
    wait_for_database()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command is the chart's
