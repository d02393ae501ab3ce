"""What goes and what stays when a chart no longer renders it, and how far a migration is."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.environment.admit import ALLOWED_KINDS
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.environment.rollout import (
    LABEL_DERIVED,
    components,
    is_job,
    migration,
    phase_of,
    pod_sentence,
    prunable,
)
from airfield.kube.inventory import Child
from airfield.kube.kinds import Ref
from builders import OURS, by_ref, child, component

WANTED = Ref("v1", "ConfigMap", "team-a", "wanted")
DERIVED = {**OURS, LABEL_DERIVED: "true"}


@pytest.mark.parametrize(
    ("found", "goes"),
    [
        *((child(kind), True) for _, kind in sorted(ALLOWED_KINDS) if kind != "PersistentVolumeClaim"),
        (child("PersistentVolumeClaim"), False),
        (child("PersistentVolumeClaim", labels=DERIVED), False),
        (child("Secret"), False),
        (child("Secret", labels=DERIVED), True),
        (child("Secret", labels={LABEL_DERIVED: "true"}), False),
        (child("Pod"), False),
        (child("Namespace"), False),
        (child("ConfigMap", labels={"airfield.dev/environment": "demo"}), False),
        (child("ConfigMap", labels={**OURS, "app.kubernetes.io/managed-by": "Helm"}), False),
        (child("ConfigMap", labels={}), False),
        (child("ConfigMap", owned=""), False),
        (child("ConfigMap", deleting=True), False),
        (child("ConfigMap", "wanted"), False),
        (dataclasses.replace(child(), ref=Ref("evil.example.com/v1", "Deployment", "team-a", "a")), False),
    ],
    ids=lambda value: f"{value.ref.kind}-{len(value.labels)}" if isinstance(value, Child) else str(value),
)
def test_prunable(found: Child, goes: bool) -> None:
    assert prunable(by_ref(found), {WANTED}) == ([found] if goes else [])


CHILDREN = st.lists(
    st.builds(
        child,
        st.sampled_from(["ConfigMap", "Secret", "PersistentVolumeClaim", "Pod", "Deployment", "Job"]),
        st.sampled_from("abc"),
        labels=st.sampled_from([OURS, DERIVED, {}, {"airfield.dev/environment": "demo"}]),
        deleting=st.booleans(),
    ),
    max_size=10,
).map(lambda found: by_ref(*found))


@given(CHILDREN, st.sets(st.integers(0, 9)))
def test_data_never_goes_nor_anything_when_nothing_is_desired(children: dict[Ref, Child], indices: set[int]) -> None:
    assert prunable(children, set()) == []
    desired = {ref for number, ref in enumerate(children) if number in indices} | {WANTED}
    for gone in prunable(children, desired):
        assert gone.ref not in desired
        assert gone.ref.kind not in {"PersistentVolumeClaim", "Pod"}
        assert gone.ref.kind != "Secret" or LABEL_DERIVED in gone.labels
        assert gone.labels["app.kubernetes.io/managed-by"] == "airfield"


def job(**state: object) -> Child:
    return component("Job", "migration", "demo-migrate-1", **state)


def pod(problem: str = "", message: str = "", terminated: str = "", name: str = "p") -> Child:
    return component("Pod", "migration", name, problem=problem, message=message, terminated=terminated)


FAILED = job(failed=True, message="BackoffLimitExceeded")


@pytest.mark.parametrize(
    ("found", "pods", "failed_for", "outcome"),
    [
        (None, [], None, Wait(Reason.MIGRATING, "the migration Job is about to start", 5)),
        (job(complete=True), [], None, Done()),
        (job(complete=True), [pod("ImagePullBackOff")], None, Done()),
        (job(), [], None, Wait(Reason.MIGRATING, "the migration Job brings the database schema up to date", 10)),
        (job(), [pod()], None, Wait(Reason.MIGRATING, "the migration Job brings the database schema up to date", 10)),
        (
            job(),
            [pod("Unschedulable", "0/1 nodes")],
            None,
            Wait(Reason.MIGRATING, "migrating: migration: Unschedulable: 0/1 nodes", 10),
        ),
        *(
            (
                job(),
                [pod(problem, "no such image")],
                None,
                Stall(
                    Reason.IMAGE_PULL_FAILED,
                    f"migration: {problem}: no such image; check image.reference, or without it"
                    " catalog.versions[].image of the class, and image.pullSecrets",
                    15,
                ),
            )
            for problem in ("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName")
        ),
    ],
)
def test_migration(found: Child | None, pods: list[Child], failed_for: float | None, outcome: Outcome) -> None:
    assert migration(found, pods, failed_for=failed_for, retry=60) == outcome


@pytest.mark.parametrize(
    ("maker", "phase", "done"), [("", "Succeeded", True), ("", "Running", False), ("x", "Succeeded", False)]
)
def test_a_pod_of_the_job_that_succeeded_is_enough(maker: str, phase: str, done: bool) -> None:
    running = job()
    made = dataclasses.replace(
        component("Pod", "migration", "p", ready=True, phase=phase),
        labels={"batch.kubernetes.io/controller-uid": maker or running.uid},
    )
    assert isinstance(migration(running, [made], failed_for=None, retry=60), Done) is done


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ([], "BackoffLimitExceeded"),
        ([pod(terminated="container migrate ended with exit code 1: no such revision")], "no such revision"),
        ([pod("ImagePullBackOff")], "BackoffLimitExceeded"),
    ],
)
def test_a_failed_migration_says_what_and_when_it_goes_on(pods: list[Child], said: str) -> None:
    found = migration(FAILED, pods, failed_for=20, retry=60)
    assert isinstance(found, Stall)
    assert found.reason is Reason.MIGRATION_FAILED
    assert found.after == 40
    assert said in found.message
    assert "tried again every 60 s" in found.message
    assert "kubectl logs -n team-a job/demo-migrate-1" in found.message


@pytest.mark.parametrize(("failed_for", "after"), [(None, 60), (0, 60), (59, 1), (60, 0), (1e9, 0)])
def test_when_a_failed_migration_is_tried_again(failed_for: float | None, after: float) -> None:
    found = migration(FAILED, [], failed_for=failed_for, retry=60)
    assert isinstance(found, Stall)
    assert found.after == after


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (pod("Unschedulable", "0/1 nodes"), "migration: Unschedulable: 0/1 nodes"),
        (pod("Failed"), "migration: Failed"),
        (pod("Failed", terminated="exit code 1"), "migration: Failed: exit code 1"),
        (pod("CreateContainerConfigError", "no key", "exit code 1"), "migration: CreateContainerConfigError: no key"),
        # The kubelet's message only says how long it waits, and changes with every try.
        (pod("CrashLoopBackOff", "back-off 40s", "exit code 1: bad"), "migration: CrashLoopBackOff: exit code 1: bad"),
        (pod("CrashLoopBackOff", "back-off 40s"), "migration: CrashLoopBackOff: back-off 40s"),
        (child("Pod", "demo-x", problem="Failed"), "demo-x: Failed"),
    ],
)
def test_sentences_about_pods(found: Child, sentence: str) -> None:
    assert pod_sentence(found) == sentence


def test_small_questions() -> None:
    manifest = {"kind": "Job", "metadata": {"labels": {"airfield.dev/phase": "schema"}}}
    assert is_job(manifest)
    assert not is_job({**manifest, "kind": "Deployment"})
    assert phase_of(manifest) == "schema"
    pods = [child("Pod", name) for name in "ba"]
    assert [found.ref.name for found in components(by_ref(*pods, child()), "Pod")] == ["a", "b"]
