"""What the operator's chart makes for Prometheus and Grafana."""

import json
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from airfield.helm.manifests import documents
from localcluster import tool
from metricsdocs.page import families, filled

Json = dict[str, Any]

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts" / "airfield"
ALERTS = CHART / "alerts" / "airfield.yaml"
RUNBOOKS = REPOSITORY / "docs" / "runbooks"
NAME = re.compile(r"\b(?:airfield|process)_\w+\b")


def render(*settings: str) -> list[Json]:
    """All objects of the chart with these `--set-json` settings."""
    command = [str(tool("helm")), "template", "airfield", str(CHART), "--namespace=airfield-system"]
    done = subprocess.run(
        [*command, *(f"--set-json={each}" for each in settings)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def only(objects: list[Json], kind: str) -> Json:
    """The one object of a kind, with a name in common with no other."""
    (found,) = (each for each in objects if each["kind"] == kind)
    return found


@lru_cache
def alerts() -> dict[str, Json]:
    """The alerts as they are shipped by default, by name."""
    spec = only(render("alerts.enabled=true"), "PrometheusRule")["spec"]
    rules = [rule for group in spec["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    return {rule["alert"]: rule for rule in rules}


def rules_file(folder: Path, *settings: str) -> Path:
    """A file of rules as Prometheus reads it."""
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(only(render("alerts.enabled=true", *settings), "PrometheusRule")["spec"]))
    return file


@lru_cache
def dashboard() -> Json:
    """The dashboard as Grafana's sidecar finds it."""
    (found,) = (
        each
        for each in render("dashboard.enabled=true")
        if each["kind"] == "ConfigMap" and "grafana_dashboard" in each["metadata"]["labels"]
    )
    parsed: Json = json.loads(found["data"]["airfield.json"])
    return parsed


def expressions(board: Json) -> dict[str, str]:
    """Every query of the dashboard by the panel's title, with Grafana's variables filled in."""
    found: dict[str, str] = {}
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "30s").replace("$tenant", ".*")
            found[f"{panel['title']} {target['refId']}"] = expression
    return found


def metric_names() -> set[str]:
    """The names of all series that the operator can have."""
    return {series for family in families(filled()) for series in family.series}
