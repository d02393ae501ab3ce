from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airfield.kube.inventory import Inventory
from airfield.kube.kinds import CONFIG_MAP, Ref
from airfield.kube.ownership import digest, owned_digest

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = ("team-a", "demo")
Fields = dict[str, Any]


def entry(fields: Fields, *, manager: str = "airfield", operation: str = "Apply", subresource: str = "") -> Fields:
    result = {"manager": manager, "operation": operation, "fieldsV1": fields, "time": "2026-01-01T00:00:00Z"}
    return result | ({"subresource": subresource} if subresource else {})


def live(
    version: object = 1,
    *,
    name: str = "config",
    uid: str = "u1",
    environment: str | None = "demo",
    fields: Fields | None = None,
    **metadata: Any,
) -> Fields:
    """A ConfigMap as the API server gives it, of which we own `fields`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "namespace": "team-a",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": {"airfield.dev/environment": environment} if environment else {},
            "managedFields": [entry(fields or {"f:data": {"f:a": {}, "f:b": {}}})],
            **metadata,
        },
    }


def manifest(name: str = "config", **data: str) -> Fields:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "team-a", "name": name}, "data": data}


REF = Ref.of(manifest())
WANTED = manifest(a="1")
FOREIGN: Fields = {"f:data": {"f:a": {}}}  # someone took b from us


def applied_at(version: object) -> Inventory:
    inventory = Inventory()
    inventory.record_applied(KEY, live(version), digest(WANTED))
    assert not inventory.needs_apply(KEY, WANTED)
    return inventory


@pytest.mark.parametrize(
    ("entries", "same"),
    [
        ([entry({"f:data": {"f:b": {}, "f:a": {}}})], True),
        ([entry({"f:status": {}}, subresource="status"), entry({"f:data": {"f:a": {}, "f:b": {}}})], True),
        ([entry({"f:data": {"f:a": {}, "f:b": {}}}), entry({"f:x": {}}, manager="kubectl", operation="Update")], True),
        ([entry({"f:data": {"f:a": {}, "f:b": {}}}) | {"time": "2027-01-01T00:00:00Z"}], True),
        ([entry({"f:data": {"f:a": {}}})], False),
        ([entry({"f:data": {"f:a": {}, "f:b": {}}}, operation="Update")], False),
        ([entry({"f:data": {"f:a": {}, "f:b": {}}}, manager="other")], False),
        ([], False),
    ],
)
def test_owned_digest(entries: list[Fields], same: bool) -> None:
    reference = owned_digest(live())
    assert (owned_digest(live(managedFields=entries)) == reference) is same


@pytest.mark.parametrize("metadata", [{}, {"managedFields": None}, {"managedFields": [entry({}, manager="other")]}])
def test_owned_digest_is_empty_when_nothing_is_ours(metadata: Fields) -> None:
    assert owned_digest({"metadata": metadata}) == ""


def test_what_is_unknown_or_missing_or_wanted_differently_needs_an_apply() -> None:
    inventory = Inventory()
    assert inventory.needs_apply(KEY, WANTED)
    inventory.observe(live())  # known, but of unknown history, as after a restart
    assert inventory.needs_apply(KEY, WANTED)
    inventory.record_applied(KEY, live(), digest(WANTED))
    assert not inventory.needs_apply(KEY, WANTED)
    assert inventory.needs_apply(KEY, manifest(a="2"))
    assert not inventory.drifted(KEY, manifest(a="2")), "it is only wanted differently"
    assert inventory.needs_apply(KEY, manifest("another", a="1"))
    assert inventory.applied(KEY, REF) == (digest(WANTED), owned_digest(live()))


@pytest.mark.parametrize(
    ("events", "needs"),
    [
        ([("MODIFIED", live(11))], False),
        ([("MODIFIED", live(11, fields=FOREIGN))], True),
        ([("MODIFIED", live(11, fields=FOREIGN)), ("MODIFIED", live(12))], False),
        # Older than our own write: the foreign change that it overwrote.
        ([("MODIFIED", live(9, fields=FOREIGN))], False),
        ([("DELETED", live(11))], True),
        ([("DELETED", live(11)), ("ADDED", live(12, uid="u2", managedFields=[]))], True),
        # Of the object that had the name before.
        ([("MODIFIED", live(8, uid="u0", managedFields=[])), ("DELETED", live(9, uid="u0"))], False),
        # It has left us: the label is gone.
        ([("MODIFIED", live(11, environment=None))], True),
        ([("MODIFIED", live(11, environment="other"))], True),
        ([("MODIFIED", live("b", fields=FOREIGN))], True),
    ],
)
def test_events_after_an_apply(events: list[tuple[str, Fields]], needs: bool) -> None:
    inventory = applied_at(10)
    for kind, obj in events:
        (inventory.forget if kind == "DELETED" else inventory.observe)(obj)
    assert inventory.needs_apply(KEY, WANTED) is needs


def test_versions_that_cannot_be_compared_are_accepted() -> None:
    inventory = applied_at("z")
    inventory.observe(live("a", fields=FOREIGN))
    assert inventory.needs_apply(KEY, WANTED)


def test_the_answer_to_an_apply_does_not_bring_back_what_was_deleted_meanwhile() -> None:
    inventory = applied_at(10)
    inventory.forget(live(21))
    inventory.record_applied(KEY, live(20), digest(WANTED))
    assert inventory.needs_apply(KEY, WANTED)
    assert inventory.children(KEY) == {}
    inventory.record_applied(KEY, live(22, uid="u2"), digest(WANTED))
    assert not inventory.needs_apply(KEY, WANTED)


def test_the_answer_to_an_apply_does_not_hide_what_somebody_else_did_after_it() -> None:
    inventory = applied_at(10)
    inventory.observe(live(21, fields=FOREIGN))
    inventory.record_applied(KEY, live(20), digest(WANTED))
    assert inventory.needs_apply(KEY, WANTED)


def test_an_object_that_loses_and_regains_its_label_is_ours_again() -> None:
    inventory = applied_at(10)
    inventory.forget(live(11))  # what a watch with a label selector says
    inventory.observe(live(12))
    assert REF in inventory.children(KEY)


def test_children() -> None:
    inventory = Inventory()
    assert inventory.observe(live(deletionTimestamp="2026-01-01T00:00:00Z")) == KEY
    assert inventory.observe(live(name="theirs", environment=None)) is None
    (child,) = inventory.children(KEY).values()
    assert (child.ref, child.uid, child.owned, child.deleting) == (REF, "u1", owned_digest(live()), True)
    assert child.labels == {"airfield.dev/environment": "demo"}
    assert child.state.ready
    assert inventory.keys() == {KEY}


def test_a_list_repairs_what_watches_have_missed() -> None:
    inventory = applied_at(10)
    inventory.record_applied(KEY, live(11, name="gone", uid="u2"), digest(manifest("gone")))
    inventory.observe(live(12, name="elsewhere", uid="u3", environment="other"))
    inventory.observe(live(21, name="newer", uid="u5"))
    secret = {**live(12, name="secret", uid="u6"), "kind": "Secret"}
    inventory.observe(secret)
    assert inventory.retain(CONFIG_MAP, "team-b", [], "20") == set()
    assert inventory.retain(CONFIG_MAP, "team-a", {REF}, "20") == {KEY, ("team-a", "other")}
    assert {ref.name for ref in inventory.children(KEY)} == {"config", "newer", "secret"}
    assert not inventory.needs_apply(KEY, WANTED)
    assert inventory.needs_apply(KEY, manifest("gone"))
    assert inventory.keys() == {KEY}


def test_a_revision_is_never_given_twice() -> None:
    """A pass that rests on one must not be taken for done after all its objects were removed and came back."""
    inventory = Inventory()
    seen = set()
    for uid in ("u1", "u2"):
        inventory.observe(live(10, uid=uid))
        seen.add(inventory.revision(KEY))
        inventory.forget(live(11, uid=uid))
        seen.add(inventory.revision(KEY))
    assert len(seen) == 3, "two, and one for all times at which there is nothing"


def test_a_revision_counts_all_but_states_and_pods() -> None:
    inventory = applied_at(10)

    def changed(action: Callable[[], object]) -> bool:
        before = inventory.revision(KEY)
        action()
        return inventory.revision(KEY) != before

    pod = {**live(11, name="pod", uid="u2"), "kind": "Pod"}

    def claim(version: int, **rest: object) -> dict[str, Any]:
        return {**live(version, name="claim", uid="u3"), "kind": "PersistentVolumeClaim", **rest}

    assert not changed(lambda: inventory.observe(live(11)))
    assert changed(lambda: inventory.observe(live(12, fields=FOREIGN)))
    assert changed(lambda: inventory.observe(live(13, name="new", uid="u4")))
    assert not changed(lambda: inventory.observe(pod))
    assert changed(lambda: inventory.observe(claim(11)))
    assert not changed(lambda: inventory.observe(claim(12, status={"phase": "Bound"})))
    assert changed(lambda: inventory.observe(claim(13, spec={"storageClassName": "fast"})))
    assert not changed(lambda: inventory.observe(claim(13, spec={"storageClassName": "what no server would send"})))
    assert changed(lambda: inventory.forget(live(14)))
    assert not changed(lambda: inventory.forget(pod))


def test_a_new_process_recognises_what_the_last_one_applied() -> None:
    last = applied_at(10)
    fingerprint = last.fingerprint(KEY, [REF])
    assert fingerprint
    new = Inventory()
    new.observe(live(11))
    assert not new.recognise(KEY, [manifest(a="2")], fingerprint), "something else is wanted now"
    assert not new.recognise(KEY, [WANTED, manifest("more")], fingerprint)
    assert new.needs_apply(KEY, WANTED)
    assert new.recognise(KEY, [WANTED], fingerprint)
    assert not new.needs_apply(KEY, WANTED)
    assert new.fingerprint(KEY, [REF]) == fingerprint
    touched = Inventory()
    touched.observe(live(11, fields=FOREIGN))
    assert not touched.recognise(KEY, [WANTED], fingerprint)
    assert touched.fingerprint(KEY, [REF]) == ""


def test_a_fingerprint_is_of_what_is_there_now() -> None:
    inventory = applied_at(10)
    assert inventory.fingerprint(KEY, [REF, Ref.of(manifest("more"))]) == ""
    inventory.observe(live(11, fields=FOREIGN))
    assert inventory.fingerprint(KEY, [REF]) == ""


def test_an_environment_that_is_gone_leaves_what_was_orphaned() -> None:
    inventory = applied_at(10)
    inventory.let_go(KEY)
    assert [ref.name for ref in inventory.children(KEY)] == ["config"]
    assert inventory.needs_apply(KEY, WANTED)
    inventory.forget(live(11))
    assert (inventory.keys(), inventory._applied, inventory._home) == (set(), {}, {})


def test_objects_that_are_gone_leave_nothing_behind() -> None:
    for end in ("delete", "relist"):
        inventory = applied_at(10)
        match end:
            case "delete":
                inventory.forget(live(11))
            case "relist":
                inventory.retain(CONFIG_MAP, "", [], "20")
        assert (inventory.keys(), inventory._applied, inventory._home) == (set(), {}, {})


def test_memory_of_deletions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airfield.kube.inventory.TOMBSTONES", 3)
    inventory = Inventory()
    for number in range(10):
        inventory.forget(live(number, uid=f"u{number}"))
    assert list(inventory._deleted) == ["u7", "u8", "u9"]
