"""What a resolved specification must not say: each check yields the problems that it finds. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airfield.api.dags import DagBundle
from airfield.api.environment import AirflowEnvironment, EnvironmentDefaults
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.quantity import amount
from airfield.api.reserved import reserved_option, reserved_variable
from airfield.environment.layers import Merged
from airfield.environment.reasons import Reason

_OF_THE_CLUSTER = "system-"
"""PriorityClasses that Kubernetes keeps for what a cluster cannot do without."""
_CONFIG_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps an environment from being resolved: what, where, and what to do."""

    reason: Reason
    message: str


def check_kind_of_database(environment: AirflowEnvironment, merged: Merged) -> Iterator[Problem]:
    """The CRD keeps an environment from changing its mind; a class that changes its default must not do it either."""
    known = environment.status.database.mode if environment.status and environment.status.database else None
    chosen = merged.settings["database"]
    if known is None or known in chosen:
        return
    now = next(iter(chosen), "nothing")
    source = next((layer for path, layer in merged.origins.items() if path.startswith(f"database.{now}")), "?")
    yield Problem(
        Reason.DATABASE_CHANGED,
        f"spec.database: the data of this environment is in a database of kind {known!r}, but {source} says {now!r};"
        f" nothing is moved. Set spec.database.{known} in the environment to keep it",
    )


def check_reserved(settings: EnvironmentDefaults, merged: Merged) -> Iterator[Problem]:
    for section, options in (settings.config or {}).items():
        for key in options:
            where, source = f"config.{section}.{key}", merged.origins.get(f"config.{section}.{key}", "?")
            if not _CONFIG_NAME.fullmatch(section) or not _CONFIG_NAME.fullmatch(key):
                yield Problem(
                    Reason.INVALID_SPEC,
                    f"{where} (set by {source}): sections and options are lower-case words of airflow.cfg",
                )
            elif reserved_option(section, key):
                yield Problem(
                    Reason.RESERVED_SETTING,
                    f"{where} (set by {source}): this option belongs to the operator; remove it",
                )
    for variable in settings.env or ():
        if reserved_variable(variable.name):
            source = merged.origins.get(f"env.{variable.name}", "?")
            yield Problem(
                Reason.RESERVED_SETTING,
                f"env.{variable.name} (set by {source}): this variable belongs to the operator; remove it",
            )


def check_bundles(bundles: Sequence[DagBundle]) -> Iterator[Problem]:
    names = [bundle.name for bundle in bundles]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(Reason.INVALID_SPEC, f"dags.bundles: two bundles are called {name!r}; give each its own name")
    for bundle in bundles:
        if (bundle.git is None) == (bundle.image is None):
            yield Problem(
                Reason.INVALID_SPEC, f"dags.bundles[{bundle.name}]: a bundle has exactly one source: git or image"
            )
        for path in (bundle.git.subdir if bundle.git else None, bundle.image.path if bundle.image else None):
            if path is not None and ".." in path.split("/"):
                yield Problem(
                    Reason.INVALID_SPEC, f"dags.bundles[{bundle.name}]: the path {path!r} must not contain '..'"
                )


def check_resources(settings: EnvironmentDefaults, blueprint: AirflowEnvironmentClass) -> Iterator[Problem]:
    ceilings = blueprint.spec.ceilings
    limits = {} if ceilings is None else {"cpu": ceilings.cpu, "memory": ceilings.memory}
    given_components = settings.components.to_json() if settings.components else {}
    components = {f"components.{name}": given for name, given in given_components.items()}
    if settings.database and settings.database.embedded and settings.database.embedded.resources:
        components["database.embedded"] = {"resources": settings.database.embedded.resources.to_json()}
    for component, given in components.items():
        resources = given.get("resources", {})
        for kind, ceiling in {"cpu": None, "memory": None, **limits}.items():
            asked, most = resources.get("requests", {}).get(kind), resources.get("limits", {}).get(kind)
            where = f"{component}.resources"
            if asked and most and amount(asked) > amount(most):
                yield Problem(
                    Reason.INVALID_SPEC, f"{where}: the request for {kind} ({asked}) is above the limit ({most})"
                )
            for word, value in (("requests", asked), ("limits", most)):
                if value and ceiling and amount(value) > amount(ceiling):
                    yield _above(f"{where}.{word}.{kind}", value, ceiling, blueprint)
        if ceilings and ceilings.replicas and given.get("replicas", 0) > ceilings.replicas:
            yield _above(f"{component}.replicas", given["replicas"], ceilings.replicas, blueprint)
    if ceilings and ceilings.storage:
        volumes = {
            "logs.persistentVolume.size": settings.logs and settings.logs.persistent_volume,
            "database.embedded.size": settings.database and settings.database.embedded,
        }
        for where, volume in volumes.items():
            if volume and volume.size and amount(volume.size) > amount(ceilings.storage):
                yield _above(where, volume.size, ceilings.storage, blueprint)


def check_priorities(merged: Merged) -> Iterator[Problem]:
    """No environment goes before what its cluster lives on; the operator's admission policy says so of pods, too."""
    for component, given in merged.settings["components"].items():
        name, where = given.get("priorityClassName") or "", f"components.{component}.priorityClassName"
        if name.startswith(_OF_THE_CLUSTER):
            source = merged.origins.get(where, "?")
            yield Problem(
                Reason.RESERVED_SETTING,
                f"{where} (set by {source}): PriorityClasses called {_OF_THE_CLUSTER}…, such as {name!r}, are for the"
                " cluster itself; name another one",
            )


def apply_ceilings(merged: Merged, blueprint: AirflowEnvironmentClass) -> None:
    """Give containers without a CPU or memory limit the ceiling: what has no limit would be above any."""
    ceilings = blueprint.spec.ceilings
    most = {
        kind: value for kind, value in (ceilings.to_json() if ceilings else {}).items() if kind in {"cpu", "memory"}
    }
    containers = {f"components.{name}": component for name, component in merged.settings["components"].items()}
    if "embedded" in (database := merged.settings["database"]):
        containers["database.embedded"] = database["embedded"]
    for where, container in containers.items():
        limits = container.setdefault("resources", {}).setdefault("limits", {})
        for kind in most.keys() - limits.keys():
            limits[kind] = most[kind]
            merged.origins[f"{where}.resources.limits.{kind}"] = f"ceiling of class {blueprint.metadata.name}"


def _above(where: str, value: object, ceiling: object, blueprint: AirflowEnvironmentClass) -> Problem:
    return Problem(
        Reason.CEILING_EXCEEDED,
        f"{where}: {value} is above the ceiling of class {blueprint.metadata.name!r}, {ceiling}",
    )
