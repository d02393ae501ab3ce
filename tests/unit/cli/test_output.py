from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airfield.cli.output import Failure, Table, age, printable, tinted, to_yaml
from airfield.helm.manifests import documents

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (3000, "50m"),
        (4 * 3600 + 60, "4h1m"),
        (5 * 3600, "5h"),
        (40 * 3600, "40h"),
        (50 * 3600, "2d2h"),
        (30 * 86400, "30d"),
    ],
)
def test_ages_as_kubectl_says_them(seconds: int, text: str) -> None:
    assert age((NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"), NOW) == text


def test_an_age_that_is_not_known() -> None:
    assert age(None, NOW) == age("yesterday", NOW) == "<unknown>"


def test_columns_are_aligned_and_stay_so() -> None:
    table = Table("A", "LONG", "B")
    assert [*table.lines([("aaaa", "1", ""), ("b", "2", "c")])] == ["A      LONG   B", "aaaa   1", "b      2      c"]
    assert [*table.lines([("b", "2", "c")])] == ["b      2      c"]


def test_nothing_reaches_a_terminal_that_it_would_obey() -> None:
    lines = [*Table("A").lines([("\x1b[31mred\nnext",)])]
    assert lines == ["A", r"\x1b[31mred\nnext"]
    assert Failure("one\x1b[2J\ntwo").format_message() == "one\\x1b[2J\ntwo"


@given(st.text())
def test_printable_is_printable(text: str) -> None:
    assert printable(text).isprintable()


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert tinted("x", "red") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert tinted("x", "red") == "x"


SCALARS = st.text() | st.integers() | st.booleans() | st.none()


@given(st.recursive(SCALARS, lambda x: st.dictionaries(st.text(), x, max_size=3), max_leaves=9))
@settings(max_examples=200)
def test_yaml_is_read_as_it_was_meant(value: object) -> None:
    assert documents(to_yaml([{"value": value}])) == [{"value": value}]
