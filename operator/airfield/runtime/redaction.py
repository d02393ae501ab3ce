"""Hides known secrets in texts, at a cost that does not grow with their number.

Of each spelling of a secret a short window is chosen as its anchor, together with a hash of the whole. A text is gone
through once: only where an anchor stands is the whole compared. So thousands of secrets cost what one costs, and none
is kept in memory.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_SECRETS: Final = 20_000
"""Values that are known at a time; of more the ones that were not seen for longest are let go."""
MIN_SECRET: Final = 6
"""Characters. Shorter values are not hidden: that would hide nothing and riddle the logs with holes."""
MASK: Final = "***"
_CROWD: Final = 4
"""Spellings that may share an anchor before another one is looked for."""


class _Spelling(NamedTuple):
    """One way to write a secret: `length` characters of this hash, around an anchor that starts at `offset`."""

    offset: int
    length: int
    digest: int
    value: int
    """The hash of the secret itself."""


class _Value(NamedTuple):
    """What is known of a secret: whose it is, and where its spellings are kept."""

    owners: set[str]
    spellings: list[tuple[str, _Spelling]]


class Redactor:
    """The latest values to be hidden. May be used by several threads at once."""

    def __init__(self, most: int = MAX_SECRETS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[int, _Value] = OrderedDict()  # by hash
        self._anchors: dict[str, list[_Spelling]] = {}

    def add(self, values: Iterable[str], owner: str = "") -> None:
        """Hide these from now on: as they are, as JSON and URLs spell them, in base64, and each line by itself."""
        with self._lock:
            for value in values:
                digest = hash(value)
                if digest in self._values:
                    self._values[digest].owners.add(owner)
                    self._values.move_to_end(digest)
                    continue
                spellings = [self._anchor(spelling, digest) for spelling in set(_spellings(value))]
                self._values[digest] = _Value({owner}, spellings)
                if len(self._values) > self._most:
                    self._forget(self._values.popitem(last=False)[1])

    def hide(self, text: str, owner: str | None = None) -> str:
        """`text` with the mask in place of all that is to be hidden; with an owner, of what is theirs."""
        with self._lock:
            found = list(self._find(text, owner))
        if not found:
            return text
        parts, end = [], 0
        for start, stop in sorted(found):
            if start >= end:  # else it overlaps with the one before
                parts += [text[end:start], MASK]
            end = max(end, stop)
        return "".join([*parts, text[end:]])

    def _find(self, text: str, owner: str | None) -> Iterator[tuple[int, int]]:
        anchors = self._anchors
        if not anchors:
            return
        places = [at for at in range(len(text) - MIN_SECRET + 1) if text[at : at + MIN_SECRET] in anchors]
        for at in places:
            for offset, length, digest, value in anchors[text[at : at + MIN_SECRET]]:
                start = at - offset
                if start < 0 or hash(text[start : start + length]) != digest:
                    continue
                if owner is None or owner in self._values[value].owners:
                    yield start, start + length

    def _anchor(self, text: str, value: int) -> tuple[str, _Spelling]:
        """Take in a spelling, at the last of its windows that is not in demand: many secrets begin alike."""
        windows = [(text[at : at + MIN_SECRET], at) for at in range(len(text) - MIN_SECRET, -1, -1)]
        free = (place for place in windows if len(self._anchors.get(place[0], ())) < _CROWD)
        window, offset = next(free, None) or min(windows, key=lambda place: len(self._anchors[place[0]]))
        spelling = _Spelling(offset, len(text), hash(text), value)
        self._anchors.setdefault(window, []).append(spelling)
        return window, spelling

    def _forget(self, value: _Value) -> None:
        for window, spelling in value.spellings:
            self._anchors[window].remove(spelling)
            if not self._anchors[window]:
                del self._anchors[window]


def _spellings(value: str) -> Iterator[str]:
    """Every form in which a value may come to stand in a log, without those that are too short to be hidden."""
    lines = (line for line in value.splitlines() if not line.startswith("-----"))
    for piece in (value, *lines):
        if len(piece) >= MIN_SECRET:
            yield piece
            yield json.dumps(piece, ensure_ascii=False)[1:-1]
            yield quote(piece, safe="")
            yield base64.b64encode(piece.encode()).decode().rstrip("=")
