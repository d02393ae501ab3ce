"""Templates of classes in their process: none stops the operator, none keeps another from its values for long."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import airfield
from airfield.environment.template import renderer as module
from airfield.environment.template import worker
from airfield.environment.template.renderer import TemplateRenderer
from airfield.environment.template.sandbox import BUNDLED_TEMPLATE, ValuesError, render_values
from airfield.environment.values import context
from builders import effective

SOURCES = str(Path(airfield.__file__).parents[1])
LONG = 60.0
"""Seconds that no test takes."""

HANGING = "{{ 9 ** (9 ** 9) }}"
SLOW = "{% for i in range(99999) %}{{ range(99999) | sum }}{% endfor %}"
TOO_LONG = {
    "power": HANGING,
    "sums": SLOW,
    "words": "{{ lipsum(n=10 ** 9) }}",
    "sort": "{% for i in range(99999) %}{% set x = range(99999) | sort %}{% endfor %}",
}
TOO_LARGE = {
    "times": "{{ 'x' * 10 ** 10 }}",
    "method": "a: {{ 'x'.ljust(10 ** 10) | length }}",
    "list": "a: {{ [0] * 10 ** 9 }}",
    "digits": "a: {{ '%09999999999d' % 1 }}",
    "aliases": "a: &a {{ 'x' * 100000 }}\nb: [" + "*a, " * 30000 + "]",
    "growth": "{% set n = namespace(x='x') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
}


@pytest.fixture
async def renderer() -> AsyncIterator[TemplateRenderer]:
    """Allows more time than usual: the machine that the tests run on may be busy."""
    async with TemplateRenderer(seconds=LONG) as found:
        yield found


@pytest.fixture
async def hasty() -> AsyncIterator[TemplateRenderer]:
    """Allows less time, so that the tests take less."""
    async with TemplateRenderer(seconds=1) as found:
        yield found


async def failure(renderer: TemplateRenderer, template: str, **variables: Any) -> str:
    with pytest.raises(ValuesError) as caught:
        await renderer.render(template, variables)
    return str(caught.value)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LONG):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def of(renderer: TemplateRenderer) -> int:
    assert renderer.pid is not None
    return renderer.pid


@pytest.mark.parametrize("template", TOO_LONG.values(), ids=TOO_LONG)
async def test_a_template_that_takes_too_long(hasty: TemplateRenderer, template: str) -> None:
    async with asyncio.timeout(LONG / 4):
        said = await failure(hasty, template)
    assert said == "spec.valuesTemplate: takes longer than 1 s; make its loops and numbers smaller"
    assert await hasty.render("a: 1", {}) == {"a": 1}


@pytest.mark.parametrize("template", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_template_that_needs_too_much_memory(renderer: TemplateRenderer, template: str) -> None:
    assert await failure(renderer, template) == (
        "spec.valuesTemplate: needs more than 128 MiB of memory; make its loops and texts smaller"
    )
    assert await renderer.render("a: 1", {}) == {"a": 1}


async def test_what_the_sandbox_lets_through_has_memory_enough(renderer: TemplateRenderer) -> None:
    values = await renderer.render("a: [{% for i in range(1200) %}" + "[]," * 100 + "{% endfor %}]", {})
    assert len(values["a"]) == 120_000


async def test_the_event_loop_goes_on(hasty: TemplateRenderer) -> None:
    rendering = asyncio.create_task(hasty.render(HANGING, {}))
    turns = 0
    while not rendering.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert isinstance(rendering.exception(), ValuesError)
    assert turns > 10


async def test_environments_of_a_class_that_hangs_cost_its_time_once(
    hasty: TemplateRenderer, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [failure(hasty, HANGING, number=number) for number in range(300)]
    good = [hasty.render(f"a: {{{{ number }}}}\nb: {n % 3}", {"number": n}) for n in range(30)]
    async with asyncio.timeout(LONG):
        said, values = await asyncio.gather(asyncio.gather(*bad), asyncio.gather(*good))
    assert len(set(said)) == 1
    assert values == [{"a": n, "b": n % 3} for n in range(30)]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "takes longer than 1 s" in record.getMessage()


async def test_a_slow_class_lets_others_in_between(renderer: TemplateRenderer) -> None:
    slow = "{% for i in range(100) %}# {{ range(99999) | sum }}\n{% endfor %}a: 1"
    queue = [asyncio.create_task(renderer.render(slow, {})) for _ in range(8)]
    await until(lambda: renderer.pid)
    assert await renderer.render("a: 2", {}) == {"a": 2}
    assert sum(task.done() for task in queue) <= 2
    await asyncio.gather(*queue)


async def test_a_template_that_took_too_much_is_tried_again_later() -> None:
    async with TemplateRenderer(refused_seconds=0) as renderer:
        for _ in range(2):
            assert "128 MiB" in await failure(renderer, TOO_LARGE["times"])
    async with TemplateRenderer() as renderer:
        said = await failure(renderer, TOO_LARGE["times"])
        assert await failure(renderer, TOO_LARGE["times"]) == said
        assert renderer.pid is None, "it was not even tried"


async def test_the_bundled_template_needs_no_process(renderer: TemplateRenderer) -> None:
    variables = context(effective(), {}, operator_namespace="o")
    assert await renderer.render(None, variables) == render_values(None, variables)
    assert renderer.pid is None


async def test_it_is_the_same_in_the_process(renderer: TemplateRenderer) -> None:
    found = effective()
    variables = context(
        found, {"demo-api": 'ünïcödé 🛫 \u2028\u2029\x85\x00\ufeff\n\r"\'\\ {"values": {}}'}, operator_namespace="o"
    )
    assert await renderer.render(BUNDLED_TEMPLATE, variables) == render_values(None, variables)
    template = "ключ 🛫: {{ digests | tojson }}\nline: {{ '\n{\"values\": {}}\n' }}\nnumber: 0.1\n"
    assert await renderer.render(template, variables) == {
        "ключ 🛫": variables["digests"],
        "line": '\n{"values": {}}\n',
        "number": 0.1,
    }
    for wrong in ("a: 1\nb: {{ nobody.name }}", "- a", "{{ '\\ud800' }}", "a: ["):
        with pytest.raises(ValuesError) as caught:
            render_values(wrong, variables)
        assert await failure(renderer, wrong, **variables) == str(caught.value)


async def test_many_at_a_time_get_each_their_own(renderer: TemplateRenderer) -> None:
    templates = ["a: {{ n }}", "b: {{ n }}"]
    found = await asyncio.gather(*(renderer.render(templates[n % 2], {"n": n}) for n in range(50)))
    assert found == [{"ab"[n % 2]: n} for n in range(50)]


async def test_one_process_is_kept(renderer: TemplateRenderer) -> None:
    await renderer.render("a: 1", {})
    first = renderer.pid
    assert "'nobody' is undefined" in await failure(renderer, "{{ nobody }}")
    await renderer.render("a: 2", {})
    assert renderer.pid == first


async def test_killed_while_idle(renderer: TemplateRenderer) -> None:
    await renderer.render("a: 1", {})
    os.kill(of(renderer), signal.SIGKILL)
    assert await renderer.render("a: 2", {}) == {"a": 2}


async def test_killed_while_rendering(renderer: TemplateRenderer) -> None:
    await renderer.render("a: 1", {})
    os.kill(of(renderer), signal.SIGSTOP)
    rendering = asyncio.create_task(renderer.render("a: 2", {}))
    for _ in range(5):
        await asyncio.sleep(0)  # until the request is in the pipe
    os.kill(of(renderer), signal.SIGKILL)
    assert await rendering == {"a": 2}


class Doomed(TemplateRenderer):
    """Its processes do not live to answer."""

    async def _exchange(self, process: asyncio.subprocess.Process, request: bytes) -> dict[str, Any]:
        os.kill(process.pid, signal.SIGKILL)
        return await super()._exchange(process, request)


async def test_a_template_that_ends_every_process() -> None:
    async with Doomed() as renderer:
        said = await failure(renderer, "a: 1")
        assert said == "spec.valuesTemplate: ends the process that renders it (SIGKILL); make it simpler"


@pytest.mark.parametrize(("python", "error"), [("/bin/false", RuntimeError), ("/bin/none", OSError)])
async def test_a_process_that_does_not_start(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch, python: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(error):
        await renderer.render("a: 1", {})
    monkeypatch.undo()
    assert await renderer.render("a: 1", {}) == {"a": 1}


async def test_a_process_that_is_stopped_is_no_template_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TemplateRenderer(seconds=1) as renderer:
        await renderer.render("a: 1", {})
        os.kill(of(renderer), signal.SIGSTOP)
        monkeypatch.setattr(module, "SILENT_SECONDS", 0)
        with pytest.raises(TimeoutError):
            await renderer.render("a: 1", {})
        monkeypatch.undo()
        assert await renderer.render("a: 1", {}) == {"a": 1}


async def test_nobody_gets_the_answer_to_what_was_cancelled(renderer: TemplateRenderer) -> None:
    await renderer.render("a: 0", {})
    first = of(renderer)
    rendering = asyncio.create_task(
        renderer.render("{% for i in range(50) %}# {{ range(99999) | sum }}\n{% endfor %}a: 1", {})
    )
    for _ in range(5):
        await asyncio.sleep(0)
    rendering.cancel()
    assert await renderer.render("a: 2", {}) == {"a": 2}
    assert_reaped(first)


async def test_nothing_is_left() -> None:
    async with TemplateRenderer() as renderer:
        await renderer.render("a: 1", {})
        idle = of(renderer)
    assert_reaped(idle)
    async with TemplateRenderer() as renderer:
        rendering = asyncio.create_task(renderer.render(SLOW, {}))
        await until(lambda: renderer.pid)
        busy = of(renderer)
        rendering.cancel()
    assert_reaped(busy)
    with pytest.raises(asyncio.CancelledError):
        await rendering


def assert_reaped(pid: int) -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


async def test_it_has_nothing_of_ours(renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFIELD_SECRET", "hush")
    await renderer.render("a: {{ b }}", {"b": "hush"})
    process = Path(f"/proc/{of(renderer)}")
    assert (process / "environ").read_bytes() == f"PYTHONPATH={SOURCES}\0".encode()
    assert b"hush" not in (process / "cmdline").read_bytes()
    assert len(list((process / "fd").iterdir())) == 4, "stdin, stdout, stderr, and the answers"


def test_it_loads_what_it_needs() -> None:
    command = [sys.executable, "-c", f"import sys, {worker.__name__}; print(*sys.modules)"]
    loaded = subprocess.run(command, env={"PYTHONPATH": SOURCES}, capture_output=True, text=True, check=True).stdout
    assert not {"pydantic", "aiohttp", "kopf", "airfield.api"} & set(loaded.split())


def request(template: str) -> bytes:
    return json.dumps({"template": template, "variables": {}}).encode() + b"\n"


def run_worker(*arguments: str, text: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *arguments, "1", str(2**27)]
    return subprocess.run(
        command, input=text, capture_output=True, env={"PYTHONPATH": SOURCES}, timeout=LONG, check=False
    )


def test_the_process_ends_by_itself_though_nobody_ends_it() -> None:
    assert run_worker("-m", worker.__name__, text=request("a: 1")).returncode == 0
    assert run_worker("-m", worker.__name__, text=request(HANGING)).returncode == -signal.SIGALRM
    assert run_worker("-m", worker.__name__, text=request(TOO_LARGE["times"])).returncode == worker.OUT_OF_MEMORY


def test_what_is_printed_is_no_answer() -> None:
    noisy = (
        f"import os, {worker.__name__} as worker\n"
        "def render(*_):\n"
        "    print('printed', flush=True)\n"
        "    os.write(1, b'written')\n"
        "    return {}\n"
        "worker.render_values = render\n"
        "worker.main()\n"
    )
    done = run_worker("-c", noisy, text=request("a: 1"))
    assert done.stdout == b'\n{"values": {}}\n'
    assert b"printed" in done.stderr
    assert b"written" in done.stderr
