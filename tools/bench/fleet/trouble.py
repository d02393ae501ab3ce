"""Environments that are a trouble, an option: with pods that are slow or crash, or as large as can be."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from localcluster import tool

SEED: Final = 1
HUGE: Final = {
    "config": {"custom": {f"option_{n:02d}": "x" * 4000 for n in range(60)}},
    "env": [{"name": f"HUGE_{n:02d}", "value": "x" * 4000} for n in range(60)],
    "dags": {
        "bundles": [
            {"name": f"bundle-{n:02d}", "git": {"url": f"https://git.example/{'x' * 900}/{n}.git", "ref": "main"}}
            for n in range(32)
        ]
    },
}
"""Half a megabyte of a specification. Much more the API server does not take, since each pod template repeats it."""
_ENVIRONMENT: Final = '.metadata.labels["airfield.dev/environment"]'
_FAILS: Final = """
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ Now | Quote }}}
- {type: Ready, status: "False", lastTransitionTime: {{ Now | Quote }}}
- {type: ContainersReady, status: "False", lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: false
  restartCount: 3
  state: {waiting: {reason: CrashLoopBackOff, message: it fails on purpose}}
{{ end }}
phase: Running
"""


@dataclass(frozen=True)
class Trouble:
    """In how many of 100 environments pods are slow (30 to 90 s each), in how many they crash; how many are huge."""

    slow: int = 0
    failing: int = 0
    huge: int = 0

    def __bool__(self) -> bool:
        return bool(self.slow or self.failing or self.huge)

    def slow_ones(self, names: list[str]) -> list[str]:
        """Which of the environments have slow pods: the same in every run."""
        return self._chosen(names, 0, self.slow)

    def failing_ones(self, names: list[str]) -> list[str]:
        """Which of the environments have pods that crash."""
        return self._chosen(names, self.slow, self.failing)

    def huge_ones(self, names: list[str]) -> list[str]:
        """Which of the environments have the specification `HUGE`."""
        return self._chosen(names, self.slow + self.failing, self.huge)

    def write_stages(self, names: list[str], file: Path) -> Path:
        """Write what kwok is to do with pods: the usual, but for those of these environments."""
        stages = [each for each in yaml.safe_load_all(tool("stages.yaml").read_text(encoding="utf-8")) if each]
        usual = next(each for each in stages if each["metadata"]["name"] == "pod-ready")
        slow = _of(usual, "slow", self.slow_ones(names))
        slow["spec"]["delay"] = {"durationMilliseconds": 30_000, "jitterDurationMilliseconds": 90_000}
        failing = _of(usual, "failing", self.failing_ones(names))
        failing["spec"]["next"] = {"statusTemplate": _FAILS}
        others = _expression("NotIn", [*self.slow_ones(names), *self.failing_ones(names)])
        usual["spec"]["selector"]["matchExpressions"].append(others)
        file.write_text(yaml.safe_dump_all([*stages, slow, failing]), encoding="utf-8")
        return file

    @staticmethod
    def _chosen(names: list[str], before: int, share: int) -> list[str]:
        """So many of a hundred, after those that have another trouble."""
        shuffled = random.Random(SEED).sample(names, len(names))  # noqa: S311 - the same in every run
        return shuffled[len(names) * before // 100 : len(names) * (before + share) // 100]


def _of(usual: dict[str, Any], name: str, environments: list[str]) -> dict[str, Any]:
    """The usual stage, for some environments' pods only."""
    spec = usual["spec"]
    expressions = [*spec["selector"]["matchExpressions"], _expression("In", environments)]
    return {
        **usual,
        "metadata": {"name": f"{usual['metadata']['name']}-{name}"},
        "spec": {**spec, "selector": {"matchExpressions": expressions}},
    }


def _expression(operator: str, environments: list[str]) -> dict[str, Any]:
    return {"key": _ENVIRONMENT, "operator": operator, "values": environments or ["-"]}
