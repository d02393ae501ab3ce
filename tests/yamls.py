"""YAML of charts and CRDs, which is long, read ten times as fast as by PyYAML's own parser: by libyaml."""

from typing import Any

import yaml


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a text, without empty ones."""
    return [found for found in yaml.load_all(text, yaml.CSafeLoader) if found]
