"""Whose a namespace is, and which labels it has."""

from collections.abc import Mapping
from typing import Any

import pytest

from airfield.kube.namespaces import namespace_of
from airfield.kube.resources import Resources
from airfield.tenant.namespaces import labelled, refused, stamps, to_stamp
from builders import tenant

Object = dict[str, Any]
SYSTEM = "airfield-system"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def listing(name: str, *namespaces: str, born: int = 1, **metadata: Any) -> Object:
    metadata = {"name": name, "uid": name, "creationTimestamp": f"2026-01-0{born}T00:00:00Z", **metadata}
    return {"metadata": metadata, "spec": {"namespaces": [{"name": each} for each in namespaces]}}


def namespace(name: str, labels: Mapping[str, str] | None = None, owned: tuple[str, ...] = (), **more: Any) -> Object:
    fields: Object = {"f:metadata": {"f:labels": {f"f:{label}": {} for label in owned}}}
    entry = {"manager": "airfield", "operation": "Apply", "fieldsV1": fields}
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7", "labels": dict(labels or {}), **more}
    return {"metadata": {**metadata, "managedFields": [entry]}}


def world(*tenants: Object, namespaces: tuple[Object, ...] = ()) -> Resources:
    found = Resources(reserved=frozenset({SYSTEM}))
    found.tenants = {each["metadata"]["name"]: each for each in tenants}
    for each in namespaces:
        found.observe_namespace(each)
    return found


def holder(resources: Resources, name: str = "shared") -> str | None:
    found = resources.holder(name)
    return found["metadata"]["name"] if found else None


@pytest.mark.parametrize(
    ("tenants", "label", "expected"),
    [
        ((), None, None),
        ((), "a", None),
        ((listing("a", "shared"),), None, "a"),
        ((listing("a", "other"),), "a", None),
        ((listing("a", "shared", born=2), listing("b", "shared", born=1)), None, "b"),
        ((listing("b", "shared"), listing("a", "shared")), None, "a"),
        # Whoever comes later takes nothing away, however old it is itself.
        ((listing("a", "shared", born=2), listing("b", "shared", born=1)), "a", "a"),
        # A label of somebody who does not list it counts for nothing.
        ((listing("a", "shared", born=2), listing("b", "shared", born=1), listing("c")), "c", "b"),
        # One that is being deleted has it until it is gone.
        ((listing("a", "shared", deletionTimestamp="x"), listing("b", "shared", born=2)), None, "a"),
    ],
)
def test_holder(tenants: tuple[Object, ...], label: str | None, expected: str | None) -> None:
    labels = {"airfield.dev/tenant": label} if label else {}
    assert holder(world(*tenants, namespaces=(namespace("shared", labels),))) == expected
    if label is None:
        assert holder(world(*tenants)) == expected


def test_what_is_not_the_tenants() -> None:
    resources = world(
        listing("a", "mine", "shared", SYSTEM, "leaving", "default", "kube-x"),
        listing("b", "shared", born=2),
        namespaces=(namespace("leaving", deletionTimestamp="x"),),
    )
    found = {name: refused(name, "a", resources) for name in ("mine", "shared", SYSTEM, "leaving", "default", "kube-x")}
    reasons = {name: problem.reason if problem else "" for name, problem in found.items()}
    expected = {"mine": "", "shared": "", "leaving": "NamespaceDeleted"}
    expected |= dict.fromkeys((SYSTEM, "default", "kube-x"), "NamespaceReserved")
    assert reasons == expected
    conflict = refused("shared", "b", resources)
    assert conflict is not None
    assert (conflict.reason, "'shared' belongs to tenant 'a'" in conflict.message) == ("NamespaceConflict", True)
    assert holder(resources, SYSTEM) is None
    assert resources.held("a", {"mine", "shared", SYSTEM, "unknown"}) == {"mine", "shared"}


def test_labels_of_a_namespace_are_the_tenants_and_never_looser() -> None:
    team = tenant("a", labels={"cost-centre": "4711", "pod-security.kubernetes.io/enforce": "privileged"})
    assert stamps(team) == {**RESTRICTED, "cost-centre": "4711", "airfield.dev/tenant": "a"}


WANTED = {**RESTRICTED, "airfield.dev/tenant": "a"}


@pytest.mark.parametrize(
    ("labels", "owned", "expected"),
    [
        ({}, (), True),
        (WANTED, (), True),  # somebody else's: they could go with them
        (WANTED, tuple(WANTED), False),
        ({**WANTED, "theirs": "x"}, tuple(WANTED), False),
        ({**WANTED, "airfield.dev/tenant": "b"}, tuple(WANTED), True),
        (WANTED, (*WANTED, "cost-centre"), True),  # ours, and not wanted any more
    ],
)
def test_when_a_namespace_is_labelled(labels: Mapping[str, str], owned: tuple[str, ...], expected: bool) -> None:
    known = namespace_of(namespace("x", labels, owned))
    assert to_stamp(known, WANTED) is expected
    assert labelled("x", known, WANTED)["metadata"] == {"name": "x", "uid": "uid-x", "labels": WANTED}


def test_what_was_labelled_by_us() -> None:
    mine = namespace("mine", {"airfield.dev/tenant": "a"}, ("airfield.dev/tenant",))
    theirs = namespace("theirs", {"airfield.dev/tenant": "a"})
    resources = world(namespaces=(mine, theirs, namespace("other")))
    assert resources.stamped("a") == {"mine"}
    resources.observe_namespace(namespace("mine", resourceVersion="6"))
    assert resources.stamped("a") == {"mine"}, "an older view"
    resources.observe_namespace(namespace("mine", resourceVersion="8"))
    assert resources.stamped("a") == set()
