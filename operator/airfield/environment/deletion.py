"""What goes, and what stays, when an environment is deleted. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from airfield.api import meta
from airfield.api.environment import AirflowEnvironment, DeletionPolicy
from airfield.api.environment_class import AirflowEnvironmentClass, DatabaseServer
from airfield.environment.admit import ALLOWED_KINDS, DATA_KINDS
from airfield.environment.layers import merge
from airfield.environment.resolve import Unresolved, layers
from airfield.environment.rollout import is_derived
from airfield.environment.secrets import Key
from airfield.kube.inventory import Child
from airfield.kube.kinds import Ref

ORDER: Final = timedelta(minutes=3)
"""So long workloads go in order; after that all that are left go together, since some pod does not end."""
PATIENCE: Final = timedelta(minutes=10)
"""How long a deletion waits for pods that do not end and for a database server that does not answer."""

RUNNING: Final = frozenset({"Deployment", "StatefulSet", "Job", "Pod"})


def policy(environment: AirflowEnvironment, blueprint: AirflowEnvironmentClass | None) -> DeletionPolicy:
    """The deletion policy that holds: as it is resolved; where that cannot be, the environment's own, else Orphan."""
    own = environment.spec.deletion_policy or DeletionPolicy.ORPHAN
    if blueprint is None:
        return own
    try:
        return DeletionPolicy(merge(layers(environment, blueprint)).settings["deletionPolicy"])
    except Unresolved:
        return own


def server(environment: AirflowEnvironment, blueprint: AirflowEnvironmentClass | None) -> DatabaseServer | None:
    """The database server that the environment would get from its class now; None when it gets none."""
    if blueprint is None:
        return None
    try:
        database = merge(layers(environment, blueprint)).settings.get("database", {})
    except Unresolved:
        return None
    if "server" not in database:
        return None
    name = database["server"].get("name")
    return next((server for server in blueprint.spec.database_servers if name in {None, server.name}), None)


def workloads(children: Mapping[Ref, Child], *, in_order: bool = True) -> list[Child]:
    """What goes in any case: everything but data and pods, which go with what runs them. Nothing runs task pods.

    One after the other, since to end well takes others: tasks report to the API server, and everybody needs the
    database, the Services and the rules of the network.
    """
    running = pods(children)
    turn = _turn(running[0]) if running and in_order else 2
    return [
        child
        for _, child in sorted(children.items())
        if not child.deleting and (_task(child) or (_ours(child) and not _data(child))) and _turn(child) <= turn
    ]


def data(children: Mapping[Ref, Child], name: str) -> list[Child]:
    """What goes only where the policy says Delete: volumes and generated Secrets of the environment called `name`.

    Labels alone prove nothing here: somebody's copy of a Secret, made as a backup, has them too.
    """
    secrets = {key.secret(name) for key in Key}
    return [
        child
        for _, child in sorted(children.items())
        if not child.deleting
        and _ours(child)
        and _data(child)
        and (child.ref.name in secrets if child.ref.kind == "Secret" else child.owned)
    ]


def pods(children: Mapping[Ref, Child]) -> list[Child]:
    """Pods that still run, task pods included; those first that the others wait for."""
    found = [child for ref, child in sorted(children.items()) if ref.kind == "Pod"]
    return sorted(found, key=_turn)


def _turn(child: Child) -> int:
    """When it goes: what runs, the API server, the rest."""
    if child.ref.kind not in RUNNING or _database(child):
        return 2
    return 1 if child.labels.get(meta.LABEL_COMPONENT) == "api-server" else 0


def _database(child: Child) -> bool:
    return "database" in {child.labels.get(meta.LABEL_COMPONENT), child.labels.get(meta.LABEL_PHASE)}


def pause(lasted: timedelta) -> float:
    """Seconds until the next look at pods that end, at the latest when something else is to be done about them.

    Watches tell sooner; a thousand environments may end at a time.
    """
    seconds = min(max(lasted.total_seconds() / 4, 5.0), 30.0)
    ends = [(limit - lasted).total_seconds() + 0.1 for limit in (ORDER, PATIENCE) if limit >= lasted]
    return min([seconds, *ends])


def _ours(child: Child) -> bool:
    known = (child.ref.api_version, child.ref.kind) in ALLOWED_KINDS or child.ref.kind == "Secret"
    return known and (
        child.labels.get(meta.LABEL_MANAGED_BY) == meta.MANAGED_BY or child.ref.kind == "PersistentVolumeClaim"
    )


def _task(child: Child) -> bool:
    """Whether it is a pod of the KubernetesExecutor: without a scheduler nobody would ever remove it."""
    return child.ref.kind == "Pod" and child.labels.get(meta.LABEL_COMPONENT) == "worker"


def _data(child: Child) -> bool:
    return child.ref.kind in DATA_KINDS and not is_derived(child)
