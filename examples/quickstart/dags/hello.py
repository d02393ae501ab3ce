"""The first DAG of a new environment: two tasks, one of which hands a value to the other."""

from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, tags=["airfield"])
def hello() -> None:
    """Say hello from wherever tasks of this environment run."""

    @task
    def where() -> str:
        import socket

        return socket.gethostname()

    @task
    def greet(host: str) -> None:
        print(f"Hello from {host}: this DAG came out of a git repository.")

    greet(where())


hello()
