"""ChildState of live objects, as tables: the status that Kubernetes writes, and what we make of it."""

from __future__ import annotations

from typing import Any

import pytest

from airfield.kube.state import state_of

Fields = dict[str, Any]


def workload(replicas: int | None, status: Fields, **spec: Any) -> Fields:
    spec = spec if replicas is None else {**spec, "replicas": replicas}
    return {"kind": "Deployment", "metadata": {"generation": 2}, "spec": spec, "status": status}


def counts(total: int, updated: int, available: int, *, seen: int = 2) -> Fields:
    return {
        "observedGeneration": seen,
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
    }


STUCK = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}


@pytest.mark.parametrize(
    ("obj", "ready", "message", "problem"),
    [
        (workload(2, counts(2, 2, 2)), True, "", ""),
        (workload(None, counts(1, 1, 1)), True, "", ""),
        (workload(0, {"observedGeneration": 2}), True, "", ""),
        (workload(2, {}), False, "the controller has not seen the latest change yet", ""),
        (workload(2, counts(2, 2, 2, seen=1)), False, "the controller has not seen the latest change yet", ""),
        (workload(2, counts(2, 2, 1)), False, "1 of 2 replicas available", ""),
        (workload(2, counts(3, 1, 2)), False, "1 of 2 replicas updated", ""),
        (workload(2, counts(3, 2, 3)), False, "1 old replicas still running", ""),
        (workload(0, counts(1, 1, 1)), False, "1 old replicas still running", ""),
        (workload(2, counts(2, 0, 2), **ON_DELETE), True, "", ""),
        (workload(1, {**counts(1, 1, 0), "conditions": [STUCK]}), False, "timed out", "ProgressDeadlineExceeded"),
    ],
)
def test_workloads(obj: Fields, ready: bool, message: str, problem: str) -> None:
    for kind in ("Deployment", "StatefulSet"):
        state = state_of({**obj, "kind": kind})
        assert (state.ready, state.message, state.problem) == (ready, message, problem)


def test_workload_counts() -> None:
    state = state_of(workload(3, {**counts(4, 2, 1), "readyReplicas": 2}))
    assert (state.desired, state.updated, state.available, state.ready_replicas) == (3, 2, 1, 2)


@pytest.mark.parametrize(
    ("reason", "seen", "served"),
    [("NewReplicaSetAvailable", 2, True), ("NewReplicaSetAvailable", 1, False), ("ReplicaSetUpdated", 2, False)],
)
def test_a_deployment_remembers_that_it_has_served(reason: str, seen: int, served: bool) -> None:
    status = {**counts(1, 1, 0, seen=seen), **condition("Progressing", reason=reason)}
    assert state_of(workload(1, status)).served == served


def condition(kind: str, **more: str) -> Fields:
    return {"conditions": [{"type": kind, "status": "True", **more}]}


@pytest.mark.parametrize(
    ("status", "spec", "complete", "failed", "message"),
    [
        (condition("Complete"), {}, True, False, ""),
        (condition("Failed", reason="DeadlineExceeded", message="too long"), {}, False, True, "too long"),
        (condition("Failed", reason="BackoffLimitExceeded"), {}, False, True, "BackoffLimitExceeded"),
        (condition("FailureTarget"), {}, False, False, "running"),
        ({"active": 1}, {}, False, False, "running"),
        ({"active": 1, "failed": 2}, {}, False, False, "running, 2 failed attempts so far"),
        ({}, {"suspend": True}, False, False, "suspended"),
    ],
)
def test_jobs(status: Fields, spec: Fields, complete: bool, failed: bool, message: str) -> None:
    state = state_of({"kind": "Job", "metadata": {}, "spec": spec, "status": status})
    assert (state.ready, state.complete, state.failed, state.message) == (complete, complete, failed, message)


def container(state: Fields, last: Fields | None = None) -> Fields:
    return {"name": "main", "state": state, "lastState": last or {}}


def containers(phase: str, *statuses: Fields) -> Fields:
    return {"phase": phase, "containerStatuses": list(statuses)}


def waiting(reason: str, message: str = "why") -> Fields:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, **more: str) -> Fields:
    return {"terminated": {"exitCode": code, **more}}


READY = {"conditions": [{"type": "Ready", "status": "True"}]}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}


@pytest.mark.parametrize(
    ("status", "ready", "problem", "message", "terminated"),
    [
        ({"phase": "Running", **READY}, True, "", "", ""),
        ({"phase": "Running"}, False, "", "phase Running", ""),
        ({}, False, "", "phase unknown", ""),
        ({"phase": "Succeeded"}, True, "", "", ""),
        ({"phase": "Pending", "conditions": [UNSCHEDULABLE]}, False, "Unschedulable", "0/1 nodes", ""),
        (containers("Pending", container(waiting("ContainerCreating"))), False, "", "phase Pending", ""),
        (
            {"phase": "Pending", "initContainerStatuses": [container(waiting("ImagePullBackOff"))]},
            False,
            "ImagePullBackOff",
            "container main: why",
            "",
        ),
        (
            containers("Running", container(waiting("CrashLoopBackOff", ""), ended(1, message="boom\n"))),
            False,
            "CrashLoopBackOff",
            "container main",
            "container main ended with exit code 1: boom",
        ),
        (
            containers("Running", container({"running": {}}, ended(137, reason="OOMKilled"))) | READY,
            True,
            "",
            "",
            "container main ended with exit code 137 (OOMKilled)",
        ),
        (
            containers("Failed", container(ended(2, reason="Error"))),
            False,
            "Failed",
            "container main ended with exit code 2",
            "container main ended with exit code 2",
        ),
        ({"phase": "Failed", "reason": "Evicted", "message": "low memory"}, False, "Evicted", "low memory", ""),
    ],
)  # fmt: skip
def test_pods(status: Fields, ready: bool, problem: str, message: str, terminated: str) -> None:
    state = state_of({"kind": "Pod", "metadata": {}, "status": status})
    assert (state.ready, state.problem, state.message, state.terminated) == (ready, problem, message, terminated)


@pytest.mark.parametrize(
    ("owner", "problem", "message"),
    [
        ("ReplicaSet", "", "told to end"),
        ("StatefulSet", "Failed", "container main ended with exit code 143"),  # its successor waits for it
    ],
)
def test_how_a_pod_ends_that_was_told_to_is_no_problem(owner: str, problem: str, message: str) -> None:
    status = containers("Failed", container(ended(143)))
    metadata = {"deletionTimestamp": "2026-11-28T15:00:00Z", "ownerReferences": [{"kind": owner}]}
    state = state_of({"kind": "Pod", "metadata": metadata, "status": status})
    assert (state.ready, state.problem, state.message) == (False, problem, message)


@pytest.mark.parametrize(
    ("status", "ready", "problem", "message"),
    [
        ({"phase": "Bound"}, True, "", ""),
        ({"phase": "Pending"}, False, "", "volume claim is Pending"),
        ({}, False, "", "volume claim is Pending"),
        ({"phase": "Lost"}, False, "Lost", "volume claim is Lost"),
    ],
)
def test_claims(status: Fields, ready: bool, problem: str, message: str) -> None:
    state = state_of({"kind": "PersistentVolumeClaim", "metadata": {}, "status": status})
    assert (state.ready, state.problem, state.message) == (ready, problem, message)


def test_other_kinds_are_ready_when_they_exist() -> None:
    assert state_of({"kind": "ConfigMap", "metadata": {}}).ready
