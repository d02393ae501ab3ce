"""What has become of the wishes for an environment: a bounded list in its status."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from airfield.api.base import LIST_ATOMIC, Generation, Label, Model, VersionName, list_map

KEPT: Final = 10
"""So many revisions stay; Events and the audit log of the API server know of the others."""
NAME_LIMIT: Final = 256
SAID_LIMIT: Final = 512

Time = Annotated[str, StringConstraints(min_length=20, max_length=32)]
Digest = Annotated[str, StringConstraints(max_length=16)]


class Cause(StrEnum):
    """What was changed, so that an environment is to be another one."""

    ENVIRONMENT = "Environment"
    CLASS = "Class"
    TENANT = "Tenant"
    OPERATOR = "Operator"
    """A new operator brings other defaults."""


class RevisionOutcome(StrEnum):
    """How far a revision has got."""

    IN_PROGRESS = "InProgress"
    STALLED = "Stalled"
    """Somebody must do something before it can go on."""
    REFUSED = "Refused"
    """It may not be, or not be had: what ran before runs on."""
    SUCCEEDED = "Succeeded"
    """The environment has been Ready as it was wanted; what happens to it later is not this revision's matter."""
    SUPERSEDED = "Superseded"
    """Another one came before it had succeeded."""


ENDED: Final = frozenset({RevisionOutcome.SUCCEEDED, RevisionOutcome.SUPERSEDED})


class Revision(Model):
    """One thing that an environment was to be: who wanted it, and what became of it."""

    revision: Annotated[int, Field(ge=1, le=2**53)] = Field(description="Counts up from 1.")
    generation: Generation = Field(description="The generation of the environment.")
    cause: Cause
    by: Annotated[str, StringConstraints(max_length=NAME_LIMIT)] | None = Field(
        default=None,
        description="The user who changed the environment, its class or its tenant, as the API server knew them. Absent"
        " where no admission policy recorded it, or more than one change came together.",
    )
    started: Time = Field(description="When the operator began with it.", json_schema_extra={"format": "date-time"})
    ended: Time | None = Field(
        default=None, description="When it succeeded or was superseded.", json_schema_extra={"format": "date-time"}
    )
    outcome: RevisionOutcome
    reason: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        default=None, description="Why it has not succeeded: the reason of Ready."
    )
    message: Annotated[str, StringConstraints(max_length=SAID_LIMIT)] | None = Field(
        default=None, description="The same in words."
    )
    version: VersionName | None = Field(default=None, description="The Airflow version that it came to.")
    dags: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=384)], ...], Field(max_length=32), LIST_ATOMIC
    ] = Field(default=(), description="Its DAG bundles: `name@ref` of git, `name@image`.")
    class_generation: Generation = Field(default=-1, description="The generation of the class.")
    digest: Digest | None = Field(default=None, description="Of what it resolved to; absent where it was refused.")
    tenant: Label | None = Field(default=None, description="The tenant.")
    tenant_digest: Digest | None = Field(default=None, description="Of what the tenant adds to it.")
    operator: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        default=None, description="Version of the operator."
    )


History = Annotated[tuple[Revision, ...], Field(max_length=KEPT), list_map("revision")]
"""The newest comes first."""
