"""A DAG from a repository that wants a login."""

from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def private() -> None:
    """One task that does nothing."""

    @task
    def nothing() -> None:
        pass

    nothing()


private()
