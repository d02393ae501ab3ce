"""A values template in Jinja2's sandbox: text and variables in, the values of the environment chart out. Pure.

The sandbox has no loader and no access to attributes that start with an underscore; undefined names are errors; and
every expression is written as JSON, so that no string of a tenant ever becomes YAML structure. How long an expression
takes and how much memory it needs, it cannot limit: `renderer` does.
"""

import itertools
import json
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from airfield.helm.manifests import documents

LARGEST: Final = 512 * 1024
"""Longest text in characters that a values template may produce."""
LARGEST_VALUES: Final = 8 * 2**20
"""Longest JSON in characters that the values may have: aliases in YAML repeat."""
PASSES: Final = 100_000
"""Passes through all loops of a values template."""

BUNDLED_TEMPLATE: Final = files("airfield.environment").joinpath("values.yaml.j2").read_text(encoding="utf-8")


class ValuesError(Exception):
    """The values template failed; the message names the line and what is wrong with it."""


class _Json(str):
    """What `| tojson` has written; it is not written as JSON again."""

    __slots__ = ()


def as_json(value: object) -> str:
    """`value` as JSON that every YAML parser reads back unchanged: what YAML forbids in a text is escaped."""
    if isinstance(value, _Json):
        return value
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_not_data)
    return _Json("".join(character if character.isprintable() else _escaped(character) for character in text))


def _not_data(value: object) -> str:
    if isinstance(value, Undefined):
        return str(value)  # StrictUndefined raises, naming the variable
    raise TypeError(f"a {type(value).__name__} is not data; `| list` makes a list of what a filter yields")


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


@pass_context
def _counted(context: Context, items: Iterable[object]) -> Iterator[object]:
    for item in items:
        if next(context.parent["_passes"]) >= PASSES:
            raise OverflowError(f"the loops make more than {PASSES} passes")
        yield item


_JINJA = SandboxedEnvironment(undefined=StrictUndefined, finalize=as_json, autoescape=False)
_JINJA.filters |= {"tojson": as_json, "_counted": _counted}


@lru_cache(maxsize=64)
def _compiled(source: str) -> Template:
    tree = _JINJA.parse(source)
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
    tree.set_environment(_JINJA)
    return _JINJA.from_string(tree)


def render_values(template: str | None, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Run a values template (None: the bundled one).

    Raises:
        ValuesError: it fails, or yields something else than one mapping.
        MemoryError: there is too little memory for it.
    """
    text = ""
    try:
        for part in _compiled(template or BUNDLED_TEMPLATE).generate(variables, _passes=itertools.count()):
            text += part
            if len(text) > LARGEST:
                raise OverflowError(f"it yields more than {LARGEST} characters")  # noqa: TRY301 - as all that it does
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a template can raise anything; none of it may reach another environment
        raise ValuesError(f"spec.valuesTemplate{_line(error)}: {_said(error)}") from None
    try:
        found = documents(text)
    except ValueError as error:
        raise ValuesError(f"spec.valuesTemplate: yields {_said(error)}") from None
    try:
        size = len(json.dumps(found, sort_keys=True, allow_nan=False))
    except (ValueError, TypeError) as error:
        raise ValuesError(f"spec.valuesTemplate: yields what JSON does not have: {_said(error)}") from None
    if size > LARGEST_VALUES:
        raise ValuesError(f"spec.valuesTemplate: yields values of more than {LARGEST_VALUES} characters")
    if len(found) != 1 or not isinstance(found[0], dict):
        kinds = ", ".join(type(document).__name__ for document in found) or "nothing"
        raise ValuesError(f"spec.valuesTemplate: must yield one mapping of chart values, not {kinds}")
    return found[0]


def _line(error: Exception) -> str:
    """Where in the template it happened."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
    return f", line {line}" if line else ""


def _said(error: Exception) -> str:
    text = str(error) if isinstance(error, TemplateError | ValueError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]
