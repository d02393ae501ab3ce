"""The operator's configuration: environment variables, all optional."""

import logging
import math
import os
import re
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator is told by whoever runs it. Every field has a variable `AIRFIELD_<NAME>`."""

    namespace: str = "airfield-system"
    """Where the operator keeps objects of its own: the Lease, and the Jobs that fill database templates."""
    identity: str = ""
    """Tells this replica from all others; in a pod its name, so that a restarted container leads again at once."""
    lease_seconds: int = 10
    """So long after a leader's last sign of life another replica takes its place."""
    watch_namespaces: tuple[str, ...] = ()
    """The namespaces in which environments are looked after; none: all."""
    chart: Path = HERE / "charts" / "airflow"
    """The chart of an environment."""
    helm: str = "helm"
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets in `namespace` with which the Jobs that fill database templates pull their images."""
    workers: int = 16
    """Environments that are reconciled at a time."""
    resync_seconds: float = 600.0
    """How often everything is listed and looked at again, whatever the watches said."""
    health_seconds: float = 60.0
    """How often a healthy environment's heartbeats are read, in a large fleet five a second on average and no more.

    A pod that turns unready is seen within seconds in any case.
    """
    usage_seconds: float = 60.0
    """How often it is asked what pods use, where there is a metrics server, and what volumes hold; 0: never."""
    statistics_account: str = ""
    """The ServiceAccount in `namespace` that kubelets are asked as what volumes hold; none: they are not asked."""
    kubelets_verified: bool = True
    """Whether the certificates of kubelets must be signed by the cluster's authority, as those of API servers."""
    migration_retry_seconds: float = 60.0
    """After how long a failed migration Job is replaced by a new one."""
    airflow_url: str = "http://{name}-api-server.{namespace}.svc:8080"
    """Where an environment's API server answers, with {name} and {namespace}."""
    changes_recorded: bool = False
    """Whether an admission policy records who changes our resources: only then their annotation can be believed."""
    metrics_port: int = 8080
    """Port of /metrics, /healthz and /readyz on all addresses; 0: none."""
    log_level: str = "INFO"

    @staticmethod
    def from_environ(environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the variables. ValueError names the one that cannot be understood."""

        def number(name: str, default: float, least: float = 0.1) -> float:
            text = environ.get(f"AIRFIELD_{name}")
            try:
                found = default if text is None else float(text)
            except ValueError:
                found = math.nan
            if not least <= found < math.inf:
                raise ValueError(f"AIRFIELD_{name}={text!r} is not a number of at least {least:g}")
            return found

        def names(name: str) -> tuple[str, ...]:
            listed = (each.strip() for each in environ.get(f"AIRFIELD_{name}", "").split(","))
            return tuple(dict.fromkeys(filter(None, listed)))

        defaults = Settings()
        url = environ.get("AIRFIELD_AIRFLOW_URL", defaults.airflow_url)
        level = environ.get("AIRFIELD_LOG_LEVEL", defaults.log_level).upper()
        if level not in logging.getLevelNamesMapping():
            raise ValueError(f"AIRFIELD_LOG_LEVEL={level!r} is none of DEBUG, INFO, WARNING, ERROR")
        try:
            url.format(name="", namespace="")
        except (ValueError, LookupError):
            raise ValueError(f"AIRFIELD_AIRFLOW_URL={url!r}: in braces stand {{name}} and {{namespace}} only") from None
        watched = names("WATCH_NAMESPACES")
        if wrong := [name for name in watched if not NAMESPACE.fullmatch(name)]:
            raise ValueError(f"AIRFIELD_WATCH_NAMESPACES: {wrong[0]!r} is no name of a namespace; use a,b,c")
        return Settings(
            namespace=environ.get("AIRFIELD_NAMESPACE", defaults.namespace),
            identity=environ.get("AIRFIELD_IDENTITY") or f"{socket.gethostname()}-{secrets.token_hex(4)}",
            lease_seconds=int(number("LEASE_SECONDS", defaults.lease_seconds, least=3)),
            watch_namespaces=watched,
            chart=Path(environ.get("AIRFIELD_CHART", find_chart())),
            helm=environ.get("AIRFIELD_HELM") or shutil.which("helm") or "helm",
            image_pull_secrets=names("IMAGE_PULL_SECRETS"),
            workers=int(number("WORKERS", defaults.workers, least=1)),
            resync_seconds=number("RESYNC_SECONDS", defaults.resync_seconds),
            health_seconds=number("HEALTH_SECONDS", defaults.health_seconds),
            usage_seconds=number("USAGE_SECONDS", defaults.usage_seconds, least=0),
            statistics_account=environ.get("AIRFIELD_STATISTICS_ACCOUNT", ""),
            kubelets_verified=environ.get("AIRFIELD_KUBELETS_VERIFIED") != "false",
            migration_retry_seconds=number("MIGRATION_RETRY_SECONDS", defaults.migration_retry_seconds),
            airflow_url=url,
            changes_recorded=environ.get("AIRFIELD_CHANGES_RECORDED") == "true",
            metrics_port=int(number("METRICS_PORT", defaults.metrics_port, least=0)),
            log_level=level,
        )


def find_chart() -> Path:
    """The bundled chart: beside the package in an image, at the top of the tree in a checkout."""
    candidates = (HERE / "charts" / "airflow", *(parent / "charts" / "airflow" for parent in HERE.parents))
    return next((path for path in candidates if (path / "Chart.yaml").is_file()), candidates[0])
