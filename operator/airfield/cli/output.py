"""How results are written: columns as kubectl has them, YAML that every parser reads alike, colour on terminals."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
import yaml

Cell = str | tuple[str, str]
"""A text, or a text and its colour."""

_GAP: Final = "   "
_SAFE: Final = re.compile(r"[A-Za-z/][-A-Za-z0-9_./:@+ ]+")


class Failure(click.ClickException):
    """Something that a person has to know or do; exit code 1, no traceback."""

    def format_message(self) -> str:
        """The text, without anything that a terminal would obey."""
        return "\n".join(map(printable, self.message.splitlines()))


def printable(text: str) -> str:
    """`text` on one line, with whatever a terminal would obey escaped."""
    return "".join(c if c == " " or c.isprintable() else ascii(c)[1:-1] for c in text)


def tinted(text: str, colour: str) -> str:
    """`text` in a colour; click takes it away again where the output is not a terminal."""
    if not colour or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, fg=colour)


class Table:
    """Aligned columns. Later rows are aligned with earlier ones, so that a table can grow while it is watched."""

    def __init__(self, *headers: str) -> None:
        self._headers = headers
        self._widths = [len(header) for header in headers]
        self._begun = False

    def lines(self, rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
        """The rows as lines, below the headers if they are the first."""
        cells = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
        cells = [[(printable(text), colour) for text, colour in row] for row in cells]
        self._widths = [max(width, *(len(row[i][0]) for row in cells), 0) for i, width in enumerate(self._widths)]
        if not self._begun:
            self._begun = True
            yield self._line([(header, "") for header in self._headers])
        yield from map(self._line, cells)

    def _line(self, row: Sequence[tuple[str, str]]) -> str:
        parts = []
        for (text, colour), width in zip(row, self._widths, strict=True):
            padding = " " * (width - len(text))
            parts.append(tinted(text, colour) + padding)
        return _GAP.join(parts).rstrip()


def age(since: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was, as kubectl says it: `45s`, `3m10s`, `5h`, `12d`."""
    try:
        then = datetime.fromisoformat(since or "")
    except ValueError:
        return "<unknown>"
    seconds = max(0, int((now - then.replace(tzinfo=then.tzinfo or UTC)).total_seconds()))
    for below, large, small in (
        (120, "s", ""),
        (600, "m", "s"),
        (10800, "m", ""),
        (28800, "h", "m"),
        (172800, "h", ""),
    ):
        if seconds < below:
            return _spoken(seconds, large, small)
    return _spoken(seconds, "d", "h" if seconds < 8 * 86400 else "")


_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _spoken(seconds: int, large: str, small: str) -> str:
    whole, rest = divmod(seconds, _SECONDS[large])
    part = rest // _SECONDS[small] if small else 0
    return f"{whole}{large}" + (f"{part}{small}" if part else "")


class _Dumper(yaml.SafeDumper):
    """Quotes whatever some YAML parser takes for something else than a string: `y`, `1e3`, `0o17`, `2026-11-21`."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - an object that occurs twice is written twice
        return True

    def string(self, text: str) -> yaml.ScalarNode:
        plain = _SAFE.fullmatch(text) is not None
        # A block cannot escape anything, and takes more characters than \n for the end of a line.
        block = "\n" in text and all(c in "\n\t" or c.isprintable() for c in text)
        style = None if plain else "|" if block else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.string)


def to_yaml(objects: Iterable[Any]) -> str:
    """A stream of YAML documents."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 10**9, "explicit_start": True}
    text: str = yaml.dump_all(objects, Dumper=_Dumper, **options)
    return text


def tidy(body: dict[str, Any]) -> dict[str, Any]:
    """A resource without the bookkeeping of server-side apply."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return {**body, "metadata": metadata}


def to_json(document: Any) -> str:
    """JSON for people and machines."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_list(objects: Sequence[Any]) -> dict[str, Any]:
    """Objects as the list that `kubectl get -o json` gives."""
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}
