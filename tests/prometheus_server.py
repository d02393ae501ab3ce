"""A real Prometheus that scrapes an operator every half second and evaluates rules as often."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcluster import tool

START_SECONDS = 30
Json = dict[str, Any]


@dataclass(frozen=True)
class Prometheus:
    """One that runs on this machine."""

    port: int

    def query(self, expression: str) -> list[Json]:
        """The instant vector; AssertionError with Prometheus' own words if it cannot be computed."""
        found: list[Json] = self._get("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float | None:
        """The value of an expression that has one series, None if it has none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def firing(self, alert: str, **labels: str) -> list[Json]:
        """The alerts of that name, with these labels among others, that fire now."""
        return [
            found
            for found in self._get("alerts")["alerts"]
            if found["state"] == "firing" and {"alertname": alert, **labels}.items() <= found["labels"].items()
        ]

    def problems(self) -> list[str]:
        """What is wrong with scrapes and rules."""
        targets = [
            f"{t['scrapeUrl']}: {t['lastError']}" for t in self._get("targets")["activeTargets"] if t["lastError"]
        ]
        groups = self._get("rules")["groups"]
        rules = [f"{r['name']}: {r['lastError']}" for group in groups for r in group["rules"] if r.get("lastError")]
        return targets + rules

    def _get(self, path: str, **query: str) -> Json:
        where = f"{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{where}", timeout=5) as answer:
                found: Json = json.load(answer)["data"]
                return found
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from error


@contextmanager
def prometheus(folder: Path, targets: Sequence[str], rules: Path) -> Iterator[Prometheus]:
    """Have one scrape `targets` (host:port, each a pod in the namespace airfield-system) and evaluate `rules`."""
    port = _free_port()
    # As the Prometheus operator has it: the target's namespace is a label, and must not hide an environment's.
    scraped = [{"targets": list(targets), "labels": {"namespace": "airfield-system"}}]
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "airfield", "honor_labels": True, "static_configs": scraped}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    command = [
        str(tool("prometheus")),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (folder / "prometheus.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            _await_ready(port, process, folder / "prometheus.log")
            yield Prometheus(port)
        finally:
            process.terminate()


def _await_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
