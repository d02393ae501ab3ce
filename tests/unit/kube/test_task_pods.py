"""The pods that come and go: which are counted, what they request, from when to when."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from airfield.kube.task_pods import MEMORY, TaskPods, pod_of

Json = dict[str, Any]
KEY = ("team-a", "demo")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
GIB = 1024**3


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def container(cpu: str = "1", memory: str = "1Gi", **fields: Any) -> Json:
    return {"name": "base", "resources": {"requests": {"cpu": cpu, "memory": memory}}, **fields}


def pod(
    name: str = "task",
    *,
    status: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    owner: str = "",
    of: str | None = "demo",
) -> Json:
    labels = {"airfield.dev/environment": of} if of else {}
    owners = [{"kind": owner, "name": "x", "uid": "y", "controller": True}] if owner else []
    return {
        "kind": "Pod",
        "metadata": {
            "namespace": "team-a",
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels,
            "ownerReferences": owners,
        },
        "spec": {"containers": [container()], **(spec or {})},
        "status": {"phase": "Running", "startTime": "2026-11-28T12:00:00Z", **(status or {})},
    }


def finished(*ends: str) -> Json:
    containers = [{"state": {"terminated": {"exitCode": 0, "finishedAt": end}}} for end in ends]
    return {"phase": "Succeeded", "containerStatuses": containers}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tasks(clock: Clock) -> TaskPods:
    return TaskPods(clock)


def hours(tasks: TaskPods, since: datetime = NOON, until: datetime = NOON + timedelta(hours=9)) -> Decimal:
    cpu, memory = tasks.ran(KEY, since, until)
    assert memory == cpu * GIB
    return cpu / 3600


def test_from_start_to_end(tasks: TaskPods) -> None:
    tasks.seen(pod())
    assert hours(tasks, until=NOON + timedelta(hours=2)) == 2
    tasks.seen(pod(status=finished("2026-11-28T13:00:00Z", "2026-11-28T15:00:00Z")))
    assert hours(tasks) == 3
    assert hours(tasks, since=NOON + timedelta(hours=1)) == 2
    assert hours(tasks, since=NOON + timedelta(hours=4)) == 0


def test_the_first_end_stays(tasks: TaskPods, clock: Clock) -> None:
    """Evicted: nothing says when it ended, so it was when that was seen; and it still is when it is removed."""
    tasks.seen(pod())
    clock.now += timedelta(hours=1)
    tasks.seen(pod(status={"phase": "Failed"}))
    clock.now += timedelta(hours=1)
    tasks.seen(pod(status={"phase": "Failed"}))
    tasks.gone(pod(status={"phase": "Failed"}))
    assert hours(tasks) == 1


def test_gone_while_it_ran(tasks: TaskPods, clock: Clock) -> None:
    tasks.seen(pod())
    tasks.seen(pod("other"))
    clock.now += timedelta(hours=1)
    tasks.gone(pod())
    clock.now += timedelta(hours=1)
    tasks.retain("team-b", set())
    tasks.retain("team-a", {("team-a", "task")})
    assert hours(tasks) == 1 + 2


def test_in_one_look(tasks: TaskPods, clock: Clock) -> None:
    """A pod of which only the end was seen."""
    clock.now += timedelta(minutes=30)
    tasks.gone(pod())
    assert hours(tasks) == Decimal("0.5")


def test_what_ended_is_remembered_for_a_while(tasks: TaskPods, clock: Clock) -> None:
    tasks.gone(pod(status=finished("2026-11-28T13:00:00Z")))
    clock.now = NOON + timedelta(hours=1) + MEMORY - timedelta(seconds=1)
    tasks.retain("", set())
    assert hours(tasks) == 1
    clock.now += timedelta(seconds=2)
    tasks.retain("team-b", set())
    assert hours(tasks) == 1
    tasks.retain("team-a", set())
    assert hours(tasks) == 0


def test_what_is_still_there_is_not_forgotten(tasks: TaskPods, clock: Clock) -> None:
    """No operator ran for a day: the pods that are left tell of it."""
    clock.now += timedelta(days=1)
    tasks.seen(pod(status=finished("2026-11-28T13:00:00Z")))
    tasks.retain("", {("team-a", "task")})
    assert hours(tasks) == 1


@pytest.mark.parametrize(
    "none",
    [
        pod(owner="ReplicaSet"),
        pod(owner="StatefulSet"),
        pod(of=None),
        {**pod(), "status": {"phase": "Pending"}},
    ],
    ids=["of a Deployment", "of a StatefulSet", "of no environment", "not scheduled"],
)
def test_pods_that_are_not_counted(tasks: TaskPods, none: Json) -> None:
    tasks.seen(none)
    tasks.gone(none)
    assert hours(tasks) == 0


def test_a_job_is_counted(tasks: TaskPods) -> None:
    tasks.seen(pod(owner="Job"))
    assert tasks.running(KEY) == (Decimal(1), Decimal(GIB))


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container(), container("500m")]}, "1.5"),
        ({"containers": [{"name": "base"}]}, "0"),
        ({"initContainers": [container("3")]}, "3"),
        ({"initContainers": [container("0.5")]}, "1"),
        ({"initContainers": [container("1", **SIDECAR)]}, "2"),
        ({"initContainers": [container("1", **SIDECAR), container("4")]}, "5"),
        ({"initContainers": [container("4"), container("1", **SIDECAR)]}, "4"),
        ({"overhead": {"cpu": "250m"}}, "1.25"),
        ({"resources": {"requests": {"cpu": "2"}}}, "2"),
    ],
)
def test_what_the_scheduler_keeps_free(spec: Json, cpu: str, clock: Clock) -> None:
    found = pod_of(pod(spec=spec), clock)
    assert found is not None
    assert found.cpu == Decimal(cpu)
