"""Health, told from workloads, pods and bundles."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.airflow import monitor
from airfield.airflow.monitor import ComponentHealth, Health
from airfield.api.conditions import Condition
from airfield.api.environment import AirflowEnvironmentStatus
from airfield.environment.ensure import health as module
from airfield.environment.ensure.health import NO_REASON, bundle_errors, ensure_healthy
from airfield.environment.health import (
    BundleFact,
    expected_components,
    judge_bundles,
    judge_workloads,
    may_be_well,
    stale_clone,
)
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.kube.inventory import Child
from builders import by_ref, child, component, effective, environment, git_bundle

BEHIND = component("Deployment", "scheduler", message="0 of 1 replicas available")


def pod(component_name: str, problem: str, message: str = "m", name: str = "") -> Child:
    return component("Pod", component_name, name or f"pod-{component_name}-{problem}", problem=problem, message=message)


SILENT = Health.unreachable("the api-server does not answer within 5 s", silent=True)


@pytest.mark.parametrize(
    ("found", "minutes", "seconds"),
    [
        (Health.unreachable("the api-server cannot be reached"), 9, 1),
        (SILENT, 4, 1),
        (SILENT, 6, 30),
        (Health({"metadatabase": ComponentHealth("unhealthy")}), 9, 3),
    ],
    ids=["refused", "silent", "silent for long", "unhealthy"],
)
async def test_who_does_not_answer_is_asked_rarely(
    found: Health, minutes: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker waits for it meanwhile, and there are many environments."""

    async def health(*_: object) -> Health:
        return found

    async def administrator(_: object) -> None:
        pass

    monkeypatch.setattr(monitor, "health", health)
    monkeypatch.setattr(module, "_administrator", administrator)
    settings = SimpleNamespace(airflow_url="http://{name}.{namespace}")
    run: Any = SimpleNamespace(children={}, effective=effective(), doors=SimpleNamespace(http=None, settings=settings))
    run.unready_for = lambda: timedelta(minutes=minutes)
    outcome = await ensure_healthy(run)
    assert isinstance(outcome, Wait)
    assert outcome.after == seconds


UNREACHABLE = Wait(Reason.UNREACHABLE, "no answer", 1)


def told(ready: Literal["True", "False"] = "True", generation: int = 2) -> AirflowEnvironmentStatus:
    """What was said of an environment when the objects of digest `a` were applied."""
    common = {"type": "Ready", "reason": "x", "message": "", "last_transition_time": "2026-01-01T00:00:00Z"}
    ready_condition = Condition(status=ready, observed_generation=generation, **common)
    return AirflowEnvironmentStatus(conditions=[ready_condition], applied="a")


@pytest.mark.parametrize(
    ("outcome", "previous", "applied", "well"),
    [
        (UNREACHABLE, told(), "a", True),
        (Wait(Reason.DATABASE_UNREACHABLE, "no answer", 5), told(), "a", True),
        (UNREACHABLE, told("False"), "a", False),
        (UNREACHABLE, AirflowEnvironmentStatus(), "a", False),
        (UNREACHABLE, told(generation=1), "a", False),
        (UNREACHABLE, told(), "of something else", False),
        (UNREACHABLE, told(), None, False),
        (Wait(Reason.UNHEALTHY, "no heartbeat", 3), told(), "a", False),
        (Stall(Reason.DATABASE_REFUSED, "wrong password"), told(), "a", False),
        (Done(), told(), "a", False),
        (None, told(), "a", False),
    ],
)
def test_who_was_ready_may_be_well_though_it_does_not_answer(
    outcome: Outcome | None, previous: AirflowEnvironmentStatus, applied: str | None, well: bool
) -> None:
    assert may_be_well(outcome, previous, generation=2, applied=applied) == well


HINT = "; check image.reference, or without it catalog.versions[].image of the class, and image.pullSecrets"


@pytest.mark.parametrize(
    ("children", "outcome"),
    [
        ([], Done()),
        ([component("Deployment", "scheduler", ready=True), child("ConfigMap", ready=False)], Done()),
        # Pods of a workload that serves, and task pods, are nobody's business here.
        ([component("Deployment", "scheduler", ready=True), pod("scheduler", "CrashLoopBackOff")], Done()),
        ([BEHIND], Wait(Reason.STARTING, "waiting for scheduler (0 of 1 replicas available)", 30)),
        (
            [BEHIND, pod("worker", "ImagePullBackOff")],
            Wait(Reason.STARTING, "waiting for scheduler (0 of 1 replicas available)", 30),
        ),
        (
            [BEHIND, component("StatefulSet", "database", message="x")],
            Wait(Reason.STARTING, "waiting for scheduler (0 of 1 replicas available), database (x)", 30),
        ),
        # Rolled out once and behind now: that is not a start.
        (
            [component("Deployment", "scheduler", message="0 of 1", served=True), component("Deployment", "triggerer")],
            Wait(Reason.UNHEALTHY, "has served and does not now: scheduler (0 of 1)", 30),
        ),
        ([child(message="x")], Wait(Reason.STARTING, "waiting for demo-scheduler (x)", 30)),
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
    for word in ("dags.bundles[main].git (https://git.example.com/dags.git, ref 'main')", *words):
        assert word in found.message


def test_bundles_in_images_are_always_there() -> None:
    baked = effective(environment(dags={"bundles": [{"name": "baked", "image": {"path": "/dags"}}]}))
    assert judge_bundles(baked, [], {}, NOW) == Done()
    assert judge_bundles(effective(), [], {}, NOW) == Done()


STAMP = "2026-11-21T08:00:00.123456Z [error    ]"
REFRESHING = f"{STAMP} Error refreshing bundle"
LOG = f"""\
2026-11-21T08:00:00.000000Z [info     ] Refreshing bundle main
{REFRESHING} team-main: Cmd('git') failed [airflow.dag_processing.manager]
Traceback (most recent call last):
git.exc.GitCommandError: Cmd('git') failed due to: exit code(128)
  cmdline: git fetch -v -- origin
  stderr: 'fatal: repository 'https://jo:p4ss/w@rd@git.example.com/x.git/' not found'
2026-11-21T08:00:01.000000Z [info     ] bundle other is fine, fatal: is only a word here
"""


SSH = f"""\
{REFRESHING} team-main: Cmd('git') failed [airflow.dag_processing.manager]
  stderr: 'Cloning into bare repository '/bundles/team-main/bare'...
@@@@@@@@@@@@@@@@@@@@
Host key verification failed.\r
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.'
"""


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("", {}),
        ("fatal: of nobody", {}),
        (SSH, {"team-main": "Host key verification failed."}),
        (f"{REFRESHING} a\n  stderr: 'x\n\nfatal: {NO_REASON}.'", {"a": "x"}),
        (f"{REFRESHING} a\n  cmdline: git\n  stderr: 'fatal: {NO_REASON}.'", {"a": f"fatal: {NO_REASON}."}),
        (f"{REFRESHING} a\n  stderr: 'Cloning into 'b'...\nfatal: {NO_REASON}.'", {"a": f"fatal: {NO_REASON}."}),
        (
            f"{REFRESHING} a\n  stderr: 'remote: =====\nremote: ERROR: not yours\nremote:\nfatal: {NO_REASON}.\n\n'",
            {"a": "ERROR: not yours"},
        ),
        (LOG, {"team-main": "fatal: repository 'https://***@git.example.com/x.git/' not found"}),
        (f"{STAMP} Error initializing bundle main", {}),
        (f"{REFRESHING} a\nValueError: first\nfatal: last", {"a": "fatal: last"}),
        (f"{REFRESHING} a\nx.y.ValueError: only", {"a": "x.y.ValueError: only"}),
        (f"{REFRESHING} a\nfatal: 1\n{REFRESHING} a\nfatal: 2", {"a": "fatal: 2"}),
        (f"{REFRESHING} a\nfatal: 1\n{REFRESHING} b\nerror: 2", {"a": "fatal: 1", "b": "error: 2"}),
        (f"{REFRESHING} a\n{STAMP} Error of something else\nfatal: 2", {}),
    ],
)
def test_errors_in_the_log(log: str, found: dict[str, str]) -> None:
    assert bundle_errors(log) == found


PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20)


@given(PASSWORDS)
def test_no_password_in_a_url_gets_out(password: str) -> None:
    (found,) = bundle_errors(f"{REFRESHING} main\nfatal: cannot read https://jo:{password}@git.example.com/x").values()
    assert found == "fatal: cannot read https://***@git.example.com/x"


@given(st.text(max_size=400))
def test_any_log_can_be_read(log: str) -> None:
    for said in bundle_errors(f"{log}\n{REFRESHING} main\nfatal: {log}\n{REFRESHING} {log}").values():
        assert len(said) <= 300


@pytest.mark.parametrize("line", ["fatal: " + "://" * 50_000, "fatal: " * 50_000, "a" * 200_000, STAMP * 5_000])
def test_a_long_line_is_no_burden(line: str) -> None:
    assert len(bundle_errors(f"{REFRESHING} main\n{line}").get("main", "")) <= 300


@pytest.mark.parametrize(
    ("said", "stale"),
    [
        ("error: pathspec 'v2' did not match any file(s) known to git", True),
        ("fatal: Authentication failed for 'https://git.example.com/dags.git/'", False),
        ("fatal: unable to access 'https://git.example.com/': Could not resolve host: git.example.com", False),
    ],
)
def test_only_a_missing_ref_makes_a_clone_stale(said: str, stale: bool) -> None:
    assert stale_clone({"main": said}) is stale
    assert not stale_clone({})
