"""docs/troubleshooting.md has a useful section for every reason, and for nothing else."""

import re
from pathlib import Path

import pytest

from airfield.api import meta
from airfield.api.conditions import ConditionType
from airfield.environment.reasons import Reason
from airfield.environment.status import PHASES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SECTIONS = {
    heading: text.strip()
    for heading, text in re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
}
SOURCES = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "operator" / "airfield").rglob("*.py"))


def test_page_and_enum_agree() -> None:
    assert re.findall(r"^### (.*)$", PAGE, flags=re.MULTILINE) == list(SECTIONS)
    assert sorted(SECTIONS) == sorted(reason.value for reason in Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_section_says_what_it_means_what_happens_and_what_to_do(reason: Reason) -> None:
    text = SECTIONS[reason]
    assert re.findall(r"^\*\*(\w+):\*\*", text, flags=re.MULTILINE) == ["Means", "Meanwhile", "Do"]
    assert "kubectl" in text or "**Do:** nothing." in text


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_used(reason: Reason) -> None:
    assert f"Reason.{reason.name}" in SOURCES


PASSING = {
    *(Reason.SUCCEEDED, Reason.SERVING, Reason.PAUSED, Reason.DELETING, Reason.WAITING),
    *(Reason.DATABASE_UNREACHABLE, Reason.MIGRATING, Reason.STARTING, Reason.UNSCHEDULABLE),
    *(Reason.UNREACHABLE, Reason.UNHEALTHY, Reason.BUNDLE_FAILED),
}
"""Reasons for which the operator waits, or that are none."""
ELSEWHERE = ("Certificate", "Namespace", "Tenant")
"""How reasons begin that are not of an environment's phases."""


def test_the_runbook_says_of_each_reason_for_an_alert_whose_it_is() -> None:
    page = (ROOT / "docs" / "runbooks" / "AirfieldEnvironmentStalled.md").read_text(encoding="utf-8")
    _, _, whose = page.partition("Whose it is follows from the reason:")
    named = re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", whose)
    stalling = {reason for reason in Reason if not reason.startswith(ELSEWHERE)} - PASSING
    assert sorted(named) == sorted(stalling)


def test_no_reason_is_spelled_out_elsewhere() -> None:
    assert "reason=Reason." in SOURCES
    assert re.findall(r"\breason=\W*[\"'].*", SOURCES) == []


def test_the_phases_are_those_of_the_status() -> None:
    assert " → ".join(f"`{kind.value}`" for kind in PHASES) in PAGE
    for name in re.findall(r"^## (\w+): ", PAGE, flags=re.MULTILINE):
        assert ConditionType(name) in PHASES


def test_annotations_and_resources_are_spelled_right() -> None:
    names = {value for name, value in vars(meta).items() if name.startswith(("ANNOTATION_", "LABEL_"))}
    assert {name.removesuffix("-") for name in re.findall(r"airfield\.dev/[a-z-]+", PAGE)} <= names
