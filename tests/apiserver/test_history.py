"""Who changed what: people change an environment, its class and its tenant, and its history names them."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from airfield.api import meta
from airfield.cli.history import HEADERS
from airfield.kube import kinds
from clusters import kubectl
from operated_cluster import Json, Team, eventually

pytestmark = pytest.mark.apiserver

RECORD = meta.ANNOTATION_CHANGED_BY
APPLY = ("apply", "--server-side", "--force-conflicts", "-f-")


def as_person(team: Team, user: str, *arguments: str, text: str = "") -> str:
    """kubectl as somebody who may do everything."""
    return kubectl(team.site.cluster, f"--as={user}", "--as-group=system:masters", *arguments, text=text)


def manifest(team: Team, annotations: Mapping[str, str] | None = None, **spec: Any) -> str:
    metadata = {"name": "demo", "namespace": team.namespace, "annotations": dict(annotations or {})}
    body = {"apiVersion": meta.API_VERSION, "kind": "AirflowEnvironment", "metadata": metadata}
    return json.dumps({**body, "spec": team.environment_spec(**spec)})


async def live(team: Team) -> Json:
    found = await team.kube.get(team.environment())
    assert found is not None
    return found


def command(team: Team) -> str:
    """What `airfield history` prints."""
    return subprocess.run(
        [Path(sys.executable).parent / "airfield", "history", "demo", "-n", team.namespace],
        env={**os.environ, "KUBECONFIG": str(team.site.cluster.kubeconfig)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def is_told(team: Team, *expected: tuple[str, str | None, str]) -> Callable[[], Awaitable[list[Json]]]:
    """A condition: these are the cause, the person and the outcome of each revision, the newest first."""

    async def look() -> list[Json]:
        history: list[Json] = (await live(team)).get("status", {}).get("history", [])
        assert [(each["cause"], each.get("by"), each["outcome"]) for each in history] == [*expected], history
        return history

    return look


async def test_who_changed_what(team: Team) -> None:
    as_person(team, "alice", *APPLY, text=manifest(team))
    first = ("Environment", "alice", "Succeeded")
    (revision,) = await eventually(is_told(team, first), 60)
    assert (revision["version"], revision["dags"]) == (team.class_of()["defaults"]["version"], ["dags@image"])

    as_person(team, "bob", *APPLY, text=manifest(team, config={"core": {"parallelism": "7"}}))
    second = ("Environment", "bob", "Succeeded")
    await eventually(is_told(team, second, first), 60)

    refused: Json = {"version": "9.9.9", "config": {"core": {"parallelism": "7"}}}
    as_person(team, "carol", *APPLY, text=manifest(team, **refused))
    (revision, *_) = await eventually(is_told(team, ("Environment", "carol", "Refused"), second, first))
    assert (revision["reason"], "version" in revision) == ("VersionNotFound", False)
    assert "9.9.9" in revision["message"]
    as_person(team, "bob", *APPLY, text=manifest(team, config={"core": {"parallelism": "7"}}))
    past = [second, ("Environment", "carol", "Superseded"), second, first]
    await eventually(is_told(team, *past), 60)

    change = json.dumps({"spec": {"defaults": {"env": [{"name": "A", "value": "b"}]}}})
    as_person(team, "dan", "patch", "afclass", team.name, "--type=merge", f"--patch={change}")
    past = [("Class", "dan", "Succeeded"), *past]
    await eventually(is_told(team, *past), 60)
    change = json.dumps({"spec": {"labels": {"cost-centre": "4711"}}})
    as_person(team, "eve", "patch", "aftenant", team.name, "--type=merge", f"--patch={change}")
    past = [("Tenant", "eve", "Succeeded"), *past]
    await eventually(is_told(team, *past), 60)

    head, *rows = [re.split(" {3,}", line) for line in (await asyncio.to_thread(command, team)).splitlines()]
    assert head == list(HEADERS)
    assert [(row[0], row[2], row[3], row[6]) for row in rows] == [
        (str(len(past) - place), *entry) for place, entry in enumerate(past)
    ]

    notes = [each["note"] for each in await team.kube.list(kinds.EVENT, team.namespace)]
    assert any("revision 3 (environment, by carol) is refused; spec.version" in note for note in notes), notes
    assert any("revision 6 (tenant, by eve)" in note for note in notes), notes


async def test_nobody_is_named_on_somebodys_word(team: Team) -> None:
    async def named() -> str | None:
        annotations: dict[str, str] = (await live(team))["metadata"].get("annotations", {})
        return annotations.get(RECORD)

    as_person(team, "mallory", *APPLY, text=manifest(team, {RECORD: "alice"}))
    assert await named() == "1 mallory"
    space = f"--namespace={team.namespace}"
    for command in (("annotate", f"{RECORD}=alice", "--overwrite"), ("annotate", f"{RECORD}-"), ("label", "a=b")):
        as_person(team, "alice", command[0], "afenv/demo", space, *command[1:])
        assert await named() == "1 mallory", command
    as_person(
        team, "alice", "patch", "afenv", "demo", space, "--type=merge", '--patch={"metadata":{"annotations":null}}'
    )
    assert await named() == "1 mallory"
    await eventually(is_told(team, ("Environment", "mallory", "Succeeded")), 60)

    as_person(team, "alice", *APPLY, text=manifest(team))
    assert await named() == "1 mallory", "who changes nothing has changed nothing"
    settled = await team.settled_versions()
    as_person(team, "alice", *APPLY, text=manifest(team))
    assert await team.settled_versions() == settled, "what is applied again changes nothing"
