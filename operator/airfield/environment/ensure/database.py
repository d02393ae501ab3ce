"""The phase DatabaseReady: there is a database, it is this environment's, and its schema fits the image."""

import base64
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airfield.api.environment import KeyStatus
from airfield.api.environment_class import DatabaseServer
from airfield.environment.ensure.run import Doors, Run
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.environment.rollout import components, is_job, made_by, migration, phase_of
from airfield.environment.secrets import Key
from airfield.environment.values import database_endpoint, revision
from airfield.kube.inventory import Child
from airfield.kube.kinds import Ref
from airfield.postgres.connection import Address
from airfield.postgres.errors import DatabaseError
from airfield.postgres.mark import Mark
from airfield.postgres.names import database_name, role_name
from airfield.postgres.schema import schema_heads
from airfield.postgres.server import Server
from airfield.runtime.logs import redact

log = logging.getLogger(__name__)

REASONS = {
    "Unreachable": Reason.DATABASE_UNREACHABLE,
    "Refused": Reason.DATABASE_REFUSED,
    "Denied": Reason.DATABASE_REFUSED,
    "Conflict": Reason.DATABASE_CONFLICT,
    "Failed": Reason.DATABASE_FAILED,
}


async def ensure_database(run: Run) -> Outcome:
    """Bring the database to the point where components may start."""
    try:
        return await _ensure(run, revision(run.effective))
    except DatabaseError as error:
        # A refusal is somebody's to mend, and silence may be; looking again costs one connection.
        kind = Wait if error.reason == "Unreachable" else Stall
        return kind(REASONS[error.reason], error.message, after=10)


async def _ensure(run: Run, wanted: str) -> Outcome:
    if run.effective.database_mode != "external" and (moved := _moved(run)) is not None:
        return moved
    secret = Key.DATABASE.secret(run.effective.name)
    proven = KeyStatus(name=Key.DATABASE.value, secret=secret, fingerprint=run.facts[secret].fingerprint)
    known = run.schema_revision == wanted and proven in run.previous.keys and _well_until_now(run)
    if run.effective.database_mode != "embedded" and not (known or run.reached):
        outcome = await (_on_server(run) if run.effective.server is not None else _external(run))
        if not isinstance(outcome, Done):
            return outcome
        run.reached = True
    run.keys[Key.DATABASE.value] = proven
    stall = await run.apply(m for m in run.manifests if phase_of(m) == "database")
    stall = stall or await run.apply(m for m in run.manifests if phase_of(m) == "schema" and not is_job(m))
    if stall is not None:
        return stall
    return await _migrate(run, wanted)


def _well_until_now(run: Run) -> bool:
    """Whether nothing speaks against the database: of a sick environment it is looked at again."""
    return all(c.status == "True" for c in run.previous.conditions if c.type in {"DatabaseReady", "Healthy"})


def address(run: Run) -> Address:
    """How the environment itself reaches its database."""
    content = run.contents[Key.DATABASE.secret(run.effective.name)]
    server = run.effective.server
    sslmode = server.ssl_mode.value if server else content.get("sslmode", "prefer")
    return Address(
        host=content["host"],
        port=int(content["port"]),
        user=content["username"],
        password=content["password"],
        database=content["database"],
        sslmode=sslmode,
    )


async def connect_admin(doors: Doors, server: DatabaseServer) -> Server | Wait:
    """The administrator's door to a server, or a wait for its Secret."""
    secret = server.admin_secret
    ref = Ref("v1", "Secret", secret.namespace, secret.name)
    live = await doors.kube.get(ref)
    fields = (secret.username_key or "username", secret.password_key or "password")
    content = decoded(live)
    lacking = [field for field in fields if not content.get(field)]
    if live is None or lacking:
        what = "does not exist" if live is None else f"lacks {', '.join(lacking)}"
        return Wait(
            Reason.SECRET_NOT_FOUND,
            f"databaseServers[{server.name}].adminSecret: Secret {secret.namespace}/{secret.name} {what};"
            " the platform team must create it",
            after=15,
        )
    redact([content[fields[1]]])
    return Server(
        Address(
            host=server.host,
            port=server.port,
            user=content[fields[0]],
            password=content[fields[1]],
            database=server.maintenance_database or "postgres",
            sslmode=server.ssl_mode.value,
        )
    )


async def _on_server(run: Run) -> Outcome:
    """Role and database on the class's server, cloned from a template of the right schema where there is one."""
    of = run.effective.server
    assert of is not None  # noqa: S101 - the caller has looked
    admin = await connect_admin(run.doors, of)
    if isinstance(admin, Wait):
        return admin
    names = run.effective.namespace, run.effective.name
    async with admin.in_one_session(f"looking for database {database_name(*names)}") as door:
        outcome = await _prepared(run, of, door)
    if not isinstance(outcome, Done):
        return outcome
    try:
        await schema_heads(address(run))
    except DatabaseError as error:
        if error.reason != "Refused":
            raise
        await admin.ensure_role(role_name(*names), _password(run), reset=True, connection_limit=of.connection_limit)
        await schema_heads(address(run))
    return outcome


async def _prepared(run: Run, of: DatabaseServer, server: Server) -> Outcome:
    """Done when role and database are there and this environment's; then it is known which schema the database has."""
    names = run.effective.namespace, run.effective.name
    database, role, wanted = database_name(*names), role_name(*names), revision(run.effective)
    mark = Mark(environment="/".join(names), cluster=run.doors.cluster, schema="")
    facts = await server.facts(database, role)
    if facts.exists and not mark.same_owner(facts.mark):
        left_behind = facts.mark is not None and facts.mark.environment == mark.environment
        if not (left_behind and facts.mark and facts.mark.cluster in of.former_clusters):
            return _not_ours(database, of.name, facts.mark)
        await server.adopt(database, mark)
    if not facts.exists and run.schema_revision is not None:
        return Stall(
            Reason.DATABASE_CHANGED,
            f"database {database!r} of this environment is gone from server {of.name!r}: restore it"
            " from a backup; to begin with an empty one, delete this environment and create it again",
        )
    await server.ensure_role(role, _password(run), connection_limit=of.connection_limit)
    if not facts.exists:
        template = (await server.templates()).get(wanted)
        if template is not None:
            await server.clone_database(database, template, role, Mark(mark.environment, mark.cluster, wanted))
            run.schema_revision = wanted
            log.info("cloned database %s from %s", database, template)
        else:
            await server.create_database(database, role, mark)
            log.info("created database %s", database)
    elif facts.mark is not None and facts.mark.schema == wanted:
        run.schema_revision = wanted
    return Done()


def _password(run: Run) -> str:
    return run.contents[Key.DATABASE.secret(run.effective.name)]["password"]


def _moved(run: Run) -> Stall | None:
    """A stall when the database is to be elsewhere than the Secret says that the data is."""
    name = Key.DATABASE.secret(run.effective.name)
    content, endpoint = run.contents[name], database_endpoint(run.effective)
    if (content["host"], content["port"]) == (endpoint.host, str(endpoint.port)):
        return None
    return Stall(
        Reason.DATABASE_CHANGED,
        f"the data of this environment is at {content['host']}:{content['port']} (Secret {name!r}), but the class says"
        f" {endpoint.host}:{endpoint.port}; nothing is moved. If the server has moved with its data, delete that"
        " Secret: it is made again for the new address",
    )


def _not_ours(database: str, server: str, mark: Mark | None) -> Stall:
    if mark is None:
        whose, advice = "another program", "rename this environment, or have that database removed"
    else:
        whose = f"environment {mark.environment} of another cluster"
        advice = (
            "rename this environment; or, if that cluster is gone, the platform team can hand its databases over by"
            f" adding {mark.cluster!r} to the class's databaseServers[{server}].formerClusters"
        )
    return Stall(
        Reason.DATABASE_CONFLICT, f"database {database!r} on server {server!r} belongs to {whose}: {advice}", after=60
    )


async def _external(run: Run) -> Outcome:
    here = address(run)
    heads = await schema_heads(here)
    known = run.previous.database
    elsewhere = known is not None and (known.host, known.name) != (here.host, here.database)
    if run.schema_revision is not None and (elsewhere or heads.airflow is None):
        # The user's Secret leads to another database, or that one was emptied: what we knew of its schema is void.
        run.schema_revision = None
        await _forget_migrations(run)
    if heads.may_create:
        return Done()
    return Stall(
        Reason.DATABASE_REFUSED,
        f"role {here.user!r} may not create tables in schema public of database {here.database!r} on {here.host}:"
        f' run GRANT CREATE, USAGE ON SCHEMA public TO "{here.user}" there',
        after=10,
    )


async def _migrate(run: Run, wanted: str) -> Outcome:
    jobs = [manifest for manifest in run.manifests if is_job(manifest)]
    if await _stop_others(run, {Ref.of(manifest) for manifest in jobs}):
        run.schema_revision = None  # it may have got anywhere
        return Wait(Reason.MIGRATING, "stopping the migration to another image's schema", after=2)
    if run.schema_revision == wanted:
        return await _still_there(run)
    stall = await run.apply(jobs)
    if stall is not None:
        return stall
    job = next((child for manifest in jobs if (child := run.children.get(Ref.of(manifest)))), None)
    pods = [pod for pod in components(run.children, "Pod") if job is not None and made_by(pod, job)]
    failed_for = await _failed_for(run, job) if job is not None and job.state.failed else None
    retry = run.doors.settings.migration_retry_seconds
    if job is not None and failed_for is not None and failed_for >= retry:
        await run.doors.kube.delete(job.ref, uid=job.uid)
        return Wait(Reason.MIGRATING, f"Job {job.ref.name!r} failed and is made again", after=2)
    outcome = migration(job, pods, failed_for=failed_for, retry=retry)
    if isinstance(outcome, Done):
        run.schema_revision = wanted
        await _mark_schema(run, wanted)
    elif isinstance(outcome, Stall):
        run.reached = False
    return outcome


async def _still_there(run: Run) -> Outcome:
    """Whether an embedded database that makes trouble still holds what it held: its volume may have been lost."""
    if run.effective.database_mode != "embedded" or _well_until_now(run):
        return Done()
    try:
        if (await schema_heads(address(run))).airflow is not None:
            return Done()
    except DatabaseError:
        return Done()  # it does not answer, which the workloads explain better
    return Stall(
        Reason.DATABASE_CHANGED,
        f"the database of this environment is empty, though it was not before: volume {run.effective.name}-db has been"
        " lost. Restore it from a backup; to begin with an empty one, delete this environment and create it again",
    )


async def _forget_migrations(run: Run) -> None:
    """Remove the Jobs that worked, or work, on another database, so that the work is done on this one."""
    for job in components(run.children, "Job"):
        await run.doors.kube.delete(job.ref, uid=job.uid)
        run.doors.inventory.gone(job.ref)


async def _stop_others(run: Run, wanted: set[Ref]) -> bool:
    """End migrations that run for an image that is no longer wanted: two must not work on one schema."""
    others = [
        job
        for job in components(run.children, "Job")
        if job.ref not in wanted and not (job.state.complete or job.state.failed)
    ]
    for job in others:
        await run.doors.kube.delete(job.ref, uid=job.uid, propagation="Foreground")
    return bool(others)


async def _failed_for(run: Run, job: Child) -> float | None:
    """Seconds since a Job gave up."""
    live = await run.doors.kube.get(job.ref)
    for condition in (live or {}).get("status", {}).get("conditions", []):
        if condition["type"] == "Failed" and condition["status"] == "True":
            since = datetime.fromisoformat(condition["lastTransitionTime"])
            return (run.doors.clock() - since).total_seconds()
    return None


async def _mark_schema(run: Run, wanted: str) -> None:
    """Leave word in a server's database that its schema is right, for the time after a loss of status."""
    if run.effective.server is None:
        return
    server = await connect_admin(run.doors, run.effective.server)
    if isinstance(server, Server):
        names = run.effective.namespace, run.effective.name
        await server.set_mark(database_name(*names), Mark("/".join(names), run.doors.cluster, wanted))


def decoded(secret: Mapping[str, Any] | None) -> dict[str, str]:
    """The text content of a Secret; {} for None."""
    data = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
