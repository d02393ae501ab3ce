"""What an environment has come to, without what differs from one making of it to the next.

Random values (keys, passwords, uids, digests) are numbered in the order in which they are met, so that two states are
equal exactly when the same values are equal to each other in both.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airfield.api import meta
from airfield.kube import kinds
from airfield.kube.kinds import Ref
from operated_cluster import Team, decoded
from postgres_server import login

Json = dict[str, Any]

_VOLATILE = frozenset(
    {
        *("creationTimestamp", "deletionTimestamp", "lastTransitionTime", "generation", "resourceVersion"),
        *("started", "ended"),
        *("clusterIP", "clusterIPs", "nodeName", "nodePort", "healthCheckNodePort", "volumeName", "managedFields"),
    }
)
_GENERATED = ("password", "fernet-key", "secret-key", "private.pem", "jwks.json", "connection")
_RANDOM = re.compile(
    r"(?<![0-9a-zA-Z])[0-9a-f]{8}-[0-9a-f-]{27}(?![0-9a-zA-Z])|(?<![0-9a-zA-Z])[0-9a-f]{8,64}(?![0-9a-zA-Z])"
)
_ACCEPTED = "airfield.dev/accept-key-loss"
"""Names a key that is no more."""
_ROLLOUTS = "deployment.kubernetes.io/revision"
SLOWLY = 0.3
"""Seconds between two looks at a whole state."""


@dataclass
class _Names:
    """What stands for values that are of one making only."""

    plain: dict[str, str]
    """Texts and what is said in their place."""
    random: dict[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        for value, name in self.plain.items():
            text = text.replace(value, name)
        return _RANDOM.sub(lambda found: self.random.setdefault(found[0], f"<{len(self.random)}>"), text)

    def document(self, found: Any) -> Any:
        if isinstance(found, Mapping):
            return {self.text(k): self.document(v) for k, v in sorted(found.items()) if k not in _VOLATILE}
        if isinstance(found, list):
            return [self.document(item) for item in found]
        return self.text(found) if isinstance(found, str) else found


async def state_of(team: Team, name: str = "demo", *, history: bool = True) -> dict[str, Any]:
    """Everything of an environment, by what it is called; {} when nothing is left of it.

    With `history`, it tells how it came to be: how often each Deployment was rolled out, Jobs that migrated, revisions.
    """
    environment = await team.kube.get(team.environment(name))
    objects = {ref: obj for ref, obj in (await team.objects(name)).items() if history or ref.kind != "Job"}
    names = _Names({team.name.replace("-", "_"): "TEAM", team.name: "TEAM"})
    secrets = [obj for ref, obj in sorted(objects.items()) if ref.kind == "Secret"]
    for number, secret in enumerate(secrets):
        for key, value in decoded(secret).items():
            if key in _GENERATED:
                names.plain.setdefault(value, f"<{key} {number}>")
    found: dict[str, Any] = {}
    for ref, obj in sorted(objects.items()):
        if ref.kind == "Pod":
            continue
        what = f"{ref.kind} {names.text(ref.name)}"
        found[what] = names.document(_boiled_down(obj, rollouts=history))
    if environment is not None:
        found["environment"] = names.document(_observed(environment, history=history))
    found |= {f"database {names.text(each)}": names.document(about) for each, about in _databases(team, name).items()}
    return found


async def is_as_ready(team: Team, state: Json, name: str = "demo") -> bool:
    """Whether an environment is there, and Ready or not, as in a state.

    As long as it is not, all else need not be looked at, which is sixteen lists and a login.
    """
    live, wanted = await team.kube.get(team.environment(name)), state.get("environment")
    return _readiness(live) == _readiness(wanted)


def _readiness(resource: Json | None) -> str | None:
    if resource is None:
        return None
    conditions = resource.get("status", {}).get("conditions", [])
    return next((str(each["status"]) for each in conditions if each["type"] == "Ready"), "")


async def state_of_class(team: Team) -> Any:
    """A class, likewise."""
    live = await team.kube.get(Ref("airfield.dev/v1alpha1", "AirflowEnvironmentClass", "", team.name))
    assert live is not None
    return _Names({team.name: "TEAM"}).document(_observed(live))


async def state_of_tenant(team: Team) -> Any:
    """A tenant and its namespaces, likewise."""
    live = await team.kube.get(Ref("airfield.dev/v1alpha1", "AirflowTenant", "", team.name))
    names = _Names({team.name: "TEAM"})
    found = {} if live is None else {"tenant": names.document(_observed(live))}
    for namespace in await team.kube.list(kinds.NAMESPACE):
        if namespace["metadata"]["name"].startswith(team.name):
            about = names.document(_boiled_down(namespace, rollouts=False))
            found[f"namespace {names.text(namespace['metadata']['name'])}"] = about
    return found


def _boiled_down(obj: Json, *, rollouts: bool) -> Json:
    metadata = obj["metadata"]
    annotations = metadata.get("annotations", {})
    # Most annotations under kubernetes.io are controllers' notes to themselves.
    kept = {k: v for k, v in annotations.items() if "kubernetes.io/" not in k or (rollouts and k == _ROLLOUTS)}
    kept.pop(meta.ANNOTATION_GENERATED, None)  # keyed with the Fernet key of that time, which may be another by now
    ours = [
        {key: entry.get(key) for key in ("manager", "operation", "fieldsV1")}
        for entry in metadata.get("managedFields", [])
        if entry["manager"] == "airfield" and "subresource" not in entry
    ]
    found = {key: value for key, value in obj.items() if key != "status"}
    found |= {"metadata": {**metadata, "annotations": kept, "deleting": "deletionTimestamp" in metadata}, "ours": ours}
    if obj["kind"] == "Secret":
        found["data"] = decoded(obj)
    if obj["kind"] == "Job":
        found |= {"succeeded": obj.get("status", {}).get("succeeded")}
    return found


def _observed(resource: Json, *, history: bool = True) -> Json:
    """One of our own resources: what its status says, and whether it says it of the latest wish."""
    metadata, status = resource["metadata"], {**resource.get("status", {})}
    passing = {_ACCEPTED}
    if not history:
        status.pop("history", None)
        passing.add(meta.ANNOTATION_CHANGED_BY)
    generation = metadata["generation"]
    conditions = [
        {**condition, "observedGeneration": generation - condition["observedGeneration"]}
        for condition in status.get("conditions", [])
    ]
    behind = generation - status.get("observedGeneration", -1)
    return {
        "spec": resource["spec"],
        "metadata": {
            "labels": metadata.get("labels"),
            "annotations": {k: v for k, v in metadata.get("annotations", {}).items() if k not in passing} or None,
            "finalizers": metadata.get("finalizers"),
        },
        "status": {**status, "observedGeneration": behind, "conditions": conditions},
    }


def _databases(team: Team, name: str) -> dict[str, Any]:
    """Databases and roles of an environment, and whose the databases say that they are."""
    part = f"{team.namespace}_{name}".replace("-", "_")
    with login(team.site.postgres.superuser) as connection:
        databases = connection.execute(
            "SELECT datname, shobj_description(oid, 'pg_database'), datdba::regrole::text, datallowconn, datistemplate"
            " FROM pg_database WHERE strpos(datname, %s) > 0",
            [part],
        ).fetchall()
        roles = connection.execute(
            "SELECT rolname, rolcanlogin, rolcreatedb, rolcreaterole, rolinherit FROM pg_roles"
            " WHERE strpos(rolname, %s) > 0",
            [part],
        ).fetchall()
    found: dict[str, Any] = {f"role {role}": list(about) for role, *about in roles}
    for database, comment, *about in databases:
        found[database] = [json.loads(comment or "null"), *about]
    return found


def difference(found: Any, wanted: Any, where: str = "") -> list[str]:
    """What is not as wanted, one line for each place."""
    if found == wanted:
        return []
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        lines = []
        for key in sorted({*found, *wanted}):
            if key not in found:
                lines.append(f"{where}/{key}: missing")
            elif key not in wanted:
                lines.append(f"{where}/{key}: not wanted: {str(found[key])[:200]}")
            else:
                lines += difference(found[key], wanted[key], f"{where}/{key}")
        return lines
    if isinstance(found, list) and isinstance(wanted, list):
        return difference(_keyed(found), _keyed(wanted), where)
    return [f"{where}: {str(found)[:300]!r}, not {str(wanted)[:300]!r}"]


def _keyed(items: list[Any]) -> dict[str, Any]:
    """Conditions by their type, other items by their place."""
    return {
        str(item["type"]) if isinstance(item, Mapping) and "type" in item else f"{n:03}": item
        for n, item in enumerate(items)
    }
