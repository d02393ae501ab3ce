from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from airfield.runtime import logs
from airfield.runtime.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Stderr = Callable[[], str]

log = logging.getLogger("airfield.test")


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stderr]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()  # pytest's own must not be closed by `force`
    monkeypatch.setattr(logs, "_secrets", Redactor())
    yield lambda: capsys.readouterr().err
    root.handlers[:] = before
    root.setLevel(level)


def entries(stderr: Stderr) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr().splitlines()]


def test_a_record_is_one_line_of_json_with_bound_and_extra_fields(stderr: Stderr) -> None:
    logs.configure()
    with logs.bind(environment="team-a/demo"), logs.bind(reconcile="17"):
        log.info("applied %d\nobjects", 3, extra={"seconds": 0.5})
    log.warning("done")
    first, second = entries(stderr)
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "logger": "airfield.test",
        "message": "applied 3\nobjects",
        "environment": "team-a/demo",
        "reconcile": "17",
        "seconds": 0.5,
    }
    assert "environment" not in second


def test_an_error_carries_its_traceback(stderr: Stderr) -> None:
    logs.configure()
    try:
        int("bad")
    except ValueError:
        log.exception("failed")
    (entry,) = entries(stderr)
    assert entry["message"] == "failed"
    assert entry["error"].endswith("ValueError: invalid literal for int() with base 10: 'bad'")


async def test_fields_belong_to_a_task(stderr: Stderr) -> None:
    logs.configure()

    async def work(name: str) -> None:
        with logs.bind(environment=name):
            await asyncio.sleep(0)
            log.info(name)

    await asyncio.gather(work("a"), work("b"))
    assert [(e["message"], e["environment"]) for e in entries(stderr)] == [("a", "a"), ("b", "b")]


@pytest.mark.parametrize("json_lines", [True, False])
@pytest.mark.parametrize(
    "secret", ["correct-horse", 'quo"te\\back', "two\nlines", "(regex.*)", "umläut-ß"], ids=lambda s: s[:6]
)
def test_secrets_come_out_nowhere(stderr: Stderr, secret: str, *, json_lines: bool) -> None:
    logs.configure(json_lines=json_lines)
    logs.redact([secret])
    with logs.bind(url=f"postgresql://u:{secret}@db"):
        try:
            int(secret)
        except ValueError:
            log.exception("password %s of %r", secret, {"x": secret}, extra={"more": secret})
    out = stderr()
    assert "***" in out
    assert secret not in out
    assert json.dumps(secret, ensure_ascii=False)[1:-1] not in out


def test_a_secret_cannot_take_the_form_of_a_line_apart(stderr: Stderr) -> None:
    logs.configure()
    logs.redact(["message", "logger", '", "', "airfield.test"])
    log.info("a message", extra={"more": {"message": ["x"]}, "none": None})
    (entry,) = entries(stderr)
    assert (entry["message"], entry["logger"], entry["level"]) == ("a ***", "***", "info")
    assert (entry["more"], entry["none"]) == ('{"***": ["x"]}', None)


def test_a_status_hides_the_secrets_of_its_own_environment(stderr: Stderr) -> None:
    with logs.bind(environment="a/demo"):
        logs.redact(["secret-of-a"])
        assert logs.hidden("secret-of-a") == "***"
    with logs.bind(environment="b/demo"):
        assert logs.hidden("secret-of-a") == "secret-of-a"
    logs.configure()
    log.info("secret-of-a")
    assert entries(stderr)[0]["message"] == "***"


def test_text_for_people(stderr: Stderr) -> None:
    logs.configure("DEBUG", json_lines=False)
    with logs.bind(tenant="data"):
        log.debug("hello")
    assert stderr().endswith("DEBUG   hello  [tenant=data]\n")
