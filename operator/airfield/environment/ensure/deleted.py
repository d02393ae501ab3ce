"""The end of an environment: workloads, then data where the policy says so, then the finalizer; never the other way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from airfield.api import meta
from airfield.api.environment import AirflowEnvironment, DeletionPolicy
from airfield.api.environment_class import AirflowEnvironmentClass, DatabaseServer
from airfield.environment import deletion
from airfield.environment.ensure.database import connect_admin
from airfield.environment.ensure.run import Doors
from airfield.environment.outcome import Done, Outcome, Wait
from airfield.environment.reasons import Reason
from airfield.kube.applier import few_at_a_time
from airfield.kube.errors import ApiError
from airfield.kube.inventory import Child
from airfield.kube.kinds import PERSISTENT_VOLUME_CLAIM, POD, SECRET, Ref
from airfield.postgres.errors import DatabaseError
from airfield.postgres.mark import Mark
from airfield.postgres.names import database_name, role_name
from airfield.postgres.server import Server

log = logging.getLogger(__name__)


@dataclass
class Farewell:
    """One look at an environment that is being deleted."""

    doors: Doors
    environment: AirflowEnvironment
    blueprint: AirflowEnvironmentClass | None
    since: datetime
    """When this operator first looked: while there was none, nobody waited for anything."""

    @property
    def key(self) -> tuple[str, str]:
        return self.environment.metadata.namespace, self.environment.metadata.name

    @property
    def children(self) -> Mapping[Ref, Child]:
        return self.doors.inventory.children(self.key)

    @property
    def lasted(self) -> timedelta:
        """How long the deletion has been worked on."""
        return self.doors.clock() - self.since

    @property
    def late(self) -> bool:
        """Whether this look may be the last one, whatever it finds."""
        return self.lasted > deletion.PATIENCE


async def ensure_deleted(farewell: Farewell) -> Outcome:
    """Done when nothing is left that the policy wants gone; in the end even if something is left."""
    steps = [_end_workloads]
    if deletion.policy(farewell.environment, farewell.blueprint) is DeletionPolicy.DELETE:
        steps += [_drop_database, _delete_data]
    for step in steps:
        outcome = await _tried(step, farewell)
        if not isinstance(outcome, Done):
            if not farewell.late:
                return outcome
            log.error("given up after %s: %s", deletion.PATIENCE, outcome.message)
    return Done("everything is gone" if len(steps) > 1 else "database, volumes and keys are kept: the policy is Orphan")


async def _tried(step: Callable[[Farewell], Awaitable[Outcome]], farewell: Farewell) -> Outcome:
    """What a step comes to; a refusal, of the database or of the API server, is something to wait for."""
    try:
        return await step(farewell)
    except DatabaseError as error:
        return Wait(Reason.DELETING, f"the database cannot be dropped: {error.message}", after=10)
    except ApiError as error:
        if error.transient:
            raise
        return Wait(Reason.DELETING, f"the API server refuses: {error.message}", after=10)


async def _end_workloads(farewell: Farewell) -> Outcome:
    if farewell.late or not await _still_runs(farewell):
        await _relist(farewell)
    children = farewell.children  # as they are now: what ends meanwhile the next pass will see
    await _delete(farewell, deletion.workloads(children, in_order=farewell.lasted <= deletion.ORDER))
    running = deletion.pods(children)
    if not running:
        return Done()
    names = ", ".join(pod.ref.name for pod in running[:5])
    return Wait(
        Reason.DELETING, f"waiting for {len(running)} pods to end: {names}", after=deletion.pause(farewell.lasted)
    )


async def _delete_data(farewell: Farewell) -> Outcome:
    await _delete(farewell, deletion.data(farewell.children, farewell.key[1]))
    return Done()


async def _still_runs(farewell: Farewell) -> bool:
    """Whether a pod that the next step waits for is there, whatever watches say; no list: many may wait at a time."""
    pods = deletion.pods(farewell.children)
    return bool(pods) and await farewell.doors.kube.get(pods[0].ref) is not None


async def _relist(farewell: Farewell) -> None:
    """The last look must not depend on watches: what the inventory missed would be left behind for ever."""
    selector = f"{meta.LABEL_ENVIRONMENT}={farewell.key[1]}"
    kube, namespace, before = farewell.doors.kube, farewell.key[0], dict(farewell.children)
    found = await asyncio.gather(
        *(kube.list(kind, namespace, selector) for kind in (SECRET, PERSISTENT_VOLUME_CLAIM, POD))
    )
    for objects in found:
        for obj in objects:
            farewell.doors.inventory.observe(obj)
    present = {Ref.of(obj) for objects in found for obj in objects}
    for ref, child in before.items():
        listed = ref.kind in {"Secret", "PersistentVolumeClaim", "Pod"}
        if listed and ref not in present and farewell.children.get(ref) is child:  # what watches told since stays
            farewell.doors.inventory.gone(ref)


async def _delete(farewell: Farewell, children: list[Child]) -> None:
    async def one(child: Child) -> None:
        if not await farewell.doors.kube.delete(child.ref, uid=child.uid):
            farewell.doors.inventory.gone(child.ref)

    for result in await few_at_a_time(partial(one, child) for child in children):
        if result is not None:
            raise result


async def _drop_database(farewell: Farewell) -> Outcome:
    """Drop role and database on a server; an embedded database goes with its volume, an external one is not ours."""
    server = _server(farewell)
    if not isinstance(server, DatabaseServer):
        return server
    admin = await connect_admin(farewell.doors, server)
    if not isinstance(admin, Server):
        return admin
    names = farewell.key
    mine = Mark(environment="/".join(names), cluster=farewell.doors.cluster, schema="")
    database, role = database_name(*names), role_name(*names)
    async with admin.in_one_session(f"looking for database {database}") as door:
        facts = await door.facts(database, role)
        if facts.exists and not mine.same_owner(facts.mark):
            log.info("database %s is not this environment's and stays", database)
            return Done()
        await door.drop_database(database, role, only_if=mine.same_owner)
    log.info("dropped database %s", database)
    return Done()


def _server(farewell: Farewell) -> DatabaseServer | Outcome:
    """The server that holds the database, as far as status and class still tell; Done when none does."""
    status = farewell.environment.status
    database = status.database if status else None
    chosen = deletion.server(farewell.environment, farewell.blueprint)
    if database is None:
        return chosen or Done()
    if database.mode != "server":
        return Done()
    servers = farewell.blueprint.spec.database_servers if farewell.blueprint else ()
    holders = [s for s in servers if s.host == database.host and database.port in {None, s.port}]
    if chosen in holders:
        return chosen
    if holders:
        return holders[0]
    return Wait(
        Reason.DELETING,
        f"database {database.name!r} is on {database.host!r}, and the class no longer names that server; put it back so"
        f" that the database can be dropped, or it is left behind after {deletion.PATIENCE}",
        after=10,
    )
