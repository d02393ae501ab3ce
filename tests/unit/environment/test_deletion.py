"""What goes and what stays when an environment is deleted."""

from datetime import timedelta

import pytest

from airfield.api.environment import DeletionPolicy
from airfield.environment import deletion
from airfield.environment.rollout import LABEL_DERIVED
from builders import OURS, Json, blueprint, by_ref, child, component, effective, environment

DELETE, ORPHAN = {"deletionPolicy": "Delete"}, {"deletionPolicy": "Orphan"}


@pytest.mark.parametrize(
    ("of_environment", "of_stage", "of_size", "of_class", "policy"),
    [
        ({}, {}, {}, {}, DeletionPolicy.ORPHAN),
        (DELETE, {}, {}, {}, DeletionPolicy.DELETE),
        ({}, DELETE, {}, {}, DeletionPolicy.DELETE),
        ({}, {}, DELETE, {}, DeletionPolicy.DELETE),
        ({}, {}, {}, DELETE, DeletionPolicy.DELETE),
        (ORPHAN, DELETE, DELETE, DELETE, DeletionPolicy.ORPHAN),
        ({}, ORPHAN, DELETE, DELETE, DeletionPolicy.ORPHAN),
        ({}, {}, ORPHAN, DELETE, DeletionPolicy.ORPHAN),
    ],
)
def test_policy(of_environment: Json, of_stage: Json, of_size: Json, of_class: Json, policy: DeletionPolicy) -> None:
    of = blueprint(
        defaults=of_class,
        stages=[{"stage": "dev", "defaults": of_stage}, {"stage": "prod", "defaults": DELETE}],
        sizes=[{"name": "small", "defaults": of_size}, {"name": "big", "defaults": DELETE}],
    )
    assert deletion.policy(environment(size="small", **of_environment), of) is policy


def test_the_policy_is_the_one_that_resolving_gives() -> None:
    """The size may come from the stage or the class, not only from the environment."""
    sizes = [{"name": "small", "defaults": DELETE}]
    for of in (
        blueprint(sizes=sizes, defaults={"size": "small"}),
        blueprint(sizes=sizes, stages=[{"stage": "dev", "defaults": {"size": "small"}}]),
    ):
        assert deletion.policy(environment(), of) is DeletionPolicy.DELETE
        assert effective(environment(), of).deletion_policy is DeletionPolicy.DELETE


def test_a_size_that_is_gone_deletes_no_data() -> None:
    of = blueprint(defaults=DELETE)
    assert deletion.policy(environment(size="gone"), of) is DeletionPolicy.ORPHAN
    assert deletion.policy(environment(size="gone", **DELETE), of) is DeletionPolicy.DELETE


def test_without_a_class_the_environment_decides() -> None:
    assert deletion.policy(environment(), None) is DeletionPolicy.ORPHAN
    assert deletion.policy(environment(**DELETE), None) is DeletionPolicy.DELETE


def test_what_is_workload_and_what_is_data() -> None:
    copied = {"airfield.dev/environment": "demo"}
    derived = {**OURS, LABEL_DERIVED: "true"}
    children = by_ref(
        child("Deployment", "scheduler"),
        child("ConfigMap", "config"),
        child("Secret", "demo-fernet"),
        child("Secret", "copy-of-demo-fernet"),
        child("Secret", "connection", labels=derived),
        child("PersistentVolumeClaim", "logs"),
        child("PersistentVolumeClaim", "of-a-person", labels=copied, owned=""),
        child("PersistentVolumeClaim", "odd", labels=derived),
        child("Pod", "task"),
        child("Secret", "of-a-person", labels=copied),
        child("ConfigMap", "of-a-person", labels=copied),
        child("Service", "going", deleting=True),
        child("Namespace", "team-a"),
    )
    assert [found.ref.name for found in deletion.workloads(children)] == ["scheduler"], (
        "the rest, when the task has ended"
    )
    del children[child("Pod", "task").ref]
    assert [found.ref.name for found in deletion.workloads(children)] == ["scheduler", "config", "connection"]
    assert [found.ref.name for found in deletion.data(children, "demo")] == ["logs", "odd", "demo-fernet"]


EVERYTHING = {"api-server", "scheduler", "db", "config"}


@pytest.mark.parametrize(
    ("running", "in_order", "goes"),
    [
        ((), True, EVERYTHING),
        (("database",), True, EVERYTHING),
        (("database", "api-server"), True, {"api-server", "scheduler"}),
        (("database", "api-server", "scheduler"), True, {"scheduler"}),
        (("worker",), True, {"scheduler", "worker-pod"}),
        (("scheduler", "database"), False, EVERYTHING),
    ],
)
def test_order(running: tuple[str, ...], in_order: bool, goes: set[str]) -> None:
    """Tasks report to the API server until they have ended, and all but the database need the database."""
    pods = [component("Pod", name, f"{name}-pod") for name in running]
    workloads = [component("Deployment", name, name) for name in ("api-server", "scheduler")]
    database = component("StatefulSet", "database", "db")
    children = by_ref(*pods, *workloads, database, child("ConfigMap", "config"))
    assert {found.ref.name for found in deletion.workloads(children, in_order=in_order)} == goes
    assert {found.ref.name for found in deletion.pods(children)} == {pod.ref.name for pod in pods}


@pytest.mark.parametrize(("lasted", "seconds"), [(0, 5), (20, 5), (60, 15), (149, 30), (601, 30)])
def test_what_takes_long_is_looked_at_more_rarely(lasted: int, seconds: float) -> None:
    assert deletion.pause(timedelta(seconds=lasted)) == seconds


@pytest.mark.parametrize("limit", [deletion.ORDER, deletion.PATIENCE])
@pytest.mark.parametrize("left", [0, 1, 29])
def test_no_pause_goes_beyond_what_is_done_after_a_time(limit: timedelta, left: int) -> None:
    assert left < deletion.pause(limit - timedelta(seconds=left)) <= left + 1
