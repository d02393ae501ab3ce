"""Watches: which events make whom look again, and that a relist repairs what they missed and spoils nothing."""

import asyncio
import contextlib
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from airfield.kube.errors import ApiError
from airfield.kube.inventory import Inventory
from airfield.kube.kinds import (
    AIRFLOW_ENVIRONMENT,
    AIRFLOW_ENVIRONMENT_CLASS,
    AIRFLOW_TENANT,
    DEPLOYMENT,
    HTTP_ROUTE,
    NAMESPACE,
    SECRET,
    Kind,
    Ref,
)
from airfield.kube.resources import Resources, relisted, wish
from airfield.kube.secrets import SecretVersions
from airfield.relist import relist
from airfield.runtime.pace import Pace
from airfield.watches import Watches

Object = dict[str, Any]
DEMO, OTHER, FAR = ("team-a", "demo"), ("team-a", "other"), ("team-b", "demo")


@dataclass
class Recorder:
    """The part of a queue that watches see."""

    added: list[Any] = field(default_factory=list)
    routine: list[Any] = field(default_factory=list)
    later: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    gives_way: list[bool] = field(default_factory=list)

    def add(self, key: Any, *, routine: bool = False) -> None:
        (self.routine if routine else self.added).append(key)

    def add_after(self, key: Any, seconds: float, *, routine: bool = True) -> None:
        if seconds <= 0:
            self.add(key, routine=routine)
            return
        self.later.append(key)
        self.seconds.append(seconds)
        self.gives_way.append(routine)


def environment(key: tuple[str, str] = DEMO, *, version: int = 10, of: str = "standard", **metadata: Any) -> Object:
    names = {"namespace": key[0], "name": key[1], "uid": "-".join(key)}
    metadata = {**names, "resourceVersion": str(version), "generation": 1, **metadata}
    return {"kind": "AirflowEnvironment", "metadata": metadata, "spec": {"className": of}, "status": {}}


def tenant(name: str = "a", *namespaces: str, version: int = 10, **metadata: Any) -> Object:
    metadata = {"name": name, "uid": name, "resourceVersion": str(version), "generation": 1, **metadata}
    return {"kind": "AirflowTenant", "metadata": metadata, "spec": {"namespaces": [{"name": n} for n in namespaces]}}


def namespace(name: str = "team-a", *, version: int = 10, of: str = "", **metadata: Any) -> Object:
    labels = {"airfield.dev/tenant": of} if of else {}
    metadata = {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels, **metadata}
    return {"kind": "Namespace", "metadata": metadata}


def blueprint(name: str = "standard", *, version: int = 10, **metadata: Any) -> Object:
    metadata = {"name": name, "uid": name, "resourceVersion": str(version), "generation": 1, **metadata}
    return {"kind": "AirflowEnvironmentClass", "metadata": metadata, "spec": {}}


def deployment(*, version: int = 10, name: str = "scheduler", of: str | None = "demo", available: int = 1) -> Object:
    labels = {"airfield.dev/environment": of} if of else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "namespace": "team-a",
            "name": name,
            "uid": name,
            "resourceVersion": str(version),
            "generation": 1,
            "labels": labels,
        },
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available},
    }


def pod(*, of: str | None = "demo", phase: str = "Pending", waiting: str = "") -> Object:
    labels = {"airfield.dev/environment": of} if of else {}
    metadata = {"namespace": "team-a", "name": "pod", "uid": "pod", "resourceVersion": "11", "labels": labels}
    containers = [{"name": "main", "state": {"waiting": {"reason": waiting}}}] if waiting else []
    status = {"phase": phase, "containerStatuses": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def watching(*objects: Object) -> Watches:
    """Watches that have seen the objects, with empty queues."""
    watches: Any = Watches(Resources(), Inventory(), SecretVersions(), Recorder(), Recorder(), Recorder())  # type: ignore[arg-type]
    for obj in objects:
        see(watches, obj)
    watches = replace(watches, pace=Pace(moving=watches.pace.moving))
    for queue in (watches.environments, watches.tenants, watches.classes):
        for told in vars(queue).values():
            told.clear()
    return watches  # type: ignore[no-any-return]


def see(watches: Watches, obj: Object, *, deleted: bool = False) -> None:
    handlers: dict[str, Callable[..., None]] = {
        "AirflowEnvironment": watches.environment,
        "AirflowTenant": watches.tenant,
        "AirflowEnvironmentClass": watches.blueprint,
        "Namespace": watches.namespace,
    }
    if obj["kind"] in handlers:
        handlers[obj["kind"]](copy.deepcopy(obj), deleted=deleted)
    else:
        (watches.gone if deleted else watches.seen)(copy.deepcopy(obj))


def known_of(watches: Watches, kind: Kind) -> dict[Any, Object]:
    resources = watches.resources
    stores: dict[Kind, Any] = {
        AIRFLOW_ENVIRONMENT: resources.environments,
        AIRFLOW_TENANT: resources.tenants,
        AIRFLOW_ENVIRONMENT_CLASS: resources.classes,
    }
    found: dict[Any, Object] = stores[kind]
    return found


def queued(watches: Watches) -> dict[str, set[Any]]:
    queues: dict[str, Any] = {
        "environments": watches.environments,
        "tenants": watches.tenants,
        "classes": watches.classes,
    }
    found = {name: set(queue.added) for name, queue in queues.items() if queue.added}
    environments = queues["environments"]
    in_turn = {key for queue in queues.values() for key in queue.routine}
    more = {"in turn": in_turn, "a moment later": set(environments.later), "soon": set(queues["tenants"].later)}
    return found | {how: keys for how, keys in more.items() if keys}


WORLD = (
    tenant("a", "team-a"),
    tenant("b", "team-b"),
    blueprint("standard"),
    blueprint("large"),
    environment(DEMO),
    environment(OTHER, of="large"),
    environment(FAR),
    deployment(),
    namespace(),
)
NEW = ("team-a", "new")


@pytest.mark.parametrize(
    ("event", "deleted", "expected"),
    [
        # Environments: the same again, a status, and an older view are no news.
        (environment(), False, {}),
        (environment(version=11), False, {}),
        (environment(version=11, managedFields=[{"manager": "x"}]), False, {}),
        (environment(version=9, generation=0), False, {}),
        (environment(version=11, generation=2), False, {"environments": {DEMO}, "soon": {"a"}}),
        (
            environment(version=11, annotations={"airfield.dev/paused": "true"}),
            False,
            {"environments": {DEMO}, "soon": {"a"}},
        ),
        (environment(version=11, labels={"a": "b"}), False, {"environments": {DEMO}, "soon": {"a"}}),
        (
            environment(version=11, finalizers=["airfield.dev/environment"]),
            False,
            {"environments": {DEMO}, "soon": {"a"}},
        ),
        (
            environment(version=11, deletionTimestamp="2026-01-01T00:00:00Z"),
            False,
            {"environments": {DEMO}, "soon": {"a"}},
        ),
        (environment(version=11, uid="again"), False, {"environments": {DEMO}, "soon": {"a"}}),
        (
            environment(version=11, generation=2, of="large"),
            False,
            {"environments": {DEMO}, "soon": {"a"}, "classes": {"standard", "large"}},
        ),
        (environment(NEW), False, {"environments": {NEW}, "soon": {"a"}, "classes": {"standard"}}),
        (environment(version=11), True, {"environments": {DEMO}, "soon": {"a"}, "classes": {"standard"}}),
        (environment(("team-c", "x"), of="gone"), False, {"environments": {("team-c", "x")}, "classes": {"gone"}}),
        # What it has of its tenant's quota is no wish, but bounds what its namespace may hold.
        (environment(version=11) | {"status": {"granted": {"cpu": "1"}}}, False, {"soon": {"a"}}),
        # The deletion of one that is already forgotten still changes what its tenant and its class count.
        (environment(NEW), True, {"environments": {NEW}, "soon": {"a"}, "classes": {"standard"}}),
        # Tenants: the environments in all namespaces that they have or had, and whoever else claims one of them.
        (tenant("a", "team-a", version=11), False, {}),
        (tenant("a", "team-a", version=11, generation=2), False, {"in turn": {DEMO, OTHER}, "tenants": {"a"}}),
        (tenant("a", version=11, generation=2), False, {"in turn": {DEMO, OTHER}, "tenants": {"a"}}),
        (
            tenant("a", "team-b", version=11, generation=2),
            False,
            {"in turn": {DEMO, OTHER, FAR}, "tenants": {"a", "b"}},
        ),
        (tenant("a", "team-a", version=11), True, {"in turn": {DEMO, OTHER}, "tenants": {"a"}}),
        (tenant("c", "team-b"), False, {"in turn": {FAR}, "tenants": {"b", "c"}}),
        (tenant("c", "team-b"), True, {"in turn": {FAR}, "tenants": {"b", "c"}}),
        (tenant("c", "empty"), False, {"tenants": {"c"}}),
        # Namespaces: whoever lists them or is named by them; if one is another's now, the environments in it.
        (namespace(version=11), False, {}),
        (namespace(version=9, of="b"), False, {}),
        (namespace(version=11, of="a"), False, {"tenants": {"a"}}),
        (namespace(version=11, of="b"), False, {"tenants": {"a", "b"}}),
        (namespace(version=11, of="nobody"), False, {"tenants": {"a"}}),
        (namespace(version=11, deletionTimestamp="2026-01-01T00:00:00Z"), False, {"tenants": {"a"}}),
        (namespace(version=11), True, {"tenants": {"a"}}),
        (namespace("empty"), False, {}),
        # Classes: their environments.
        (blueprint(version=11), False, {}),
        (blueprint(version=11, generation=2), False, {"in turn": {DEMO, FAR}, "classes": {"standard"}}),
        (blueprint("large", version=11), True, {"in turn": {OTHER}, "classes": {"large"}}),
        (blueprint("new"), False, {"classes": {"new"}}),
        # The end of one whose name another has taken since is no news.
        (environment(version=9, uid="before"), True, {}),
        (tenant("a", "team-a", version=9, uid="before"), True, {}),
        (blueprint(version=9, uid="before"), True, {}),
        # Children: only what a decision reads.
        (deployment(version=11), False, {}),
        (deployment(version=11, available=0), False, {"a moment later": {DEMO}}),
        # Of pods: what is wrong with them, and their end. That they come and start is for their workloads to tell.
        (pod(), False, {}),
        (pod(phase="Running"), False, {}),
        (pod(phase="Succeeded"), False, {"a moment later": {DEMO}}),
        (pod(waiting="CrashLoopBackOff"), False, {"a moment later": {DEMO}}),
        (pod(of=None), False, {}),
        (deployment(version=9, available=0), False, {}),
        (deployment(version=11), True, {"environments": {DEMO}}),
        (deployment(version=9), True, {}),
        (deployment(name="new"), False, {"in turn": {DEMO}}),
        (deployment(name="new", of="unknown"), False, {}),
        (deployment(name="new", of=None), False, {}),
        (deployment(name="new", of=None), True, {}),
        (deployment(version=11, of="other"), False, {"environments": {DEMO, OTHER}}),
        (deployment(version=11, of=None), False, {"environments": {DEMO}}),
    ],
)
def test_who_looks_again(event: Object, deleted: bool, expected: dict[str, set[Any]]) -> None:
    watches = watching(*WORLD)
    see(watches, event, deleted=deleted)
    assert queued(watches) == expected


def test_who_waits_for_a_quota_looks_again_when_some_of_it_becomes_free() -> None:
    granted, refused = {"status": {"granted": {"cpu": "1"}}}, {"type": "Resolved", "reason": "QuotaExceeded"}
    waiting = environment(OTHER) | {"status": {"conditions": [{**refused, "status": "False"}]}}
    limited = tenant("a", "team-a")
    limited["spec"]["quota"] = {"cpu": "1"}
    watches = watching(limited, environment() | granted, waiting)
    see(watches, environment(version=11) | granted)
    assert queued(watches) == {}
    see(watches, environment(version=12) | {"status": {"granted": {"cpu": "500m"}}})
    assert queued(watches) == {"in turn": {OTHER}, "soon": {"a"}}
    watches = watching(limited, environment() | granted, waiting)
    see(watches, environment(version=11), deleted=True)
    expected = {"environments": {DEMO}, "in turn": {OTHER}, "soon": {"a"}, "classes": {"standard"}}
    assert queued(watches) == expected


def test_tenants_that_may_use_a_class_look_again_when_it_changes() -> None:
    allowed = tenant("a", "team-a")
    allowed["spec"]["allowedClasses"] = ["large"]
    watches = watching(allowed, tenant("b", "team-b"), blueprint("large"))
    see(watches, blueprint("large", version=11, generation=2))
    assert queued(watches) == {"tenants": {"a"}, "classes": {"large"}}


def test_a_namespace_that_becomes_anothers_makes_environments_look_again() -> None:
    watches = watching(*WORLD, tenant("z", "team-a"))
    see(watches, namespace(version=11, of="z"))
    assert queued(watches) == {"in turn": {DEMO, OTHER}, "tenants": {"a", "z"}}


def test_what_answers_tell_is_news_for_others_too() -> None:
    watches = watching(*WORLD)
    watches.tell(NAMESPACE, namespace(version=11, of="b"), deleted=False)
    assert queued(watches) == {"tenants": {"a", "b"}}
    watches = watching(*WORLD, namespace(version=11, of="b"))
    watches.tell(NAMESPACE, namespace(version=11, of="b"), deleted=False)
    assert queued(watches) == {}


def test_who_has_a_namespace_looks_again_when_another_tenants_object_goes() -> None:
    """It may have been written over one of its own of the same name."""
    watches = watching(*WORLD)
    policy = deployment(of=None)
    policy["metadata"]["labels"] = {"airfield.dev/tenant": "b"}
    watches.belongings.observe(policy)
    watches.belonging(policy, deleted=False)
    assert queued(watches) == {}
    watches.belonging(policy, deleted=True)
    assert queued(watches) == {"tenants": {"a", "b"}}


@pytest.mark.parametrize("environments", [[environment(deletionTimestamp="2026-01-01T00:00:00Z")], []])
def test_nothing_is_put_right_of_what_goes(environments: list[Object]) -> None:
    """What is waited for is the end of its pods."""
    watches = watching(*environments, deployment(), pod())
    see(watches, deployment(version=11, available=0))
    see(watches, deployment(version=12), deleted=True)
    see(watches, {**pod(phase="Failed"), "metadata": {**pod()["metadata"], "resourceVersion": "12"}})
    assert queued(watches) == {}
    see(watches, {**pod(), "metadata": {**pod()["metadata"], "resourceVersion": "13"}}, deleted=True)
    assert queued(watches) == {"a moment later": {DEMO}}


def test_the_end_of_a_pod_is_news_whatever_it_was() -> None:
    watches = watching(*WORLD)
    see(watches, pod())
    see(watches, pod(), deleted=True)
    assert queued(watches) == {"a moment later": {DEMO}}


def test_a_pod_that_recovers_is_news() -> None:
    watches = watching(*WORLD, pod(waiting="ImagePullBackOff"))
    better = pod(phase="Running")
    better["metadata"]["resourceVersion"] = "12"
    see(watches, better)
    assert queued(watches) == {"a moment later": {DEMO}}


def test_the_late_end_of_an_old_object_does_not_remove_the_new_one_of_its_name() -> None:
    watches = watching(*WORLD)
    for obj in (environment(uid="before"), tenant("a", "team-a", uid="before"), blueprint(uid="before")):
        see(watches, obj, deleted=True)
    assert DEMO in watches.resources.environments
    assert "a" in watches.resources.tenants
    assert "standard" in watches.resources.classes


def test_an_older_view_never_replaces_a_newer_one() -> None:
    watches = watching(environment(version=20, generation=3))
    see(watches, environment(version=15, generation=2))
    assert watches.resources.environments[DEMO]["metadata"]["generation"] == 3


def test_the_answer_to_a_status_write_does_not_swallow_what_a_person_changed_meanwhile() -> None:
    """The answer brings it, with the status that was written; its own event, which is older, does no harm."""
    for obj, kind, key in (
        (environment(), AIRFLOW_ENVIRONMENT, DEMO),
        (tenant("a", "team-a"), AIRFLOW_TENANT, "a"),
        (blueprint(), AIRFLOW_ENVIRONMENT_CLASS, "standard"),
    ):
        watches = watching(*WORLD)
        answer = {**copy.deepcopy(obj), "status": {"observedGeneration": 1}}
        answer["metadata"] |= {"resourceVersion": "12", "generation": 2}
        watches.tell(kind, copy.deepcopy(answer), deleted=False)
        told = queued(watches)
        assert told
        see(watches, {**obj, "metadata": {**obj["metadata"], "resourceVersion": "11", "generation": 2}})
        assert queued(watches) == told
        assert known_of(watches, kind)[key] == answer


def test_the_answer_to_a_status_write_is_taken_in_and_its_event_is_no_news() -> None:
    watches = watching(*WORLD)
    answer = environment(version=11) | {"status": {"observedGeneration": 1}}
    watches.tell(AIRFLOW_ENVIRONMENT, copy.deepcopy(answer), deleted=False)
    assert watches.resources.environments[DEMO]["status"] == {"observedGeneration": 1}
    see(watches, answer)
    watches.tell(AIRFLOW_ENVIRONMENT, environment(version=5), deleted=False)
    assert watches.resources.environments[DEMO] == answer
    watches.resources.gone.add("-".join(NEW))
    watches.tell(AIRFLOW_ENVIRONMENT, environment(NEW), deleted=False)
    assert NEW not in watches.resources.environments
    assert queued(watches) == {}


def test_a_wish_is_everything_but_status_and_bookkeeping() -> None:
    obj = environment()
    assert wish(obj) == wish({**obj, "status": {"x": 1}, "spec": {}})
    for metadata in ({"generation": 2}, {"uid": "x"}, {"labels": {"a": "b"}}, {"deletionTimestamp": "now"}):
        assert wish(obj) != wish({**obj, "metadata": {**obj["metadata"], **metadata}})


@pytest.mark.parametrize(
    ("before", "now", "listed", "after"),
    [
        ("", "", "a", "a"),  # never heard of
        ("a", "a", "", ""),  # gone without a word
        ("a", "a", "b", "b"),  # changed without a word
        ("a", "", "a", ""),  # deleted after the list was made
        ("", "a", "", "a"),  # created after the list was made
        ("a", "b", "a", "b"),  # changed after the list was made
        ("a", "b", "", "b"),  # deleted before, created again after
        ("", "", "", ""),
    ],
)
def test_a_list_repairs_and_spoils_nothing(before: str, now: str, listed: str, after: str) -> None:
    bodies = {name: {"body": name} for name in "ab"}
    store, known = ({"key": bodies[name]} if name else {} for name in (now, before))
    relisted(store, known, {"key": {"body": listed}} if listed else {})
    assert store == ({"key": {"body": after}} if after else {})


class Lists:
    """An API server's lists, and what happens while they are under way."""

    def __init__(self, *objects: Object, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._objects, self._meanwhile = objects, meanwhile
        self.refusal: ApiError | None = None
        """What comes of asking for versions."""
        self.read: list[str] = []
        """The kinds of which all was read, not only the versions."""

    async def versions_of_all(self, kind: Kind) -> dict[Ref, str]:
        if self.refusal:
            raise self.refusal
        of_kind = [obj for obj in self._objects if obj["kind"] == kind.kind]
        found = {Ref.of({**obj, "apiVersion": kind.api_version}): obj["metadata"]["resourceVersion"] for obj in of_kind}
        self._meanwhile()
        return found

    async def list(self, kind: Kind, *, boil: Callable[[Object], Object]) -> list[Object]:
        found = [boil(copy.deepcopy(obj)) for obj in self._objects if obj["kind"] == kind.kind]
        self.read.append(kind.kind)
        await asyncio.sleep(0)
        self._meanwhile()
        return found


def test_what_resources_have_in_common_is_held_once() -> None:
    watches = watching()
    for name in ("a", "b"):
        see(watches, json.loads(json.dumps({**environment(("team-a", name)), "status": {"url": "http://a b"}})))
    first, second = watches.resources.environments.values()
    assert first["status"]["url"] is second["status"]["url"]
    assert [*map(id, first)] == [*map(id, second)]


async def test_a_relist_finds_what_watches_lost() -> None:
    gone = ("team-a", "gone")
    watches = watching(environment(DEMO), on_its_way(gone), tenant("old"))
    lists = Lists(environment(DEMO, version=12, generation=2), tenant("a", "team-a"), blueprint())
    await relist(watches, lists)  # type: ignore[arg-type]
    assert not watches.pace.moving
    assert set(watches.resources.environments) == {DEMO}
    assert watches.resources.environments[DEMO]["metadata"]["generation"] == 2
    assert set(watches.resources.tenants) == {"a"}
    assert queued(watches) == {"environments": {DEMO, gone}, "in turn": {DEMO, "a", "standard"}}


async def test_what_a_relist_misses_is_free_for_those_who_wait() -> None:
    limited = tenant("a", "team-a")
    limited["spec"]["quota"] = {"cpu": "1"}
    refused = {"type": "Resolved", "status": "False", "reason": "QuotaExceeded"}
    waiting = environment(OTHER) | {"status": {"conditions": [refused]}}, reached(FAR, "", reason="HostTaken")
    lost = reached(DEMO, "https://a", 10)
    lost["status"] |= {"granted": {"cpu": "1"}}
    watches = watching(limited, lost, *waiting)
    await relist(watches, Lists(limited, *waiting))  # type: ignore[arg-type]
    assert queued(watches)["in turn"] >= {OTHER, FAR}


@pytest.mark.parametrize("lost", [(), (environment(FAR), tenant("z"))], ids=["nothing was lost", "something was"])
async def test_what_happens_during_a_relist_is_not_undone(lost: tuple[Object, ...]) -> None:
    watches = watching(environment(DEMO), environment(OTHER), tenant("a"))

    def meanwhile() -> None:
        see(watches, environment(NEW))
        see(watches, environment(OTHER, version=11), deleted=True)
        see(watches, environment(DEMO, version=11, generation=2))
        see(watches, tenant("a", "team-a", version=11, generation=2))

    lists = Lists(environment(DEMO), environment(OTHER), tenant("a"), *lost, meanwhile=meanwhile)
    await relist(watches, lists)  # type: ignore[arg-type]
    assert set(watches.resources.environments) == {DEMO, NEW, *([FAR] if lost else [])}
    assert watches.resources.environments[DEMO]["metadata"]["generation"] == 2
    assert watches.resources.tenants["a"]["spec"]["namespaces"] == [{"name": "team-a"}]
    assert queued(watches)["environments"] >= {DEMO, OTHER, NEW}


async def test_what_comes_and_goes_during_a_relist_stays_away() -> None:
    watches = watching(environment(DEMO))
    rivals = environment(NEW), tenant("rival", "team-a"), blueprint("brief")

    def meanwhile() -> None:
        for rival in rivals:
            see(watches, copy.deepcopy(rival))
            see(watches, copy.deepcopy(rival), deleted=True)

    await relist(watches, Lists(environment(DEMO), *rivals, meanwhile=meanwhile))  # type: ignore[arg-type]
    assert set(watches.resources.environments) == {DEMO}
    assert (watches.resources.tenants, watches.resources.classes) == ({}, {})


async def test_a_relist_without_news_has_no_environment_looked_at() -> None:
    watches = watching(environment(DEMO), tenant("a", "team-a"), blueprint())
    lists = Lists(environment(DEMO, version=12), tenant("a", "team-a", version=12), blueprint(version=12))
    await relist(watches, lists)  # type: ignore[arg-type]
    assert queued(watches) == {"in turn": {"a", "standard"}}
    assert lists.read == ["AirflowEnvironment", "AirflowTenant", "AirflowEnvironmentClass"]


async def test_what_is_as_it_was_is_not_read_again() -> None:
    watches = watching(environment(DEMO), tenant("a", "team-a"), blueprint())
    lists = Lists(environment(DEMO), tenant("a", "team-a"), blueprint(version=12, generation=2))
    await relist(watches, lists)  # type: ignore[arg-type]
    assert lists.read == ["AirflowEnvironmentClass"]
    assert queued(watches) == {"in turn": {DEMO, "a", "standard"}}


@pytest.mark.parametrize(("status", "read"), [(410, 3), (503, 0)], ids=["forgotten on the way", "no answer"])
async def test_versions_that_cannot_be_read(status: int, read: int) -> None:
    """All is read where a long list was forgotten on the way; what fails otherwise changes nothing."""
    watches = watching(environment(DEMO), tenant("a", "team-a"), blueprint())
    lists = Lists(environment(DEMO), tenant("a", "team-a"), blueprint())
    lists.refusal = ApiError(status, "", "no")
    before = dict(watches.resources.environments)
    with contextlib.nullcontext() if read else pytest.raises(ApiError):
        await relist(watches, lists)  # type: ignore[arg-type]
    assert len(lists.read) == read
    assert watches.resources.environments == before


async def test_a_relist_does_not_hold_a_fleet_twice() -> None:
    watches = watching(environment(DEMO), environment(OTHER))
    bodies = dict(watches.resources.environments)
    anew = environment(OTHER, version=11)  # deleted, and made again with the same name
    anew["metadata"]["uid"] = "another"
    await relist(watches, Lists(environment(DEMO), anew))  # type: ignore[arg-type]
    assert watches.resources.environments[DEMO] is bodies[DEMO]
    assert watches.resources.environments[OTHER] == anew


def test_a_list_of_objects_finds_what_watches_lost() -> None:
    watches = watching(*WORLD, deployment(name="stale"), secret("git"))
    watches.secrets.read_by(FAR, ["git"])
    watches.secrets.read_by(OTHER, ["git"])
    watches.listed(DEPLOYMENT, "", {Ref.of(deployment())}, "20")
    assert queued(watches) == {"environments": {DEMO}}
    assert [ref.name for ref in watches.inventory.children(DEMO)] == ["scheduler"]
    watches.listed(SECRET, "", set(), "20")
    assert queued(watches) == {"environments": {DEMO, OTHER}}


@pytest.mark.parametrize(
    ("obj", "known"),
    [
        (deployment, True),
        (lambda: deployment(version=11), False),
        (lambda: deployment(name="other"), False),
        (lambda: secret("given"), True),
        (lambda: secret("given", version=11), False),
        (lambda: secret("another"), False),
        (lambda: secret("ours", of="demo"), True),
        (lambda: secret("ours", version=11, of="demo"), False),
        (lambda: secret("answered", version=11, of="demo"), False),  # its readers have not been told
    ],
)
def test_what_is_known_of_a_list(obj: Callable[[], Object], known: bool) -> None:
    watches = watching(deployment(), secret("given"), secret("ours", of="demo"), secret("answered", of="demo"))
    watches.inventory.observe(secret("answered", version=11, of="demo"))
    found = obj()
    assert watches.knows(Ref.of(found), found["metadata"]["resourceVersion"]) == known


def secret(name: str, *, version: int = 10, of: str | None = None) -> Object:
    labels = {"airfield.dev/environment": of} if of else {}
    metadata = {"namespace": "team-a", "name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


def test_who_reads_a_secret_looks_again() -> None:
    watches = watching(*WORLD)
    watches.secrets.read_by(DEMO, ["git", "database"])
    watches.secrets.read_by(OTHER, ["git"])
    see(watches, secret("git"))
    assert queued(watches) == {"environments": {DEMO, OTHER}}
    watches.environments.added.clear()  # type: ignore[attr-defined]
    see(watches, secret("git"))
    see(watches, secret("unread"))
    assert queued(watches) == {}
    watches.secrets.read_by(OTHER, [])
    see(watches, secret("git", version=11), deleted=True)
    assert queued(watches) == {"environments": {DEMO}}


def test_who_waits_for_a_servers_administrator_looks_again() -> None:
    of = blueprint()
    of["spec"] = {"databaseServers": [{"name": "main", "adminSecret": {"namespace": "platform", "name": "postgres"}}]}
    well = environment(OTHER)
    well["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    watches = watching(of, blueprint("another"), environment(), well, environment(FAR, of="another"))
    administrator = secret("postgres")
    see(watches, administrator)
    assert queued(watches) == {}, "it is another namespace's"
    administrator["metadata"]["namespace"] = "platform"
    see(watches, administrator)
    assert queued(watches) == {"environments": {DEMO}, "classes": {"standard"}}


def test_one_that_has_taken_the_name_of_another_stays() -> None:
    resources = watching(environment(DEMO)).resources
    uid = resources.environments[DEMO]["metadata"]["uid"]
    resources.forget(resources.environments, DEMO, "of another")
    assert set(resources.environments) == {DEMO}
    resources.forget(resources.environments, DEMO, uid)
    assert (resources.environments, resources.gone) == ({}, {"of another", uid})


def reached(key: tuple[str, str], url: str, version: int = 10, **condition: str) -> Object:
    conditions = [{"type": "Resolved", "status": "False", **condition}] if condition else []
    return {**environment(key, version=version), "status": {"url": url, "conditions": conditions}}


def test_who_waits_for_a_host_name_looks_again_when_one_is_given_up() -> None:
    waiting = reached(FAR, "", reason="HostTaken")
    watches = watching(*WORLD, reached(DEMO, "https://a", 11), waiting)
    see(watches, reached(DEMO, "https://a", 12))
    assert queued(watches) == {}
    # Our own answer is in the cache before its event comes.
    watches.tell(AIRFLOW_ENVIRONMENT, reached(DEMO, "https://b", 13), deleted=False)
    assert queued(watches) == {"in turn": {FAR}}
    see(watches, reached(DEMO, "https://b", 13))
    assert queued(watches) == {"in turn": {FAR}}
    watches = watching(*WORLD, reached(DEMO, "https://a", 11), waiting)
    see(watches, environment(DEMO, version=14), deleted=True)
    assert FAR in queued(watches)["in turn"]


def test_who_waits_for_a_kind_looks_again_when_it_is_served() -> None:
    watches = watching(*WORLD, reached(FAR, "", 11, reason="KindNotServed"))
    watches.served(HTTP_ROUTE, True)
    assert queued(watches) == {}
    watches.served(HTTP_ROUTE, False)
    watches.served(HTTP_ROUTE, False)
    assert (queued(watches), watches.unserved) == ({}, {HTTP_ROUTE})
    watches.served(HTTP_ROUTE, True)
    assert (queued(watches), watches.unserved) == ({"in turn": {FAR}}, set())


def on_its_way(key: tuple[str, str], **metadata: Any) -> Object:
    return environment(key, **metadata) | {"status": {"conditions": [{"type": "Reconciling", "status": "True"}]}}


def moments(watches: Any) -> list[float]:
    """After how many seconds it is looked at what befalls the Deployment of WORLD."""
    watches.environments.seconds.clear()
    see(watches, deployment(version=11, available=0))
    return list(watches.environments.seconds)


@pytest.mark.parametrize(("number", "seconds"), [(0, 0.5), (100, 0.5), (300, 1.5), (1000, 5.0), (2000, 5.0)])
def test_of_many_that_are_rolled_out_each_is_looked_at_more_rarely(number: int, seconds: float) -> None:
    watches = watching(*WORLD, *(on_its_way(("team-b", f"e{each}")) for each in range(number)))
    assert moments(watches) == [seconds]
    assert queued(watches) == {"a moment later": {DEMO}}
    see(watches, deployment(version=12, of="other", available=0))  # what has to be put right waits for nobody
    assert queued(watches)["environments"] == {DEMO, OTHER}


def arrive(watches: Watches, key: tuple[str, str]) -> None:
    see(watches, environment(key, version=11))


def go(watches: Watches, key: tuple[str, str]) -> None:
    see(watches, on_its_way(key), deleted=True)


def be_missed(watches: Watches, key: tuple[str, str]) -> None:
    watches.missed({key})


def test_who_spoils_what_is_put_right_again_and_again_keeps_nobody_busy() -> None:
    times = [100.0, 100.1, 104.0, 109.9, 110.0, 110.1, 130.0]
    watches: Any = replace(watching(*WORLD), pace=Pace(clock=lambda: times[len(found)]))
    found: list[bool] = []
    while len(found) < len(times):
        watches.environments.added.clear()
        spoiled = deployment(version=20 + len(found))
        spoiled["metadata"]["labels"]["number"] = str(len(found))
        see(watches, spoiled)
        found.append(bool(watches.environments.added))
    assert found == [True, False, False, False, True, False, True]
    environments = watches.environments
    assert {*zip(environments.later, environments.seconds, environments.gives_way, strict=True)} == {(DEMO, 0.5, False)}


@pytest.mark.parametrize("end", [arrive, go, be_missed])
def test_who_has_arrived_or_is_gone_is_on_its_way_no_more(end: Callable[[Watches, tuple[str, str]], None]) -> None:
    fleet = [("team-b", f"e{number}") for number in range(400)]
    watches = watching(*WORLD, *map(on_its_way, fleet))
    for key in fleet:
        end(watches, key)
    assert moments(watches) == [0.5]


@pytest.mark.parametrize("obj", [environment(), tenant("a", "team-a"), blueprint()], ids=lambda obj: obj["kind"])
def test_what_is_told_late_of_one_that_is_gone_is_not_believed(obj: Object) -> None:
    watches = watching(*WORLD)
    see(watches, obj, deleted=True)
    before = queued(watches)
    see(watches, obj)
    assert queued(watches) == before
    stores: tuple[dict[Any, Object], ...] = (
        watches.resources.environments,
        watches.resources.tenants,
        watches.resources.classes,
    )
    assert obj["metadata"]["uid"] not in {each["metadata"]["uid"] for store in stores for each in store.values()}
