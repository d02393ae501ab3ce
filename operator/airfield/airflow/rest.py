"""A small client of Airflow's REST API (version 2), as a user who logs in with a password."""

import asyncio
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import aiohttp

FINISHED = frozenset({"success", "failed"})
TIMEOUT = aiohttp.ClientTimeout(total=30)


class RestError(Exception):
    """Airflow's refusal: `status` is the HTTP status, 0 when there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Airflow:
    """`base_url` is the api-server's, without /api/v2; `token` goes with every request."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: str) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._token = token

    @classmethod
    async def login(cls, session: aiohttp.ClientSession, base_url: str, username: str, password: str) -> Self:
        """Gets a token. Raises RestError 401 for a wrong password."""
        anonymous = cls(session, base_url, "")
        answer = await anonymous._call("POST", "/auth/token", {"username": username, "password": password})
        return cls(session, base_url, answer["access_token"])

    async def dag(self, dag_id: str) -> Mapping[str, Any]:
        dag: dict[str, Any] = await self._call("GET", _path("dags", dag_id))
        return dag

    async def pause(self, dag_id: str, *, paused: bool) -> None:
        await self._call("PATCH", _path("dags", dag_id), {"is_paused": paused})

    async def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Starts a run and returns its id."""
        run = await self._call(
            "POST", _path("dags", dag_id, "dagRuns"), {"logical_date": None, "conf": dict(conf or {})}
        )
        return str(run["dag_run_id"])

    async def run_state(self, dag_id: str, run_id: str) -> str:
        """One of queued, running, success, failed."""
        return str((await self._call("GET", _path("dags", dag_id, "dagRuns", run_id)))["state"])

    async def wait_for_run(self, dag_id: str, run_id: str, *, seconds: float, every: float = 0.5) -> str:
        """The final state. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while (state := await self.run_state(dag_id, run_id)) not in FINISHED:  # noqa: ASYNC110 - state is remote
                await asyncio.sleep(every)
        return state

    async def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        answer = await self._call("GET", _path("dags", dag_id, "dagRuns", run_id, "taskInstances"))
        return {task["task_id"]: task["state"] for task in answer["task_instances"]}

    async def import_errors(self) -> dict[str, str]:
        """File → stack trace, of the first 100."""
        answer = await self._call("GET", "/api/v2/importErrors?limit=100")
        return {error["filename"]: error["stack_trace"] for error in answer["import_errors"]}

    async def task_log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """The task's log as lines of text."""
        path = _path("dags", dag_id, "dagRuns", run_id, "taskInstances", task_id, "logs", str(attempt))
        answer = await self._call("GET", path + "?full_content=true")
        return "\n".join(line if isinstance(line, str) else str(line["event"]) for line in answer["content"])

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        try:
            async with self._session.request(
                method, self._base_url + path, json=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                if response.status >= 300:
                    text = (await response.text())[:500]
                    raise RestError(response.status, f"{method} {path}: HTTP status {response.status}: {text}")
                return await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RestError(0, f"{method} {path}: no answer from the api-server ({type(error).__name__})") from error


def _path(*parts: str) -> str:
    return "/api/v2/" + "/".join(quote(part, safe="") for part in parts)
