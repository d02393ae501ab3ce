"""Known secrets in texts: every spelling is hidden, the rest stays, and a fleet's secrets cost what one costs."""

import base64
import json
import secrets
from time import process_time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.runtime.redaction import MASK, MIN_SECRET, Redactor

HOSTILE = 'pä$s/w"rd\\%+ &'
PEM = f"-----BEGIN PRIVATE KEY-----\n{'MC4CAQAwBQYDK2VwBCIEIH' * 3}\n-----END PRIVATE KEY-----\n"


def hide(text: str, *values: str) -> str:
    redactor = Redactor()
    redactor.add(values)
    return redactor.hide(text)


@pytest.mark.parametrize(
    ("values", "text", "shown"),
    [
        pytest.param(["s3cret-1"], "a s3cret-1 b", "a *** b", id="plain"),
        pytest.param(["s3cret-1"], "s3cret-1s3cret-1", "******", id="side by side"),
        pytest.param(["s3cret-1", "cret-1-more"], "x s3cret-1-more y", "x *** y", id="overlapping"),
        pytest.param(["s3cret-1", "a s3cret-1 b"], "a s3cret-1 b.", "***.", id="one within the other"),
        pytest.param(["abcdef1", "abcdef2"], "abcdef2 abcdef3", "*** abcdef3", id="alike at the beginning"),
        pytest.param(["short"], "short", "short", id="too short"),
        pytest.param([HOSTILE], json.dumps({"a": HOSTILE}, ensure_ascii=False), '{"a": "***"}', id="JSON"),
        pytest.param([HOSTILE], f"postgresql://u:{quote(HOSTILE, safe='')}@db", "postgresql://u:***@db", id="URL"),
        pytest.param([HOSTILE], base64.b64encode(HOSTILE.encode()).decode().rstrip("="), MASK, id="base64"),
        pytest.param([PEM], PEM.splitlines()[1], MASK, id="a line of it"),
        pytest.param([PEM], f"<{PEM}>", "<***>", id="many lines"),
        pytest.param([PEM], "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----", id="what all have"),
        pytest.param([], "nothing is known", "nothing is known", id="nothing"),
    ],
)
def test_table(values: list[str], text: str, shown: str) -> None:
    assert hide(text, *values) == shown


@given(st.lists(st.text(min_size=MIN_SECRET, max_size=30), min_size=1, max_size=8), st.text(), st.text())
def test_whatever_stands_around_it(values: list[str], before: str, after: str) -> None:
    shown = hide(before + after.join(values) + after, *values)
    rest = "".join(shown.split(MASK))
    assert not [value for value in values if value in rest and value not in before + after]


def test_what_is_hidden_from_an_owner_is_what_is_theirs() -> None:
    """Else a text that a tenant reads would tell whether a guess at somebody else's secret is right."""
    redactor = Redactor()
    redactor.add(["secret-of-a", "secret-of-both"], "a")
    redactor.add(["secret-of-b", "secret-of-both"], "b")
    text = "secret-of-a secret-of-b secret-of-both"
    assert redactor.hide(text, "a") == "*** secret-of-b ***"
    assert redactor.hide(text, "b") == "secret-of-a *** ***"
    assert redactor.hide(text, "c") == text
    assert redactor.hide(text) == "*** *** ***"


def test_of_too_many_the_ones_not_seen_for_longest_are_let_go() -> None:
    redactor = Redactor(most=2)
    redactor.add(["first-secret", "second-secret"])
    redactor.add(["first-secret", "third-secret"])
    assert redactor.hide("first-secret second-secret third-secret") == "*** second-secret ***"
    for number in range(100):
        redactor.add([f"passing-{number}"])
    assert len(redactor._anchors) <= 2 * 4, "nothing is left of what was let go"
    assert redactor.hide("first-secret") == "first-secret"


def test_a_fleet_costs_what_one_environment_costs() -> None:
    """The URIs of all environments begin alike, and so do all PEM files: a search that tries them all would crawl."""
    line = "2026-11-21 applied Deployment/demo-scheduler in team-a: " + "x" * 400
    few, many = Redactor(), Redactor()
    for redactor, environments in ((few, 1), (many, 1000)):
        for number in range(environments):
            password = secrets.token_urlsafe(32)
            uri = f"postgresql://environment_{number}:{password}@postgres.databases.svc:5432/environment_{number}"
            redactor.add([password, uri, secrets.token_urlsafe(43), secrets.token_hex(32), f"{PEM}{number}"])

    def cost(redactor: Redactor) -> float:
        """CPU seconds of 50 lines, the best of 5 tries."""

        def once() -> float:
            start = process_time()
            for _ in range(50):
                redactor.hide(line)
            return process_time() - start

        return min(once() for _ in range(5))

    assert cost(many) < 3 * cost(few)
    assert max(map(len, many._anchors.values())) < 50
