"""What class and tenant demand of every environment: its place, labels, and a policy for each stage. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from airfield.api.environment import AirflowEnvironment, EnvironmentDefaults, Stage
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant
from airfield.environment.checks import Problem
from airfield.environment.reasons import Reason

_LEADS_OUT = re.compile(r"[/:]\.\.([/?#]|$)|%2[ef5]|%5c", re.IGNORECASE)
"""What clients and servers make a way up of: `..`, or a dot, a slash or a per cent sign that is not written as such."""
_PINNED = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|refs/tags/.+")
"""A commit, or a tag by its full name: what is shorter may be a branch. Airflow's git bundle takes all of them."""
_TAG = re.compile(r"(:[^/:@]+)?(@.*)?$")
"""What follows the name of an image. The port of a registry is followed by a slash."""


def check_stage(environment: AirflowEnvironment, tenant: AirflowTenant) -> Iterator[Problem]:
    """A namespace may be for other stages; the message says where this one may be."""
    stage, namespace = environment.spec.stage, environment.metadata.namespace
    places = {place.name: place.stages or tuple(Stage) for place in tenant.spec.namespaces}
    if stage not in places.get(namespace, tuple(Stage)):
        fit = ", ".join(sorted(name for name, stages in places.items() if stage in stages))
        cure = f"make the environment in {fit}" if fit else "the platform team must give the tenant a namespace for it"
        yield Problem(
            Reason.STAGE_NOT_ALLOWED,
            f"spec.stage: namespace {namespace!r} of tenant {tenant.metadata.name!r} is for"
            f" {_listed(places[namespace])}, not for {stage.value!r}; {cure}",
        )


def check_labels(
    environment: AirflowEnvironment, tenant: AirflowTenant, blueprint: AirflowEnvironmentClass
) -> Iterator[Problem]:
    """What governs an environment must be known; and what its tenant says of it, it cannot say otherwise."""
    own, given = environment.spec.labels or {}, tenant.spec.labels or {}
    for key in sorted(key for key in own.keys() & given.keys() if own[key] != given[key]):
        yield Problem(
            Reason.LABEL_REFUSED,
            f"spec.labels.{key}: tenant {tenant.metadata.name!r} says {given[key]!r}, not {own[key]!r}; remove it",
        )
    labels = {**own, **given}
    by_class = ((f"class {blueprint.metadata.name!r}", label) for label in blueprint.spec.required_labels)
    by_tenant = ((f"tenant {tenant.metadata.name!r}", label) for label in tenant.spec.required_labels)
    for whose, required in (*by_class, *by_tenant):
        value, where = labels.get(required.key), f"spec.labels.{required.key}"
        about = f" ({required.description})" if required.description else ""
        choice = f": one of {', '.join(required.values)}" if required.values else ""
        if not value:
            yield Problem(Reason.LABEL_MISSING, f"{where}{about} is missing: {whose} requires it{choice}")
        elif required.values and value not in required.values:
            yield Problem(Reason.LABEL_REFUSED, f"{where}{about}: {whose} does not allow {value!r}{choice}")


def check_policy(
    environment: AirflowEnvironment,
    blueprint: AirflowEnvironmentClass,
    settings: EnvironmentDefaults,
    image: str,
    origins: Mapping[str, str],
) -> Iterator[Problem]:
    """What the class's policy for the environment's stage does not allow, each with the layer that says it.

    `image` as it would run; "" if the version is unknown.
    """
    stage = environment.spec.stage
    policy = next((policy for policy in blueprint.spec.policies if policy.stage is stage), None)
    if policy is None:
        return
    demands = f"the policy of class {blueprint.metadata.name!r} for stage {stage.value!r}"

    def problem(where: str, what: str) -> Problem:
        origin = next((origins[key] for key in (where, f"{where}.reference") if key in origins), None)
        source = f" (set by {origin})" if origin else ""
        return Problem(Reason.POLICY_VIOLATED, f"spec.{where}{source}: {demands} {what}")

    executor, version = settings.executor, settings.version
    if policy.executors and executor and executor not in policy.executors:
        yield problem("executor", f"allows {_listed(policy.executors)}, not {executor.value}")
    if policy.exact_version and version in {channel.name for channel in blueprint.spec.catalog.channels}:
        yield problem("version", f"wants an exact version, and {version!r} is a channel")
    if policy.image_registries and image:
        places = policy.image_registries
        if not _below(image, places) and not _below(_TAG.sub("", image), places):
            yield problem("image", f"allows images of {_listed(places)}, not {image!r}")
    sources = [(bundle.name, bundle.git) for bundle in (environment.spec.dags.bundles if environment.spec.dags else ())]
    for name, git in sources:
        if policy.pinned_refs and git is not None and not _PINNED.fullmatch(git.ref):
            wants = "wants all digits of a commit, or a tag as refs/tags/<name>"
            yield problem(f"dags.bundles[{name}].git.ref", f"{wants}, not {git.ref!r}")
    if policy.git_repositories:
        places = policy.git_repositories
        for variable in settings.env or ():
            if variable.name.startswith("GIT_") or variable.name in {"HOME", "XDG_CONFIG_HOME"}:
                yield problem(
                    f"env.{variable.name}", "allows no variable by which git may be led to another repository"
                )
        for name, git in sources:
            if git is not None and not _below(git.url, places):
                where = f"dags.bundles[{name}].git.url"
                yield problem(where, f"allows repositories of {_listed(places)}, not {git.url!r}")


def _below(name: str, places: Sequence[str]) -> bool:
    """Whether a URL or an image is one of the places or lies below one, as long as nothing in it leads out again."""
    below = any(name == place or name.startswith(place if place[-1] in "/:" else f"{place}/") for place in places)
    return below and not _LEADS_OUT.search(name)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)
