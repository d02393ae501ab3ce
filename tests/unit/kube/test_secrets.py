"""Which versions Secrets have, and who reads them."""

from typing import Any

import pytest

from airfield.kube.secrets import SecretVersions

DEMO, OTHER = ("team-a", "demo"), ("team-a", "other")


def secret(name: str, version: str, namespace: str = "team-a") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name, "resourceVersion": version}}


def filled(*secrets: dict[str, Any]) -> SecretVersions:
    found = SecretVersions()
    for each in secrets:
        found.observe(each)
    found.retain("", [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in secrets], "99")
    return found


@pytest.mark.parametrize(
    ("read", "unchanged"),
    [
        ({}, True),
        ({"a": "1"}, True),
        ({"a": "1", "b": "2"}, True),
        ({"a": "2"}, False),
        ({"a": ""}, False),  # came into being
        ({"c": ""}, True),
        ({"c": "1"}, False),  # is gone
    ],
)
def test_what_was_read_is_what_is_there(read: dict[str, str], unchanged: bool) -> None:
    assert filled(secret("a", "1"), secret("b", "2"), secret("c", "1", "team-b")).unchanged("team-a", read) == unchanged


def test_before_it_is_filled_it_knows_nothing() -> None:
    versions = SecretVersions()
    versions.observe(secret("a", "1"))
    assert not versions.unchanged("team-a", {"a": "1"})
    assert not versions.absent("team-a", "b")
    versions.retain("", [("team-a", "a")], "9")
    assert versions.unchanged("team-a", {"a": "1"})
    assert versions.absent("team-a", "b")
    assert not versions.absent("team-a", "a")


def test_a_list_removes_what_is_older_than_it() -> None:
    versions = filled(secret("a", "1"), secret("b", "2"))
    versions.observe(secret("new", "20"))
    versions.observe(secret("far", "3", "team-b"))
    versions.read_by(DEMO, ["b", "new"])
    assert versions.retain("team-a", [("team-a", "a")], "10") == {DEMO}
    assert versions.unchanged("team-a", {"a": "1", "b": "", "new": "20"})
    assert versions.unchanged("team-b", {"far": "3"})


def test_readers() -> None:
    versions = filled(secret("a", "1"))
    versions.read_by(DEMO, ["a", "b"])
    versions.read_by(OTHER, ["a"])
    assert versions.observe(secret("a", "2")) == {DEMO, OTHER}
    assert versions.knows(("team-a", "a"), "2")
    assert not versions.knows(("team-a", "a"), "3")
    assert versions.forget(secret("b", "1")) == {DEMO}
    versions.read_by(DEMO, ["b"])
    assert versions.forget(secret("a", "2")) == {OTHER}
    versions.read_by(DEMO, [])
    versions.read_by(OTHER, [])
    assert (versions._readers, versions._read) == ({}, {})
