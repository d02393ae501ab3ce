"""What a pass came to, for people and machines: the status of an environment, and Events."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airfield.api import meta
from airfield.api.conditions import Condition, ConditionType, timestamp
from airfield.api.environment import (
    AirflowEnvironment,
    AirflowEnvironmentStatus,
    CertificateStatus,
    DatabaseStatus,
    Grant,
)
from airfield.api.history import History
from airfield.environment.certificate import Certificate, Verdict
from airfield.environment.ensure.health import internal_url
from airfield.environment.ensure.run import Doors, Run
from airfield.environment.events import events
from airfield.environment.exposure import SCHEME
from airfield.environment.history import recorded, refused
from airfield.environment.outcome import Outcome
from airfield.environment.secrets import Key
from airfield.environment.status import conditions
from airfield.kube.errors import ApiError
from airfield.kube.kinds import AIRFLOW_ENVIRONMENT, Ref
from airfield.runtime.logs import hidden

log = logging.getLogger(__name__)

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Pass:
    """How far a pass got with an environment."""

    environment: AirflowEnvironment
    body: Body
    """The same as it is in the cluster."""
    outcomes: Mapping[ConditionType, Outcome]
    run: Run | None = None
    """None where it was not resolved."""
    granted: Grant | None = None
    """What it has of its tenant's quota."""
    beside: Mapping[ConditionType, Verdict | None] = field(default_factory=dict)
    """What Ready does not depend on."""
    paused: bool = False
    deleting: bool = False

    @property
    def previous(self) -> AirflowEnvironmentStatus:
        return self.environment.status or AirflowEnvironmentStatus()


async def report(doors: Doors, came_to: Pass) -> None:
    """Write the status, if it is another than the one that is there, and tell of it."""
    environment, previous = came_to.environment, came_to.previous
    metadata, run = environment.metadata, came_to.run
    findings = _findings(run) | {"granted": came_to.granted} if run is not None else {}
    version = came_to.body["metadata"].get("resourceVersion")
    told = metadata.uid, version, came_to.outcomes, came_to.beside, came_to.paused, came_to.deleting
    if run is not None:
        # Most looks find what the last one has found, and it is in the status.
        if run.reported == told and all(getattr(previous, name) == found for name, found in findings.items()):
            return
        run.reported = None
    changes: dict[str, Any] = {
        # A paused environment's latest wish is noticed, not acted upon: nobody may take its Ready for an answer.
        "observed_generation": previous.observed_generation if came_to.paused else metadata.generation,
        "conditions": conditions(
            previous,
            {kind: _without_secrets(outcome) for kind, outcome in came_to.outcomes.items()},
            generation=metadata.generation,
            now=doors.clock(),
            paused=came_to.paused,
            deleting=came_to.deleting,
            beside=came_to.beside,
        ),
    }
    changes |= findings
    if not came_to.paused and not came_to.deleting:
        changes["history"] = _history(doors, came_to, changes["conditions"])
    status = previous.model_copy(update=changes)
    document = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    if document == came_to.body.get("status"):
        if run is not None:
            run.reported = told
        return
    ref = Ref(meta.API_VERSION, "AirflowEnvironment", metadata.namespace, metadata.name)
    live = await doors.kube.apply_status(ref, document, uid=metadata.uid)
    if live is None:
        return
    doors.tell(AIRFLOW_ENVIRONMENT, live, deleted=False)
    for news in events(metadata, previous, status, doors.clock()):
        await _publish(doors, news)


def _history(doors: Doors, came_to: Pass, conditions: Sequence[Condition]) -> History:
    wants = came_to.run.wanted if came_to.run is not None else refused(came_to.environment)
    if not doors.settings.changes_recorded:  # then anybody may have written that annotation
        wants = replace(wants, changed_by={})
    return recorded(came_to.previous.history, wants, conditions, doors.clock())


async def _publish(doors: Doors, news: Body) -> None:
    """Events are for people; an environment never waits for one."""
    try:
        await doors.kube.create(news)
    except ApiError as error:
        log.warning("an Event was lost: %s", error.message)


def _without_secrets(outcome: Outcome) -> Outcome:
    """What programs of tenants said, a container's last words for instance, may hold what no status may show."""
    return replace(outcome, message=hidden(outcome.message))


def _findings(run: Run) -> dict[str, Any]:
    """What a reconcile found out beside the conditions."""
    effective = run.effective
    return {
        "version": effective.version,
        "image": effective.image,
        "tenant": effective.tenant,
        "executor": effective.executor,
        "size": effective.settings.size,
        "url": public_url(run),
        "certificate": _certificate(run),
        "admin_secret": Key.ADMIN.secret(effective.name),
        "keys": tuple(run.keys[name] for name in sorted(run.keys)) or run.previous.keys,
        "objects": run.previous.objects if run.objects is None else run.objects,
        "applied": run.previous.applied if run.applied is None else run.applied,
        "database": _database(run),
    }


def public_url(run: Run) -> str:
    """Where people find it. Until a route to a new host name is there, and the former one gone, that is the former."""
    exposed, before = run.effective.exposed, run.previous.url or ""
    if run.settled_at is None and before.startswith(SCHEME):
        return before
    return exposed.url if exposed else internal_url(run)


def _certificate(run: Run) -> CertificateStatus | None:
    exposed, found = run.effective.exposed, run.certificate
    if exposed is None or not exposed.secret:
        return None
    end = timestamp(found.not_after) if isinstance(found, Certificate) else None
    return CertificateStatus(secret=exposed.secret, not_after=end)


def _database(run: Run) -> DatabaseStatus:
    """Which database it is whose schema is known to be at the revision."""
    content, known = run.contents.get(Key.DATABASE.secret(run.effective.name), {}), run.previous.database
    mode, revision = run.effective.database_mode, run.schema_revision
    if known is not None and mode == "external" and revision is not None and revision == known.schema_revision:
        return known  # the Secret may lead elsewhere by now; until somebody has looked, the revision is this one's
    return DatabaseStatus(
        mode=mode,
        host=content.get("host") or (known.host if known else None),
        port=int(content["port"]) if "port" in content else (known.port if known else None),
        name=content.get("database") or (known.name if known else None),
        schema_revision=revision,
    )
