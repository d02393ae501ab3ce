"""What Airflow's database says about DAG bundles: cheaper by far than asking Airflow."""

from datetime import datetime

from airfield.postgres.connection import Address, connect


async def bundle_facts(address: Address) -> dict[str, datetime | None]:
    """When each active bundle was last fetched, None when never. Log in with the environment's own role."""
    async with connect(address, "reading the state of the DAG bundles") as connection:
        cursor = await connection.execute(
            "SELECT left(name, 250), last_refreshed FROM public.dag_bundle WHERE active LIMIT 200"
        )
        return {str(name): refreshed for name, refreshed in await cursor.fetchall()}
