"""Health as Airflow reports it about itself: by heartbeats, not by processes that run."""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

PATH = "/api/v2/monitor/health"
LONGEST_ANSWER = 64 * 1024  # bytes; the server belongs to a tenant


@dataclass(frozen=True)
class ComponentHealth:
    status: str | None  # healthy, unhealthy; None: never deployed
    latest_heartbeat: datetime | None = None


@dataclass(frozen=True)
class Health:
    """The components by Airflow's names (metadatabase, scheduler, triggerer, dag_processor), or why there are none."""

    components: Mapping[str, ComponentHealth] = field(default_factory=dict)
    error: str | None = None
    silent: bool = False
    """Whether nothing came for as long as was waited: to ask costs that time."""

    @classmethod
    def unreachable(cls, reason: str, *, silent: bool = False) -> "Health":
        return cls(error=reason, silent=silent)


async def health(session: aiohttp.ClientSession, base_url: str, timeout: float) -> Health:  # noqa: ASYNC109
    """Asks the api-server at `base_url`; every failure becomes Health.unreachable."""
    try:
        async with session.get(
            base_url.rstrip("/") + PATH, timeout=aiohttp.ClientTimeout(total=timeout), allow_redirects=False
        ) as response:
            if response.status != 200:
                return Health.unreachable(f"the api-server answers with HTTP status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > LONGEST_ANSWER:
                    return Health.unreachable("the api-server's answer is too long to be a health report")
    except TimeoutError:
        return Health.unreachable(f"the api-server does not answer within {timeout:g} s", silent=True)
    except (aiohttp.ClientError, OSError) as error:
        return Health.unreachable(f"the api-server cannot be reached ({type(error).__name__})")
    try:
        return parse(json.loads(body))
    except (ValueError, RecursionError):
        return Health.unreachable("the api-server's answer is not a health report")


def parse(document: Any) -> Health:
    """Reads the body of the answer. Raises ValueError when it is something else."""
    if not isinstance(document, dict) or "metadatabase" not in document:
        raise ValueError("not a health report")
    components = {}
    for name, report in document.items():
        if report is None:
            continue
        if not isinstance(report, dict) or not isinstance(report.get("status"), str | None):
            raise ValueError("not a health report")  # noqa: TRY004 - it is the document that is wrong
        beat = report.get(f"latest_{name}_heartbeat")
        components[name] = ComponentHealth(
            report.get("status"), datetime.fromisoformat(beat) if isinstance(beat, str) else None
        )
    return Health(components)


def judge(health: Health, expected: AbstractSet[str]) -> tuple[bool, str]:
    """Whether the metadata database and the expected components are healthy, and a sentence that says so.

    Components may be named in Airflow's way (dag_processor) or Kubernetes' (dag-processor); the api-server is proven by
    the answer itself. The sentence is sorted and holds no times: it changes only when the state does.
    """
    if health.error is not None:
        return False, health.error
    wanted = {name.replace("-", "_") for name in expected} - {"api_server"} | {"metadatabase"}
    problems = [problem for name in sorted(wanted) if (problem := _problem(name, health.components.get(name)))]
    return (False, "; ".join(problems)) if problems else (True, "all components report healthy")


def _problem(name: str, component: ComponentHealth | None) -> str | None:
    shown = "metadata database" if name == "metadatabase" else name.replace("_", "-")
    match component:
        case ComponentHealth(status="healthy"):
            return None
        case None | ComponentHealth(status=None):
            return f"the {shown} has not reported yet"
        case ComponentHealth(status="unhealthy") if name == "metadatabase":
            return "the api-server cannot use the metadata database"
        case ComponentHealth(status="unhealthy"):
            return f"the {shown} sends no heartbeat"
    return f"the {shown} reports an unknown status"
