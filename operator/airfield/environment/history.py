"""Who wanted what, and what became of it: the revisions of an environment. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from airfield import __version__
from airfield.api import meta
from airfield.api.base import Model
from airfield.api.conditions import Condition, ConditionType, condition_of, ready_of, timestamp
from airfield.api.dags import DagBundle
from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.history import ENDED, KEPT, NAME_LIMIT, SAID_LIMIT, Cause, History, Revision, RevisionOutcome
from airfield.api.objectmeta import ObjectMeta
from airfield.api.tenant import AirflowTenant
from airfield.environment.exposure import Exposed
from airfield.environment.identity import Identity
from airfield.environment.resolve import Effective


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an environment is to be, and who has changed what that follows from."""

    generation: int
    class_generation: int = -1
    digest: str | None = None
    """None where it cannot be resolved."""
    tenant: str | None = None
    tenant_digest: str | None = None
    operator: str | None = None
    version: str | None = None
    dags: tuple[str, ...] = ()
    changed_by: Mapping[Cause, str | None] = field(default_factory=dict)


def refused(environment: AirflowEnvironment) -> Wanted:
    """A wish that cannot be resolved."""
    return Wanted(environment.metadata.generation, changed_by={Cause.ENVIRONMENT: _changed_by(environment.metadata)})


def wanted(
    environment: AirflowEnvironment,
    tenant: AirflowTenant,
    blueprint: AirflowEnvironmentClass,
    effective: Effective,
) -> Wanted:
    """What an environment resolved to."""
    return Wanted(
        generation=environment.metadata.generation,
        class_generation=blueprint.metadata.generation,
        digest=_digest(effective),
        tenant=tenant.metadata.name,
        tenant_digest=_digest([tenant.metadata.name, tenant.spec.labels, tenant.spec.egress, tenant.spec.identity]),
        operator=__version__,
        version=effective.version,
        dags=tuple(map(_shown, effective.bundles)),
        changed_by={
            Cause.ENVIRONMENT: _changed_by(environment.metadata),
            Cause.CLASS: _changed_by(blueprint.metadata),
            Cause.TENANT: _changed_by(tenant.metadata),
        },
    )


def recorded(history: History, wanted: Wanted, conditions: Sequence[Condition], now: datetime) -> History:
    """The history after a pass that came to these conditions; the same one where that tells nothing new."""
    newest = history[0] if history else None
    if newest is not None and _is_of(newest, wanted):
        current, former = newest, history[1:]
    else:
        current, former = _begun(newest, wanted, now), tuple(_superseded(each, now) for each in history)
    if current.outcome in ENDED:
        return history
    return (_judged(current, wanted, conditions, now), *former)[:KEPT]


def _is_of(revision: Revision, wanted: Wanted) -> bool:
    """Whether it tells of this wish. What can no longer be resolved, though nobody changed it, is no new wish."""
    same = wanted.digest is None or revision.digest in {None, wanted.digest}
    return revision.generation == wanted.generation and same


def _begun(newest: Revision | None, wanted: Wanted, now: datetime) -> Revision:
    cause, known = _cause(newest, wanted)
    return Revision(
        revision=newest.revision + 1 if newest else 1,
        generation=wanted.generation,
        cause=cause,
        by=wanted.changed_by.get(cause) if known else None,
        started=timestamp(now),
        outcome=RevisionOutcome.IN_PROGRESS,
    )


def _cause(newest: Revision | None, wanted: Wanted) -> tuple[Cause, bool]:
    """What was changed; and whether the one who changed it last is who made the difference."""
    if newest is None or newest.generation != wanted.generation:
        return Cause.ENVIRONMENT, True
    same_operator = newest.operator == wanted.operator
    if newest.class_generation != wanted.class_generation:  # since when there may have been several changes
        return Cause.CLASS, same_operator and newest.class_generation + 1 == wanted.class_generation
    if same_operator and newest.tenant_digest != wanted.tenant_digest:
        return Cause.TENANT, newest.tenant == wanted.tenant
    return Cause.OPERATOR, False


def _superseded(revision: Revision, now: datetime) -> Revision:
    if revision.outcome in ENDED:
        return revision
    return revision.model_copy(update={"outcome": RevisionOutcome.SUPERSEDED, "ended": timestamp(now)})


def _judged(revision: Revision, wanted: Wanted, conditions: Sequence[Condition], now: datetime) -> Revision:
    """What a pass says of it."""
    ready = ready_of(conditions)
    changes: dict[str, Any] = {"reason": None, "message": None}
    if ready is not None and ready.status == "True":
        changes |= {"outcome": RevisionOutcome.SUCCEEDED, "ended": timestamp(now)}
    elif ready is not None and condition_of(conditions, ConditionType.STALLED):
        changes |= {"outcome": RevisionOutcome.STALLED, "reason": ready.reason, "message": ready.message[:SAID_LIMIT]}
    else:
        changes["outcome"] = RevisionOutcome.IN_PROGRESS
    if wanted.digest is not None:
        changes |= {
            "class_generation": wanted.class_generation,
            "digest": wanted.digest,
            "tenant": wanted.tenant,
            "tenant_digest": wanted.tenant_digest,
            "operator": wanted.operator,
            "version": wanted.version,
            "dags": wanted.dags,
        }
    elif revision.digest is None:
        changes["outcome"] = RevisionOutcome.REFUSED
    return revision.model_copy(update=changes)


def _digest(document: object) -> str:
    """16 hex digits of SHA-256."""
    text = json.dumps(document, default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, Model):
        return value.to_json()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Effective | Exposed | Identity):  # where a field comes from changes nothing
        return {each.name: getattr(value, each.name) for each in fields(value) if each.name != "origins"}
    raise TypeError(f"cannot write {type(value)} as JSON")


def _shown(bundle: DagBundle) -> str:
    return f"{bundle.name}@{bundle.git.ref if bundle.git else 'image'}"


def _changed_by(metadata: ObjectMeta) -> str | None:
    """Who made the generation that there is; None where that was not recorded."""
    generation, _, who = metadata.annotations.get(meta.ANNOTATION_CHANGED_BY, "").partition(" ")
    return who[:NAME_LIMIT] if who and generation == str(metadata.generation) else None
