"""Placeholders in texts of a class: each stands for something that is known of an environment."""

from collections.abc import Mapping
from typing import Final

PLACEHOLDERS: Final = ("name", "namespace", "tenant", "stage")
"""What stands in braces. None of their values has a dot."""
PLACEHOLDER: Final = rf"\{{({'|'.join(PLACEHOLDERS)})\}}"
"""The same as a regular expression."""


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace placeholders, each once: what is filled in is not looked at again. Unknown ones stand for nothing."""
    first, *parts = template.split("{")
    return first + "".join(values.get(name, "") + rest for name, _, rest in (part.partition("}") for part in parts))
