"""AirflowEnvironment: one Airflow installation in a tenant's namespace."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from airfield.api.base import (
    LIST_ATOMIC,
    TEXT,
    Count,
    Generation,
    ImageReference,
    Label,
    Model,
    ObjectName,
    Rule,
    SecretKeyReference,
    SecretReference,
    VersionName,
    VolumeSize,
    list_map,
    named,
)
from airfield.api.components import Components, Resources
from airfield.api.conditions import Conditions
from airfield.api.dags import DagBundle as DagBundle  # noqa: PLC0414 - part of this interface
from airfield.api.dags import Dags
from airfield.api.exposure import OwnExposure
from airfield.api.governance import GovernanceLabels
from airfield.api.history import History
from airfield.api.identity import EnvironmentIdentity
from airfield.api.objectmeta import ObjectMeta
from airfield.api.reserved import CONFIG_RULES, ENV_RULE

MAX_NAME = 40
"""Bound on an environment's name: the longest derived name, `<name>-migrate-<revision>`, stays a DNS label."""


class Stage(StrEnum):
    """How near to production an environment is; classes give each stage its own defaults."""

    DEV = "dev"
    TEST = "test"
    PREPROD = "preprod"
    PROD = "prod"


class Executor(StrEnum):
    """Where Airflow runs tasks."""

    KUBERNETES = "KubernetesExecutor"
    LOCAL = "LocalExecutor"


class DeletionPolicy(StrEnum):
    """What becomes of an environment's data (database, volumes, keys) when the resource is deleted."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class EnvVar(Model):
    """An environment variable of every Airflow container and task pod: a literal or a reference to a Secret."""

    RULES = (
        Rule(
            "has(self.value) != has(self.secretKeyRef)",
            "an environment variable has exactly one of value and secretKeyRef",
            lambda it: (it.value is None) != (it.secret_key_ref is None),
        ),
    )

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), ENV_RULE
    ] = Field(description="Name of the variable.")
    value: Annotated[str, StringConstraints(max_length=4096, pattern=TEXT)] | None = Field(
        default=None, description="The literal value. For everything secret use `secretKeyRef`."
    )
    secret_key_ref: SecretKeyReference | None = None


class Volume(Model):
    """A persistent volume that the environment asks for."""

    size: VolumeSize | None = Field(
        default=None, description="Size of the volume: `5Gi`. Grows where its storage class allows that; never shrinks."
    )
    storage_class_name: ObjectName | None = Field(
        default=None, description="The cluster's default if absent. An existing volume keeps its own."
    )


class EmbeddedDatabase(Volume):
    """One PostgreSQL pod with a volume in the environment's namespace: for development."""

    resources: Resources | None = None


class ServerDatabase(Model):
    """A database that the operator makes on a PostgreSQL server of the class."""

    name: Label | None = Field(default=None, description="The server's name in the class; its first server if absent.")


class ExternalDatabase(Model):
    """A database that somebody else made and looks after."""

    secret: SecretReference = Field(
        description="Secret with `host`, `port`, `database`, `username`, `password` and optionally `sslmode`."
    )


class Database(Model):
    """Where the environment's metadata lives: exactly one of the three."""

    RULES = (
        Rule(
            "[has(self.embedded), has(self.server), has(self.external)].filter(x, x).size() == 1",
            "database is exactly one of embedded, server and external",
            lambda it: [it.embedded, it.server, it.external].count(None) == 2,
        ),
    )

    embedded: EmbeddedDatabase | None = None
    server: ServerDatabase | None = None
    external: ExternalDatabase | None = None


class AccessMode(StrEnum):
    """Whether the pods of one node or of several nodes may use a volume."""

    RWO = "ReadWriteOnce"
    RWX = "ReadWriteMany"


class LogVolume(Volume):
    """The volume that keeps task logs. ReadWriteMany lets the pods run on several nodes."""

    access_mode: AccessMode | None = None


class Logs(Model):
    """Where task logs are kept."""

    persistent_volume: LogVolume | None = None


class Image(Model):
    """An Airflow image instead of the catalog's. It must hold the Airflow version that `version` resolves to."""

    reference: ImageReference | None = Field(default=None, description="The image: `registry/name:tag` or `@sha256:…`.")
    pull_secrets: Annotated[tuple[SecretReference, ...], Field(max_length=8), LIST_ATOMIC] | None = Field(
        default=None, description="Secrets with credentials of the registry."
    )


Config = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=63)],
        Annotated[
            dict[
                Annotated[str, StringConstraints(max_length=63)],
                Annotated[str, StringConstraints(max_length=4096, pattern=TEXT)],
            ],
            Field(max_length=64),
        ],
    ],
    Field(max_length=32),
    *CONFIG_RULES,
]
"""Airflow configuration: section → option → value, all strings as in airflow.cfg."""
EnvVars = Annotated[tuple[EnvVar, ...], Field(max_length=64), list_map("name")]


class EnvironmentDefaults(Model):
    """The fields that a class (in general, per size and per stage) may preset and an environment may set itself."""

    version: VersionName | None = Field(
        default=None, description="An exact Airflow version or a channel of the catalog."
    )
    size: Label | None = Field(default=None, description="A size of the class.")
    executor: Executor | None = None
    image: Image | None = None
    config: Config | None = Field(
        default=None, description="Airflow configuration: section, option, value; all are strings as in airflow.cfg."
    )
    env: EnvVars | None = Field(
        default=None, description="Environment variables of all Airflow containers and task pods."
    )
    components: Components | None = None
    database: Database | None = None
    logs: Logs | None = None
    deletion_policy: DeletionPolicy | None = Field(
        default=None, description="Orphan (the default) keeps database, volumes and keys when the resource is deleted."
    )


class AirflowEnvironmentSpec(EnvironmentDefaults):
    """What the owner of an environment wants."""

    RULES = (
        Rule(
            "!has(oldSelf.database) || (has(self.database)"
            " && has(self.database.embedded) == has(oldSelf.database.embedded)"
            " && has(self.database.server) == has(oldSelf.database.server)"
            " && has(self.database.external) == has(oldSelf.database.external))",
            "the kind of database cannot be changed: make a new environment and move the data",
        ),
    )

    class_name: Label = Field(description="The AirflowEnvironmentClass to build from.")
    stage: Stage = Field(description="How near to production this environment is.")
    dags: Dags | None = None
    exposure: OwnExposure | None = None
    labels: GovernanceLabels | None = Field(
        default=None,
        description="Stamped on every object and pod, task pods included; the tenant's go before them.",
    )
    identity: EnvironmentIdentity | None = None


class KeyStatus(Model):
    """A generated Secret that the environment cannot do without."""

    name: Label = Field(description="What the key is for.")
    secret: ObjectName = Field(description="Name of the Secret.")
    fingerprint: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="First 16 hex digits of a keyed hash of the Secret's content: tells a change, reveals nothing."
    )


class DatabaseStatus(Model):
    """The database that the environment uses."""

    mode: Literal["embedded", "server", "external"] = Field(
        description="The kind of database. Once this is known, `spec.database` cannot ask for another kind."
    )
    host: Annotated[str, StringConstraints(max_length=253)] | None = Field(default=None, description="Server's host.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(default=None, description="Server's TCP port.")
    name: Annotated[str, StringConstraints(max_length=63)] | None = Field(default=None, description="Database's name.")
    schema_revision: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        default=None, description="The migration revision that the schema is known to be at."
    )


Amount = Annotated[str, StringConstraints(max_length=20)]
"""A Kubernetes quantity, which may be 0."""


class Grant(Model):
    """What an environment's own pods and volumes request: it counts against the quota of its tenant."""

    stage: Stage
    cpu: Amount = Field(description="Cores.")
    memory: Amount = Field(description="Bytes.")
    storage: Amount = Field(description="Bytes of volumes.")
    cpu_limit: Amount = Field(description="The highest CPU limit, or request, of a container.")
    memory_limit: Amount = Field(description="The highest memory limit, or request, of a container.")
    volume: Amount = Field(description="Bytes of the largest volume.")


class CertificateStatus(Model):
    """The certificate that the host name is served with, as far as it is in a Secret of the environment's namespace."""

    secret: ObjectName = Field(description="Name of the Secret.")
    not_after: Annotated[str, StringConstraints(min_length=20, max_length=32)] | None = Field(
        default=None,
        description="When it expires, or the first of its chain: RFC 3339; absent if there is none that can be read.",
        json_schema_extra={"format": "date-time"},
    )


class AirflowEnvironmentStatus(Model):
    """What the operator saw last."""

    observed_generation: Generation = Field(default=-1, description="The generation that this status speaks of.")
    conditions: Conditions = Field(default=(), description="What is true; Ready is the sum.")
    version: VersionName | None = Field(default=None, description="The Airflow version that `spec.version` stands for.")
    image: ImageReference | None = Field(default=None, description="The Airflow image in use.")
    tenant: Label | None = Field(default=None, description="The AirflowTenant that the namespace belongs to.")
    granted: Grant | None = None
    executor: Executor | None = None
    size: Label | None = Field(default=None, description="The size in use.")
    url: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        default=None, description="Where UI and API are: outside of the cluster if the class exposes them, else inside."
    )
    certificate: CertificateStatus | None = None
    admin_secret: ObjectName | None = Field(default=None, description="Secret with the first administrator's login.")
    database: DatabaseStatus | None = None
    keys: Annotated[tuple[KeyStatus, ...], Field(max_length=8), list_map("name")] = Field(
        default=(), description="The generated Secrets."
    )
    objects: Count | None = Field(default=None, description="Number of objects applied.")
    applied: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="Digest of what was applied: an operator that starts anew finds it as it was left."
    )
    history: History = Field(default=(), description="What it was to be, and what became of it; the newest first.")


class AirflowEnvironment(Model):
    """One Airflow installation."""

    RULES = (
        named(MAX_NAME),
        Rule(
            "has(oldSelf.spec.database) || !has(self.spec.database)"
            " || !has(oldSelf.status) || !has(oldSelf.status.database)"
            " || (oldSelf.status.database.mode == 'embedded' && has(self.spec.database.embedded))"
            " || (oldSelf.status.database.mode == 'server' && has(self.spec.database.server))"
            " || (oldSelf.status.database.mode == 'external' && has(self.spec.database.external))",
            "spec.database must be of the kind that is in use (status.database.mode):"
            " make a new environment and move the data",
        ),
    )

    api_version: Literal["airfield.dev/v1alpha1"]
    kind: Literal["AirflowEnvironment"]
    metadata: ObjectMeta
    spec: AirflowEnvironmentSpec
    status: AirflowEnvironmentStatus | None = None
