"""From an environment, its tenant and its class to one complete, permitted specification; or to all that is wrong.

Order of the layers: bundled defaults < class < size < stage < environment. Nothing here trusts that the API server
has validated anything.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.dags import DagBundle, ImageSource
from airfield.api.environment import (
    MAX_NAME,
    AirflowEnvironment,
    DeletionPolicy,
    EnvironmentDefaults,
    Executor,
    Stage,
)
from airfield.api.environment_class import AirflowEnvironmentClass, DatabaseServer
from airfield.api.network import Network
from airfield.api.tenant import AirflowTenant
from airfield.environment.checks import (
    Problem,
    apply_ceilings,
    check_bundles,
    check_kind_of_database,
    check_priorities,
    check_reserved,
    check_resources,
)
from airfield.environment.exposure import Exposed, check_base_url, exposed
from airfield.environment.governance import check_labels, check_policy, check_stage
from airfield.environment.identity import Identity, resolve_identity
from airfield.environment.layers import Layer, fill, merge
from airfield.environment.reasons import Reason

EMBEDDED: Final[Mapping[str, Any]] = {
    "size": "5Gi",
    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
}
"""What an embedded database has if nobody says otherwise; also where a layer in between wants another kind."""
BUNDLED: Final[Mapping[str, Any]] = {
    "database": {"embedded": EMBEDDED},
    "executor": "KubernetesExecutor",
    "deletionPolicy": "Orphan",
    "logs": {"persistentVolume": {"size": "5Gi", "accessMode": "ReadWriteMany"}},
    "components": {
        "apiServer": {
            "replicas": 1,
            "resources": {"requests": {"cpu": "100m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}},
        },
        "scheduler": {
            "replicas": 1,
            "resources": {"requests": {"cpu": "100m", "memory": "320Mi"}, "limits": {"memory": "1Gi"}},
        },
        "dagProcessor": {
            "replicas": 1,
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        },
        "triggerer": {
            "replicas": 1,
            "resources": {"requests": {"cpu": "50m", "memory": "320Mi"}, "limits": {"memory": "1Gi"}},
        },
        "workers": {"resources": {"requests": {"cpu": "100m", "memory": "320Mi"}, "limits": {"memory": "1Gi"}}},
    },
}
BUNDLED_LAYER: Final = "bundled defaults"
IMAGE_DAGS: Final = DagBundle(name="dags", image=ImageSource(path="/opt/airflow/dags"))
"""Where DAGs come from if nobody says: the folder that is Airflow's own default in an image."""
POSTGRES_IMAGE: Final = "airfield/postgres:17"
NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Effective:
    """A complete specification: every field that rendering needs has a value."""

    name: str
    namespace: str
    tenant: str
    class_name: str
    stage: Stage
    version: str
    image: str
    postgres_image: str
    settings: EnvironmentDefaults
    bundles: tuple[DagBundle, ...]
    labels: Mapping[str, str]
    server: DatabaseServer | None
    network: Network
    """That of the class, with what the tenant may reach in addition."""
    identity: Identity | None
    """None: who has an account in the environment logs in with its password."""
    exposed: Exposed | None
    """How it is reached from outside of the cluster; None: not at all."""
    values_template: str | None
    origins: Mapping[str, str]

    @property
    def executor(self) -> Executor:
        return self.settings.executor or Executor.KUBERNETES

    @property
    def deletion_policy(self) -> DeletionPolicy:
        return self.settings.deletion_policy or DeletionPolicy.ORPHAN

    @property
    def database_mode(self) -> str:
        database = self.settings.database
        if database is None or database.embedded is not None:
            return "embedded"
        return "server" if database.server is not None else "external"


class Unresolved(Exception):  # noqa: N818 - the word of the condition
    """The environment cannot be resolved; `problems` says all that is wrong, the first being the main one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)

    @classmethod
    def because(cls, reason: Reason, message: str) -> Self:
        """The error for a single problem, one that makes looking for others pointless."""
        return cls([Problem(reason, message)])


def resolve(
    environment: AirflowEnvironment, tenant: AirflowTenant | None, blueprint: AirflowEnvironmentClass | None
) -> Effective:
    """Resolve `environment`, given the tenant that its namespace belongs to, and its class (None: there is none)."""
    spec, metadata = environment.spec, environment.metadata
    if len(metadata.name) > MAX_NAME or not NAME.fullmatch(metadata.name):
        raise Unresolved.because(
            Reason.INVALID_SPEC,
            f"metadata.name {metadata.name!r} must be a DNS label of at most {MAX_NAME} characters"
            " that starts with a letter",
        )
    if tenant is None:
        raise Unresolved.because(
            Reason.NO_TENANT,
            f"namespace {metadata.namespace!r} belongs to no AirflowTenant; the platform team must add it to a"
            " tenant's spec.namespaces",
        )
    if blueprint is None:
        raise Unresolved.because(
            Reason.CLASS_NOT_FOUND,
            f"spec.className: there is no AirflowEnvironmentClass {spec.class_name!r}; `kubectl get"
            " afclass` lists those that exist",
        )
    if spec.class_name not in tenant.spec.allowed_classes:
        allowed = ", ".join(sorted(tenant.spec.allowed_classes)) or "none"
        raise Unresolved.because(
            Reason.CLASS_NOT_ALLOWED,
            f"spec.className: tenant {tenant.metadata.name!r} may not use class {spec.class_name!r}"
            f" (allowed: {allowed}); ask the platform team",
        )
    merged = merge(layers(environment, blueprint))
    moved = [*check_kind_of_database(environment, merged)]  # now that the layer is known that chose it
    if "embedded" in merged.settings["database"]:
        fill(merged, Layer(BUNDLED_LAYER, {"database": {"embedded": EMBEDDED}}))
    apply_ceilings(merged, blueprint)
    try:
        settings = _settings(json.dumps(merged.settings))
    except ValidationError as error:
        raise Unresolved([Problem(Reason.INVALID_SPEC, message) for message in validation_messages(error)]) from None
    problems = [
        *check_stage(environment, tenant),
        *check_labels(environment, tenant, blueprint),
        *check_reserved(settings, merged),
        *check_bundles(spec.dags.bundles if spec.dags else ()),
        *check_resources(settings, blueprint),
        *check_priorities(merged),
        *moved,
    ]
    version, image = _version(settings, blueprint, problems)
    server = _server(settings, blueprint, problems)
    identity = resolve_identity(environment, tenant, blueprint, merged, problems)
    reached = exposed(environment, tenant.metadata.name, blueprint, problems)
    problems += check_base_url(settings, merged) if reached else ()
    problems += check_policy(environment, blueprint, settings, image, merged.origins)
    if problems:
        raise Unresolved(problems)
    own_postgres = blueprint.spec.catalog.postgres_image
    return Effective(
        name=metadata.name,
        namespace=metadata.namespace,
        tenant=tenant.metadata.name,
        class_name=spec.class_name,
        stage=spec.stage,
        version=version,
        image=image,
        postgres_image=own_postgres or POSTGRES_IMAGE,
        settings=settings,
        bundles=(spec.dags.bundles if spec.dags else ()) or (IMAGE_DAGS,),
        labels={
            **(spec.labels or {}),
            **(tenant.spec.labels or {}),
            meta.LABEL_TENANT: tenant.metadata.name,
            meta.LABEL_CLASS: spec.class_name,
            meta.LABEL_STAGE: spec.stage.value,
        },
        server=server,
        network=_network(blueprint, tenant),
        identity=identity,
        exposed=reached,
        values_template=blueprint.spec.values_template,
        origins={
            **merged.origins,
            **{f"labels[{key}]": "environment" for key in spec.labels or ()},
            **{f"exposure.{key}": "environment" for key in (spec.exposure.to_json() if spec.exposure else ())},
            **{f"labels[{key}]": f"tenant {tenant.metadata.name}" for key in tenant.spec.labels or ()},
            **{f"network.egress[{n}]": f"tenant {tenant.metadata.name}" for n in _added(blueprint, tenant)},
            "catalog.postgresImage": f"class {spec.class_name}" if own_postgres else BUNDLED_LAYER,
        },
    )


@lru_cache(maxsize=256)
def _settings(text: str) -> EnvironmentDefaults:
    """Settings by their JSON: most environments of a class have the same, which then are in memory once."""
    return EnvironmentDefaults.model_validate(json.loads(text))


def validation_messages(error: ValidationError) -> list[str]:
    """One line for each finding of pydantic: the field's path and what is wrong, without echoing long input."""
    return [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors(include_url=False)]


def _network(blueprint: AirflowEnvironmentClass, tenant: AirflowTenant) -> Network:
    network = blueprint.spec.network or Network()
    return network.model_copy(update={"egress": (*network.egress, *tenant.spec.egress)})


def _added(blueprint: AirflowEnvironmentClass, tenant: AirflowTenant) -> range:
    """Which of the network's ways out are the tenant's."""
    first = len(blueprint.spec.network.egress) if blueprint.spec.network else 0
    return range(first, first + len(tenant.spec.egress))


def layers(environment: AirflowEnvironment, blueprint: AirflowEnvironmentClass) -> Iterator[Layer]:
    """The layers of an environment, the lowest first. Unresolved when the class lacks the size that one asks for."""
    own = {
        key: value
        for key, value in environment.spec.to_json().items()
        if key not in {"className", "stage", "dags", "exposure", "identity", "labels"}
    }
    general = blueprint.spec.defaults.to_json() if blueprint.spec.defaults else {}
    stage = next((s.defaults.to_json() for s in blueprint.spec.stages if s.stage == environment.spec.stage), {})
    size_name = own.get("size") or stage.get("size") or general.get("size")
    yield Layer(BUNDLED_LAYER, BUNDLED)
    yield Layer(f"class {blueprint.metadata.name}", general)
    if size_name is not None:
        sizes = {size.name: size.defaults for size in blueprint.spec.sizes}
        if size_name not in sizes:
            known = ", ".join(sorted(sizes)) or "none"
            raise Unresolved.because(
                Reason.SIZE_NOT_FOUND,
                f"spec.size: class {blueprint.metadata.name!r} has no size {size_name!r} (it has: {known})",
            )
        yield Layer(f"size {size_name}", {**sizes[size_name].to_json(), "size": size_name})
    yield Layer(f"stage {environment.spec.stage.value}", stage)
    yield Layer("environment", own)


def _version(
    settings: EnvironmentDefaults, blueprint: AirflowEnvironmentClass, problems: list[Problem]
) -> tuple[str, str]:
    catalog = blueprint.spec.catalog
    channels = {channel.name: channel.version for channel in catalog.channels}
    images = {entry.version: entry.image for entry in catalog.versions}
    wanted = settings.version
    version = channels.get(wanted or "", wanted)
    if version is None or version not in images:
        offer = ", ".join([*sorted(channels), *sorted(images)])
        asked = (
            f"class {blueprint.metadata.name!r} does not offer {wanted!r}" if wanted else "nothing says which version"
        )
        problems.append(Problem(Reason.VERSION_NOT_FOUND, f"spec.version: {asked} (choose one of: {offer})"))
        return "", ""
    own_image = settings.image.reference if settings.image else None
    return version, own_image or images[version]


def _server(
    settings: EnvironmentDefaults, blueprint: AirflowEnvironmentClass, problems: list[Problem]
) -> DatabaseServer | None:
    if settings.database is None or settings.database.server is None:
        return None
    servers = blueprint.spec.database_servers
    name = settings.database.server.name
    found = next((server for server in servers if name in {None, server.name}), None)
    if found is None:
        known = ", ".join(sorted(server.name for server in servers)) or "none"
        which = "any database server" if name is None else f"a database server {name!r}"
        problems.append(
            Problem(
                Reason.SERVER_NOT_FOUND,
                f"spec.database.server.name: class {blueprint.metadata.name!r} does not have {which} (it has: {known})",
            )
        )
    return found
