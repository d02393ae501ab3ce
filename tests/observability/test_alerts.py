"""The alerts: Prometheus' own tool checks and tries them, each has a page, each speaks of metrics that exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from airfield.environment.reasons import Reason
from localcluster import tool
from observability.rendered import ALERTS, NAME, REPOSITORY, RUNBOOKS, alerts, metric_names, only, render, rules_file

CASES = Path(__file__).with_name("alert_cases.yaml")
NAMES = [rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
SECTIONS = ("## Meaning", "## Impact", "## Diagnosis", "## What to do")


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run([tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_rules_are_valid(tmp_path: Path) -> None:
    promtool("check", "rules", rules_file(tmp_path))


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    rules_file(tmp_path)
    shutil.copy(CASES, tmp_path)
    promtool("test", "rules", tmp_path / CASES.name)


def test_every_alert_is_tried_in_both_directions() -> None:
    tried = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in tried if case["exp_alerts"]} == set(alerts()), "fires"
    assert {case["alertname"] for case in tried if not case["exp_alerts"]} == set(alerts()), "does not fire"


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == set(alerts())


@pytest.mark.parametrize("name", NAMES)
def test_alert(name: str) -> None:
    rule = alerts()[name]
    page = (REPOSITORY / rule["annotations"]["runbook_url"]).read_text()
    assert page.startswith(f"# {name}\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert rule["labels"]["severity"]
    used = set(NAME.findall(rule["expr"]))
    assert used
    assert used <= metric_names()


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_speak_of_metrics_and_pages_that_exist(page: Path) -> None:
    text = page.read_text()
    assert {name for name in NAME.findall(text) if not name.startswith("airfield_system")} <= metric_names()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target


def test_reasons_that_a_runbook_names_exist() -> None:
    page = (RUNBOOKS / "AirfieldEnvironmentStalled.md").read_text()
    lists = " ".join(page.partition("follows from the reason:")[2].split())
    named = set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", lists))
    assert len(named) > 10
    assert named <= set(Reason)


def test_values() -> None:
    settings = (
        "alerts.enabled=true",
        'alerts.for={"AirfieldEnvironmentNotReady": "1s"}',
        'alerts.disabled=["AirfieldForbidden"]',
        'alerts.labels={"release": "prometheus"}',
        'alerts.runbooks="https://example.com/runbooks/"',
    )
    found = only(render(*settings), "PrometheusRule")
    rules = {rule["alert"]: rule for group in found["spec"]["groups"] for rule in group["rules"]}
    assert found["metadata"]["labels"]["release"] == "prometheus"
    assert found["metadata"]["labels"]["app.kubernetes.io/name"] == "airfield"
    assert set(alerts()) - set(rules) == {"AirfieldForbidden"}
    changed = {name: rule["for"] for name, rule in rules.items() if rule["for"] != alerts()[name]["for"]}
    assert changed == {"AirfieldEnvironmentNotReady": "1s"}
    link = rules["AirfieldDown"]["annotations"]["runbook_url"]
    assert link == "https://example.com/runbooks/AirfieldDown.md"


@pytest.mark.parametrize("setting", ['alerts.for={"AirfieldDwon": "1s"}', 'alerts.disabled=["AirfieldDwon"]'])
def test_an_alert_that_does_not_exist_is_refused(setting: str) -> None:
    with pytest.raises(AssertionError, match=r'there is no alert "AirfieldDwon"; there are AirfieldDown'):
        render("alerts.enabled=true", setting)


def test_nothing_is_made_unless_asked_for() -> None:
    assert not {each["kind"] for each in render()} & {"PrometheusRule", "ServiceMonitor"}


def test_a_scrape_keeps_the_namespaces_of_environments() -> None:
    monitor = only(render("metrics.serviceMonitor.enabled=true"), "ServiceMonitor")
    assert [endpoint["honorLabels"] for endpoint in monitor["spec"]["endpoints"]] == [True]
