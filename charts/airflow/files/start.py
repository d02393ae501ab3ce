"""Start a component when the database answers: python -I -S start.py COMMAND.

Airflow exits when its database stays away, and again at every start without it; the kubelet then waits ever longer
before the next start, up to five minutes after the database is back. Waiting here costs little and ends at once.

The component's connections get our timeouts, unless airflow.cfg, the Pod or the image names others.
"""
# ruff: noqa: INP001, PTH100, PTH110, PTH118, PTH120, T201 - a script of a ConfigMap; pathlib would be a fifth of its run

import configparser
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import airfield_database

PAUSE_SECONDS = 1.0
TIMEOUTS = {
    "sql_alchemy_connect_args": "airfield_timeouts.ARGUMENTS",
    "sql_alchemy_connect_args_async": "airfield_timeouts.ARGUMENTS_ASYNC",
}


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


def set_timeouts() -> None:
    """Name the arguments of Airflow's connections: not in airflow.cfg, since some who share that lack the module.

    So does a Pod from before there was one, whose container starts again with the scripts of today.
    """
    if not os.path.exists(os.path.join(os.environ.get("AIRFLOW_HOME", ""), "config", "airfield_timeouts.py")):
        return
    config = configparser.RawConfigParser()
    config.read(os.environ["AIRFLOW_CONFIG"], encoding="utf-8")
    for option, value in TIMEOUTS.items():
        if not config.has_option("database", option):
            os.environ.setdefault(f"AIRFLOW__DATABASE__{option.upper()}", value)


if __name__ == "__main__":
    set_timeouts()
    wait_for_database()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command is the chart's
