"""Structured logs on stderr: one JSON object a line, or plain text for a person at a terminal.

Fields bound with `bind` go into every record of the task, also into those of libraries. Values given to `redact` never
come out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_SECRETS = 10_000
MIN_SECRET = 6
"""Shorter values are not redacted: they hide nothing and would riddle the logs with holes."""

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


class _Secrets:
    """The latest values to be hidden, as one regular expression that is compiled anew when they have changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        with self._lock:
            for value in values:
                # JSON escapes some characters, so a value has two spellings.
                for spelling in {value, json.dumps(value, ensure_ascii=False)[1:-1]}:
                    if len(value) >= MIN_SECRET and spelling not in self._values:
                        self._values[spelling] = None
                        self._pattern = None
            while len(self._values) > MAX_SECRETS:
                del self._values[next(iter(self._values))]

    def hide(self, text: str) -> str:
        with self._lock:
            if self._values and self._pattern is None:
                longest_first = sorted(self._values, key=len, reverse=True)
                self._pattern = re.compile("|".join(map(re.escape, longest_first)))
            pattern = self._pattern
        return pattern.sub("***", text) if pattern else text


_secrets = _Secrets()


def redact(values: Iterable[str]) -> None:
    """Have `***` written in place of these strings from now on; of too many the oldest are let go."""
    _secrets.add(values)


def hidden(text: str) -> str:
    """`text` with `***` in place of what `redact` was given."""
    return _secrets.hide(text)


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
        return _secrets.hide(json.dumps(entry, ensure_ascii=False, default=str))


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


def _all_fields(record: logging.LogRecord) -> dict[str, Any]:
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**_fields.get(), **extra}
