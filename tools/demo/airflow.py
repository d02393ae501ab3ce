"""A DAG run through Airflow's REST API, as a person would do it: log in, unpause, trigger, wait."""

import asyncio
import base64
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from airfield.airflow.rest import Airflow, RestError
from demo.platform import Platform
from localcluster import tool
from localcluster.cluster import current_kubeconfig

APPEARS_SECONDS = 180
RUNS_SECONDS = 240


def login(platform: Platform, namespace: str, name: str) -> tuple[str, str]:
    """User name and password of an environment's administrator."""
    data = platform.get("-n", namespace, "secret", f"{name}-admin")["data"]
    return base64.b64decode(data["username"]).decode(), base64.b64decode(data["password"]).decode()


@asynccontextmanager
async def reach(platform: Platform, namespace: str, name: str) -> AsyncIterator[str]:
    """A URL of an environment's API server that works from this machine."""
    service = f"{name}-api-server"
    if current_kubeconfig() is None:
        yield f"http://{platform.service_address(namespace, service)}:8080"
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(tool("kubectl")), "--kubeconfig", str(platform.cluster.kubeconfig), "-n", namespace]
    forward = await asyncio.create_subprocess_exec(
        *command, "port-forward", f"service/{service}", f"{port}:8080", stdout=subprocess.PIPE
    )
    try:
        assert forward.stdout is not None  # noqa: S101 - asked for above
        if not await asyncio.wait_for(forward.stdout.readline(), 30):
            raise RestError(0, f"kubectl port-forward to service {service} ended at once")
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):  # it ends by itself when its pod does
            forward.terminate()
        await forward.wait()


async def run_dag(platform: Platform, namespace: str, name: str, dag: str) -> str:
    """Run a DAG as soon as Airflow knows it; the state in which the run ended."""
    async with reach(platform, namespace, name) as url, aiohttp.ClientSession() as http:
        airflow = await Airflow.login(http, url, *login(platform, namespace, name))
        async with asyncio.timeout(APPEARS_SECONDS):
            while not await _known(airflow, dag):  # noqa: ASYNC110 - nothing on this side could set an event
                await asyncio.sleep(0.5)
        await airflow.pause(dag, paused=False)
        run = await airflow.trigger(dag)
        return await airflow.wait_for_run(dag, run, seconds=RUNS_SECONDS)


async def _known(airflow: Airflow, dag: str) -> bool:
    try:
        await airflow.dag(dag)
    except RestError as error:
        if error.status == 404:
            return False
        raise
    return True
