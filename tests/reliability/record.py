"""What befell environments on a real node, and how long they took to recover: the table of docs/reliability.md."""

import json
from dataclasses import dataclass, field
from typing import Final

import sections
from bench import machine
from demo.platform import REPOSITORY, Platform

DOCUMENT: Final = REPOSITORY / "docs" / "reliability.md"
FAULTS: Final = 10
"""Tests of the campaign that add a finding."""


@dataclass(frozen=True)
class Finding:
    """One fault: when it struck, what was seen of it, who removed its cause, and the seconds from then until Ready."""

    fault: str
    moment: str
    seen: str
    mended: str
    seconds: float


@dataclass
class Record:
    """All findings of a run."""

    undisturbed: float = 0.0
    """Seconds that a creation takes to which nothing happens."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether the whole campaign ran, and not only some tests of it."""
        return bool(self.undisturbed) and len(self.findings) == FAULTS

    def write(self, platform: Platform) -> None:
        """Put the table into the document."""
        sections.fill(DOCUMENT, "node", self.table(machine.describe() | _versions(platform)))

    def table(self, facts: dict[str, str]) -> str:
        """The findings, in Markdown."""
        lines = [
            f"A creation to which nothing happens takes {self.undisturbed:.0f} s here.",
            "",
            "| fault | when | what the environment's Ready condition said meanwhile | cause removed by | Ready after |",
            "|---|---|---|---|---|",
            *(f"| {f.fault} | {f.moment} | {f.seen} | {f.mended} | {f.seconds:.0f} s |" for f in self.findings),
            "",
            "; ".join(f"{name}: {value}" for name, value in facts.items()) + ".",
        ]
        return "\n".join(lines)


def _versions(platform: Platform) -> dict[str, str]:
    return {"Kubernetes": str(json.loads(platform.kubectl("get", "--raw", "/version"))["gitVersion"])}
