"""AirflowEnvironmentClass: the platform team's blueprint of environments."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from airfield.api.base import (
    DNS_LABEL,
    LIST_SET,
    Count,
    Generation,
    ImageReference,
    Label,
    Model,
    NamespaceName,
    ObjectName,
    Quantity,
    Rule,
    SecretKey,
    list_map,
    named,
)
from airfield.api.conditions import Conditions
from airfield.api.environment import EnvironmentDefaults, Executor, Stage
from airfield.api.exposure import Exposure
from airfield.api.governance import RequiredLabels
from airfield.api.identity import ClassIdentity
from airfield.api.network import Network
from airfield.api.objectmeta import ObjectMeta
from airfield.api.prices import Prices

ExactVersion = Annotated[str, StringConstraints(max_length=32, pattern=r"^[0-9]+\.[0-9]+\.[0-9]+([-+.a-z0-9]*)$")]


class CatalogVersion(Model):
    """An Airflow version that environments may run, and the image that holds it."""

    version: ExactVersion = Field(description="The Airflow version: `3.3.2`.")
    image: ImageReference = Field(
        description="Image that holds exactly this version. A name must not be given to another image later: database"
        " templates and migrations go by it."
    )


class Channel(Model):
    """A name for a version that moves: environments that follow it are moved along."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=DNS_LABEL)] = Field(
        description="Name of the channel: `stable`."
    )
    version: ExactVersion = Field(description="The catalog's version that the channel stands for now.")


class Catalog(Model):
    """What can be run."""

    RULES = (
        Rule(
            "!has(self.channels) || self.channels.all(c, self.versions.exists(v, v.version == c.version))",
            "every channel names a version of the catalog",
            lambda it: {c.version for c in it.channels} <= {v.version for v in it.versions},
        ),
    )

    versions: Annotated[tuple[CatalogVersion, ...], Field(min_length=1, max_length=32), list_map("version")] = Field(
        description="Versions and their images."
    )
    channels: Annotated[tuple[Channel, ...], Field(max_length=16), list_map("name")] = Field(
        default=(), description="Names that environments may use instead of a version."
    )
    postgres_image: ImageReference | None = Field(default=None, description="Image of the embedded database.")


class Size(Model):
    """A named set of resources that environments choose from."""

    name: Label = Field(description="Name of the size: `small`.")
    defaults: EnvironmentDefaults


class StageDefaults(Model):
    """What environments of a stage get unless they say otherwise."""

    stage: Stage
    defaults: EnvironmentDefaults


class Ceilings(Model):
    """The most that one pod, volume or component of an environment may ask for; more is refused, not trimmed."""

    cpu: Quantity | None = Field(default=None, description="CPU limit of one pod.")
    memory: Quantity | None = Field(default=None, description="Memory limit of one pod.")
    storage: Quantity | None = Field(default=None, description="Size of one volume.")
    replicas: Annotated[int, Field(ge=1, le=10)] | None = Field(default=None, description="Replicas of one component.")


Place = Annotated[
    str, StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9][-A-Za-z0-9._~+@:/\[\]]*$")
]
"""A registry or repository, or the beginning of its name up to a slash."""


class StagePolicy(Model):
    """What environments of a stage must keep to; what breaks it is refused, and what runs goes on unchanged."""

    stage: Stage
    executors: Annotated[tuple[Executor, ...], Field(min_length=1, max_length=2), LIST_SET] | None = Field(
        default=None, description="Executors that may be used; all if absent."
    )
    exact_version: bool = Field(default=False, description="Whether `version` must be exact and no channel.")
    image_registries: Annotated[tuple[Place, ...], Field(min_length=1, max_length=32), LIST_SET] | None = Field(
        default=None,
        description="Where the Airflow image must be from: `registry.example.com/airflow`; anywhere if absent.",
    )
    git_repositories: Annotated[tuple[Place, ...], Field(min_length=1, max_length=32), LIST_SET] | None = Field(
        default=None,
        description="Where DAGs from git must be from: `https://git.example.com/data/`; anywhere if absent. DAGs in the"
        " image are the image's matter.",
    )
    pinned_refs: bool = Field(
        default=False,
        description="Whether DAGs from git must be of a commit (all digits of it) or of a tag (`refs/tags/v1.2`): a"
        " branch moves when somebody pushes.",
    )


class ChartSource(StrEnum):
    """Where the chart comes from."""

    BUNDLED = "Bundled"


class Chart(Model):
    """The chart that renders an environment: the one that ships with the operator."""

    source: ChartSource = ChartSource.BUNDLED


class SslMode(StrEnum):
    """How the connection to the server is protected: libpq's words."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"


class AdminSecret(Model):
    """A Secret, in any namespace that the platform team chose, with a login that may create roles and databases."""

    namespace: NamespaceName = Field(description="Namespace of the Secret.")
    name: ObjectName = Field(description="Name of the Secret.")
    username_key: SecretKey | None = Field(default=None, description="`username` if absent.")
    password_key: SecretKey | None = Field(default=None, description="`password` if absent.")


class DatabaseServer(Model):
    """A PostgreSQL server on which the operator makes a database for each environment."""

    name: Label = Field(description="What environments call the server.")
    host: Annotated[
        str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9.:]*[a-zA-Z0-9])?$")
    ] = Field(description="Host name or address of the server.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=5432, description="TCP port of the server.")
    ssl_mode: SslMode = SslMode.PREFER
    admin_secret: AdminSecret
    maintenance_database: (
        Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_][-A-Za-z0-9_.]*$")] | None
    ) = Field(default=None, description="Database that the administrator connects to; `postgres` if absent.")
    connection_limit: Annotated[int, Field(ge=10, le=10000)] = Field(
        default=100,
        description="Connections that one environment may hold at a time, so that none uses up the server's.",
    )
    former_clusters: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=64)], ...],
        Field(max_length=16),
        LIST_SET,
    ] = Field(
        default=(),
        description="uids of the kube-system namespaces of clusters that are gone: their environments' databases are"
        " taken over by environments of the same namespace and name here.",
    )


class AirflowEnvironmentClassSpec(Model):
    """How environments of this class are built."""

    catalog: Catalog
    sizes: Annotated[tuple[Size, ...], Field(max_length=16), list_map("name")] = Field(
        default=(), description="Sizes that environments choose from."
    )
    defaults: EnvironmentDefaults | None = Field(default=None, description="What every environment gets.")
    stages: Annotated[tuple[StageDefaults, ...], Field(max_length=4), list_map("stage")] = Field(
        default=(), description="What the environments of each stage get; goes before `defaults` and the size."
    )
    ceilings: Ceilings | None = None
    policies: Annotated[tuple[StagePolicy, ...], Field(max_length=4), list_map("stage")] = Field(
        default=(), description="Rules for the environments of each stage."
    )
    network: Network | None = Field(default=None, description="Flows to and from environments.")
    identity: ClassIdentity | None = None
    exposure: Exposure | None = Field(
        default=None, description="How environments are reached from outside of the cluster; not at all if absent."
    )
    required_labels: RequiredLabels = Field(
        default=(), description="Labels that each environment must have, from its tenant or of its own."
    )
    prices: Prices | None = Field(
        default=None, description="What environments cost. Without, what they request is recorded at no price."
    )
    chart: Chart | None = None
    values_template: Annotated[str, StringConstraints(min_length=1, max_length=32768)] | None = Field(
        default=None,
        description="Jinja2 template of the chart's values, instead of the bundled one. Every {{ expression }} is"
        " written as JSON, so that no string of a tenant can become YAML structure.",
    )
    database_servers: Annotated[tuple[DatabaseServer, ...], Field(max_length=16), list_map("name")] = Field(
        default=(), description="PostgreSQL servers for environments with `database.server`; the first is the default."
    )


class TemplateStatus(Model):
    """A pre-migrated database on a server, from which new environments are cloned."""

    server: Label = Field(description="Name of the database server.")
    version: ExactVersion = Field(description="Airflow version that made the schema.")
    revision: Annotated[str, StringConstraints(max_length=63)] = Field(description="Migration revision of the schema.")
    ready: bool = Field(description="Whether it can be cloned.")


class AirflowEnvironmentClassStatus(Model):
    """What the operator saw last."""

    observed_generation: Generation = Field(default=-1, description="The generation that this status speaks of.")
    conditions: Conditions = Field(default=(), description="What is true; Ready is the sum.")
    environments: Count | None = Field(default=None, description="Number of environments of the class.")
    templates: Annotated[tuple[TemplateStatus, ...], Field(max_length=512), list_map("server", "revision")] = Field(
        default=(), description="Databases to clone from."
    )


class AirflowEnvironmentClass(Model):
    """A blueprint of environments."""

    RULES = (named(63),)

    api_version: Literal["airfield.dev/v1alpha1"]
    kind: Literal["AirflowEnvironmentClass"]
    metadata: ObjectMeta
    spec: AirflowEnvironmentClassSpec
    status: AirflowEnvironmentClassStatus | None = None
