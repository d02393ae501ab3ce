"""Helm, the real one, on tiny charts."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from airfield.helm import template
from airfield.helm.manifests import HelmError
from airfield.helm.template import Helm, useful
from localcluster import tool

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-config
  namespace: {{ .Release.Namespace }}
data: {{ .Values.data | toJson }}
"""
KUBE = "1.36.3"


@pytest.fixture(scope="session")
def helm_binary() -> str:
    return str(tool("helm"))


@pytest.fixture
def outcomes() -> list[str]:
    return []


@pytest.fixture
def helm(helm_binary: str, outcomes: list[str]) -> Helm:
    return Helm(helm_binary, on_render=outcomes.append)


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text("data: {}\n")
    (folder / "templates" / "config.yaml").write_text(CONFIG_MAP)
    return folder


async def render(helm: Helm, chart: Path, values: dict[str, Any] | None = None, **more: str) -> list[dict[str, Any]]:
    options = {"release": "demo", "namespace": "team-a", "kube_version": KUBE} | more
    return await helm.template(chart, values=values or {}, **options)


def add(chart: Path, text: str, name: str = "more.yaml") -> None:
    (chart / "templates" / name).write_text(text)


async def test_objects(helm: Helm, chart: Path) -> None:
    add(chart, "{{ if false }}a: b{{ end }}\n---\n# only a comment\n---\n", "empty.yaml")
    data = {"a": "1", "text": 'two\nlines: "{{ x }}"', "unicode": "ü"}
    assert await render(helm, chart, {"data": data}) == [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "demo-config", "namespace": "team-a"},
            "data": data,
        }
    ]


async def test_the_versions_that_a_chart_sees(helm: Helm, chart: Path) -> None:
    add(
        chart, CONFIG_MAP.replace("-config", "-k").replace(".Values.data", "dict `v` .Capabilities.KubeVersion.Version")
    )
    objects = await render(helm, chart)
    assert {o["metadata"]["name"]: o["data"] for o in objects}["demo-k"] == {"v": f"v{KUBE}"}
    assert (await helm.version()).startswith("v4.")


async def test_a_relative_path(helm: Helm, chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chart.parent)
    assert len(await render(helm, Path("chart"))) == 1


SCHEMA = {
    "type": "object",
    "properties": {"replicas": {"type": "integer", "minimum": 1}, "name": {"type": "string"}},
    "additionalProperties": True,
}


async def test_schema_violations_are_listed(helm: Helm, chart: Path) -> None:
    (chart / "values.schema.json").write_text(json.dumps(SCHEMA))
    with pytest.raises(HelmError) as caught:
        await render(helm, chart, {"replicas": 0, "name": 7})
    lines = str(caught.value).splitlines()
    assert "- at '/name': got number, want string" in lines
    assert any("/replicas" in line for line in lines)
    assert str(chart.parent) not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{{ fail "say which bucket" }}', "say which bucket"),
        ("{{ required `database.host is required` .Values.none }}", "database.host is required"),
        ("{{ .Values.a.b.c }}", r"(?s)tiny/templates/more.yaml:1:\d+.*nil pointer"),
        ("{{ nonsense }}", 'function "nonsense" not defined'),
        ("a: b: c", "YAML"),
        ("just text", "more.yaml|no apiVersion"),
        ("a: 1", "no apiVersion, kind or metadata.name: {'a': 1}"),
        ("apiVersion: v1\nkind: List\nitems: []", "no apiVersion, kind or metadata.name"),
        (CONFIG_MAP, "renders ConfigMap demo-config twice"),
        (
            CONFIG_MAP.replace("name:", "annotations: {helm.sh/hook: pre-install}\n  name:").replace("-config", "-job"),
            r"ConfigMap demo-job is a Helm hook \(helm.sh/hook: pre-install\), which Airfield does not run",
        ),
        ('{{ if not (lookup "v1" "Secret" "a" "b") }}{{ fail "empty lookup" }}{{ end }}', "empty lookup"),
    ],
)
async def test_bad_charts(helm: Helm, chart: Path, outcomes: list[str], text: str, message: str) -> None:
    add(chart, text)
    with pytest.raises(HelmError, match=message) as caught:
        await render(helm, chart)
    assert "airfield-helm-" not in str(caught.value)
    assert str(chart.parent) not in str(caught.value)
    assert outcomes == ["error"]


async def test_test_hooks_are_left_out(helm: Helm, chart: Path) -> None:
    add(chart, CONFIG_MAP.replace("name:", "annotations: {helm.sh/hook: test}\n  name:").replace("-config", "-t"))
    assert [o["metadata"]["name"] for o in await render(helm, chart)] == ["demo-config"]


@pytest.mark.parametrize("name", ["none", "empty"])
async def test_no_chart(helm: Helm, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HelmError, match=f"cannot read chart .*{name}: "):
        await render(helm, tmp_path / name)


async def test_no_helm(chart: Path) -> None:
    with pytest.raises(HelmError, match="cannot run /no/such/helm: No such file"):
        await render(Helm("/no/such/helm"), chart)


ENDLESS = "{{ range $i := until 100000 }}{{ range $j := until 100000 }}{{ if eq $i $j }}{{ end }}{{ end }}{{ end }}"


def children() -> set[str]:
    """Processes that this one has started and not reaped."""
    pid = os.getpid()
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


async def test_a_chart_that_does_not_end(helm_binary: str, chart: Path) -> None:
    add(chart, ENDLESS)
    helm, before = Helm(helm_binary, timeout=1), children()
    await helm.version()
    with pytest.raises(HelmError, match="helm template took longer than 1 s"):
        await render(helm, chart)
    assert children() <= before


async def test_cancelling_ends_helm(helm: Helm, chart: Path) -> None:
    add(chart, ENDLESS)
    await helm.version()
    before = children()
    task = asyncio.create_task(render(helm, chart))
    async with asyncio.timeout(20):
        while children() <= before:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() <= before


async def test_too_much_output(helm: Helm, chart: Path) -> None:
    line = "# " + "x" * 1000
    add(chart, "a: 1\n{{ range until 20000 }}\n" + line + "\n{{ end }}")
    before = children()
    with pytest.raises(HelmError, match="more than 8 MiB"):
        await render(helm, chart)
    assert children() <= before


async def test_results_are_remembered_until_something_differs(
    helm: Helm, chart: Path, outcomes: list[str], tmp_path: Path
) -> None:
    first = await render(helm, chart, {"data": {"a": "1", "b": "2"}})
    again = await render(helm, chart, {"data": {"b": "2", "a": "1"}})
    assert first == again
    assert outcomes == ["ok", "cached"]
    again[0]["data"]["a"] = "spoilt by the caller"
    assert await render(helm, chart, {"data": {"a": "1", "b": "2"}}) == first

    outcomes.clear()
    await render(helm, chart, {"data": {"a": "2", "b": "2"}})
    await render(helm, chart, {"data": {"a": "1", "b": "2"}}, release="other")
    await render(helm, chart, {"data": {"a": "1", "b": "2"}}, namespace="team-b")
    await render(helm, chart, {"data": {"a": "1", "b": "2"}}, kube_version="1.35.0")
    add(chart, "# a comment")
    await render(helm, chart, {"data": {"a": "1", "b": "2"}})
    assert outcomes == ["ok"] * 5

    moved = tmp_path / "copy"
    shutil.copytree(chart, moved)
    await render(helm, moved, {"data": {"a": "1", "b": "2"}})
    assert outcomes[-1] == "cached"


async def test_memory_of_results_is_bounded(
    helm: Helm, chart: Path, outcomes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await render(helm, chart, release="r0")
    monkeypatch.setattr(template, "MAX_CACHED", 2 * helm._cached_bytes + 20)
    for n in "12":
        await render(helm, chart, release=f"r{n}")
    outcomes.clear()
    for n in "120":
        await render(helm, chart, release=f"r{n}")
    assert outcomes == ["cached", "cached", "ok"]


async def test_of_a_release_the_last_result_is_remembered(helm: Helm, chart: Path, outcomes: list[str]) -> None:
    for n in "1221":
        await render(helm, chart, {"data": {"n": n}})
    assert outcomes == ["ok", "ok", "cached", "ok"]
    size = helm._cached_bytes
    await render(helm, chart, {"data": {"n": "2"}})
    assert abs(helm._cached_bytes - size) < 10, "what it was before is forgotten"


@pytest.mark.parametrize(("options", "bound"), [({}, 2), ({"concurrency": 1}, 1)])
async def test_concurrency_is_bounded(helm_binary: str, chart: Path, options: dict[str, int], bound: int) -> None:
    """However many cores there are: the memory is not theirs."""
    helm, before = Helm(helm_binary, **options), children()  # type: ignore[arg-type]
    await helm.version()
    rendering = [asyncio.create_task(render(helm, chart, {"data": {"n": str(n)}})) for n in range(4)]
    most = 0
    while not all(task.done() for task in rendering):
        most = max(most, len(children() - before))
        await asyncio.sleep(0.001)
    assert most == bound
    assert [(await task)[0]["data"]["n"] for task in rendering] == list("0123")


async def test_nothing_of_our_environment_reaches_helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = tmp_path / "spy"
    spy.write_text("#!/bin/sh\nenv\n")
    spy.chmod(0o755)
    for name in ("KUBECONFIG", "HELM_PLUGINS", "HTTPS_PROXY", "AIRFIELD_SECRET", "HELM_NAMESPACE", "LC_ALL"):
        monkeypatch.setenv(name, "ours")
    seen = await Helm(str(spy)).version()
    assert "ours" not in seen
    assert "KUBECONFIG=/dev/null" in seen
    assert "LC_ALL=zh_TW.UTF-8" in seen, "to unpack English messages is a sixth of a chart's time"


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        ("Error: boom\n", "boom"),
        ('level=INFO msg="x"\nWARNING: y\nError: a\n\nUse --debug flag to render out invalid YAML\n', "a"),
        ("Error: in /home/h1/data: no\n", "in /data: no"),
    ],
)
def test_what_of_stderr_is_useful(stderr: str, expected: str) -> None:
    assert useful(stderr, "/home/h1") == expected
