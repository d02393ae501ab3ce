"""Structured logs on stderr: one JSON object a line, or plain text for a person at a terminal.

Fields bound with `bind` go into every record of the task, also into those of libraries. Values given to `redact` never
come out.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airfield.runtime.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

_fields: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default={})  # noqa: B039 - never changed in place


@contextmanager
def bind(**fields: str) -> Iterator[None]:
    """Add fields, as `environment="team-a/demo"`, to all that is logged in this block and by tasks started in it."""
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


_secrets = Redactor()


def redact(values: Iterable[str]) -> None:
    """Have `***` logged in place of these strings from now on; see `Redactor`. They belong to the bound environment."""
    _secrets.add(values, _fields.get().get("environment", ""))


def hidden(text: str) -> str:
    """`text` with `***` in place of the bound environment's secrets.

    Of those of others it must not give a hint: whoever reads the text could try out what they are.
    """
    return _secrets.hide(text, _fields.get().get("environment", ""))


class JsonFormatter(logging.Formatter):
    """One line of JSON: time, level, logger, message, bound and extra fields, the traceback as `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, without secrets."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_all_fields(record),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps({name: _harmless(value) for name, value in entry.items()}, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One readable line, fields at its end, the traceback below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without the traceback."""
        fields = " ".join(f"{name}={value}" for name, value in _all_fields(record).items())
        return super().formatMessage(record) + (f"  [{fields}]" if fields else "")

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, without secrets."""
        return _secrets.hide(super().format(record))


def configure(level: str = "INFO", *, json_lines: bool | None = None) -> None:
    """Send all logs to stderr; as JSON unless that is a terminal, when not told otherwise."""
    handler = logging.StreamHandler(sys.stderr)
    as_json = not sys.stderr.isatty() if json_lines is None else json_lines
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _harmless(value: object) -> object:
    """A field's value without secrets; the field's name and the form of the line are not a tenant's to change."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return _secrets.hide(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _all_fields(record: logging.LogRecord) -> dict[str, Any]:
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**_fields.get(), **extra}
