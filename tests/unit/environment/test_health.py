"""Health, told from workloads, pods and bundles."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.environment.ensure.health import bundle_errors
from airfield.environment.health import BundleFact, expected_components, judge_bundles, judge_workloads
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.kube.inventory import Child
from builders import by_ref, child, component, effective, environment, git_bundle

BEHIND = component("Deployment", "scheduler", message="0 of 1 replicas available")


def pod(component_name: str, problem: str, message: str = "m", name: str = "") -> Child:
    return component("Pod", component_name, name or f"pod-{component_name}-{problem}", problem=problem, message=message)


HINT = "; check the image's name and the pull secrets"


@pytest.mark.parametrize(
    ("children", "outcome"),
    [
        ([], Done()),
        ([component("Deployment", "scheduler", ready=True), child("ConfigMap", ready=False)], Done()),
        # Pods of a workload that serves, and task pods, are nobody's business here.
        ([component("Deployment", "scheduler", ready=True), pod("scheduler", "CrashLoopBackOff")], Done()),
        ([BEHIND], Wait(Reason.STARTING, "waiting for scheduler (0 of 1 replicas available)", 10)),
        (
            [BEHIND, pod("worker", "ImagePullBackOff")],
            Wait(Reason.STARTING, "waiting for scheduler (0 of 1 replicas available)", 10),
        ),
        (
            [BEHIND, component("StatefulSet", "database", message="x")],
            Wait(Reason.STARTING, "waiting for scheduler (0 of 1 replicas available), database (x)", 10),
        ),
        ([child(message="x")], Wait(Reason.STARTING, "waiting for demo-scheduler (x)", 10)),
        *(
            ([BEHIND, pod("scheduler", p)], Stall(Reason.IMAGE_PULL_FAILED, f"scheduler: {p}: m{HINT}", 15))
            for p in ("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName")
        ),
        (
            [BEHIND, pod("scheduler", "Unschedulable", "0/1 nodes")],
            Wait(Reason.UNSCHEDULABLE, "scheduler: Unschedulable: 0/1 nodes", 15),
        ),
        (
            [BEHIND, pod("scheduler", "CrashLoopBackOff", name="b"), pod("scheduler", "Failed", name="a")],
            Stall(Reason.POD_FAILING, "scheduler: CrashLoopBackOff: m; scheduler: Failed: m", 15),
        ),
        # Of several troubles the one that only a person can mend comes first.
        (
            [
                BEHIND,
                pod("scheduler", "Unschedulable"),
                pod("scheduler", "CrashLoopBackOff"),
                pod("scheduler", "ErrImagePull"),
            ],
            Stall(Reason.IMAGE_PULL_FAILED, f"scheduler: ErrImagePull: m{HINT}", 15),
        ),
        (
            [BEHIND, pod("scheduler", "Unschedulable"), pod("scheduler", "CrashLoopBackOff")],
            Wait(Reason.UNSCHEDULABLE, "scheduler: Unschedulable: m", 15),
        ),
    ],
)
def test_workloads(children: list[Child], outcome: Outcome) -> None:
    assert judge_workloads(by_ref(*children)) == outcome


def test_the_same_trouble_of_two_pods_is_told_once() -> None:
    pods = [pod("scheduler", "CrashLoopBackOff", name=name) for name in "ab"]
    found = judge_workloads(by_ref(BEHIND, *pods))
    assert isinstance(found, Stall)
    assert found.message == "scheduler: CrashLoopBackOff: m"


@pytest.mark.parametrize(("replicas", "triggerer"), [(0, False), (1, True), (2, True)])
def test_expected_components(replicas: int, triggerer: bool) -> None:
    found = expected_components(effective(environment(components={"triggerer": {"replicas": replicas}})))
    assert found == {"metadatabase", "scheduler", "dag_processor"} | ({"triggerer"} if triggerer else set())


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ago(seconds: float | None) -> list[BundleFact]:
    return [BundleFact("main", None if seconds is None else NOW - timedelta(seconds=seconds))]


@pytest.mark.parametrize(
    ("git", "facts", "errors", "reason", "words"),
    [
        ({}, ago(1), {}, None, ()),
        ({}, ago(239), {"main": "an old error"}, None, ()),
        ({}, ago(240), {}, Reason.BUNDLE_FAILED, ("is no longer fetched; check",)),
        ({}, ago(240), {"main": "fatal: gone"}, Reason.BUNDLE_FAILED, ("is no longer fetched: fatal: gone; check",)),
        ({"refreshIntervalSeconds": 5}, ago(74), {}, None, ()),
        ({"refreshIntervalSeconds": 5}, ago(75), {}, Reason.BUNDLE_FAILED, ()),
        ({"refreshIntervalSeconds": 3600}, ago(10_000), {}, None, ()),
        ({}, [], {}, Reason.STARTING, ("is being fetched for the first time",)),
        ({}, ago(None), {}, Reason.STARTING, ()),
        ({}, ago(None), {"main": "fatal: no"}, Reason.BUNDLE_FAILED, ("has never been fetched: fatal: no",)),
        ({}, [BundleFact("other", NOW)], {"other": "fatal: no"}, Reason.STARTING, ()),
    ],
)
def test_bundles(
    git: dict[str, Any], facts: list[BundleFact], errors: dict[str, str], reason: Reason | None, words: tuple[str, ...]
) -> None:
    found = judge_bundles(effective(environment(dags={"bundles": [git_bundle(**git)]})), facts, errors, NOW)
    if reason is None:
        assert found == Done()
        return
    assert isinstance(found, Wait)
    assert found.reason is reason
    for word in ("bundle 'main' (https://git.example.com/dags.git, ref 'main')", *words):
        assert word in found.message


def test_bundles_in_images_are_always_there() -> None:
    baked = effective(environment(dags={"bundles": [{"name": "baked", "image": {"path": "/dags"}}]}))
    assert judge_bundles(baked, [], {}, NOW) == Done()
    assert judge_bundles(effective(), [], {}, NOW) == Done()


LOG = """\
2026-01-01 INFO Refreshing bundle main
2026-01-01 ERROR Error refreshing bundle team-main: Cmd('git') failed
  stderr: 'fatal: repository 'https://jo:p4ss/w@rd@git.example.com/x.git/' not found'
2026-01-01 INFO bundle other is fine
"""


@pytest.mark.parametrize(
    ("log", "names", "found"),
    [
        ("", ["main"], {}),
        (LOG, ["other"], {}),
        # Not the bundle whose name is the end of another's.
        (LOG, ["main"], {}),
        (
            LOG,
            ["main", "team-main"],
            {"team-main": "stderr: 'fatal: repository 'https://***@git.example.com/x.git/' not found'"},
        ),
        ("Error initializing bundle main", ["main"], {}),
        ("Error in bundle main\nValueError: first\nfatal: last", ["main"], {"main": "fatal: last"}),
        ("Error in bundle main\nfatal: a\nError in bundle main\nfatal: b", ["main"], {"main": "fatal: b"}),
        ("Error in bundle main\n" + "x\n" * 60 + "fatal: too far away", ["main"], {}),
    ],
)
def test_errors_in_the_log(log: str, names: list[str], found: dict[str, str]) -> None:
    assert bundle_errors(log, names) == found


PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20)


@given(PASSWORDS)
def test_no_password_in_a_url_gets_out(password: str) -> None:
    log = f"Error in bundle main\nfatal: cannot read https://jo:{password}@git.example.com/x"
    (found,) = bundle_errors(log, ["main"]).values()
    assert "git.example.com" in found
    assert f":{password}@" not in found
    assert password not in found or password in "fatal: cannot read https://***@git.example.com/x"


@given(st.text(max_size=400), st.lists(st.from_regex(r"[a-z]([-a-z0-9]*[a-z0-9])?", fullmatch=True), max_size=3))
def test_any_log_can_be_read(log: str, names: list[str]) -> None:
    noisy = f"{log}\nError in bundle {' '.join(names)}\nfatal: {log}"
    for name, said in bundle_errors(noisy, names).items():
        assert name in names
        assert len(said) <= 300


def test_a_long_line_is_no_burden() -> None:
    line = "fatal: " + "://" * 20_000
    assert len(bundle_errors(f"Error in bundle main\n{line}", ["main"])["main"]) == 300
