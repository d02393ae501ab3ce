"""Environments, classes and tenants out of files, out of the cluster, or of both; and what they resolve to."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.base import Model
from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant
from airfield.cli.output import Failure
from airfield.environment.checks import Problem
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective, Unresolved, resolve, validation_messages
from airfield.helm.manifests import documents
from airfield.kube.resources import Key, Resources

M = TypeVar("M", bound=Model)

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_KINDS: Final = ("AirflowEnvironment", "AirflowTenant", "AirflowEnvironmentClass")


def unresolved(key: tuple[str, str], error: Unresolved) -> Failure:
    """All problems, each on a line of its own."""
    lines = [f"AirflowEnvironment {'/'.join(key)} does not resolve:"]
    return Failure("\n".join([*lines, *(f"  {_one_line(problem)}" for problem in error.problems)]))


def _one_line(problem: Problem) -> str:
    return f"{problem.reason}: {' '.join(problem.message.split())}"


@dataclass(frozen=True, slots=True)
class Tools:
    """What to render with; None stands for what the settings, or the cluster that is asked, say."""

    helm: str | None = None
    chart: Path | None = None
    kube_version: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Which environments are meant, and where everything comes from."""

    files: tuple[str, ...]
    name: str | None = None
    namespace: str | None = None
    cluster: bool = False
    """Whether the cluster is asked for the classes and tenants that the files lack. Without files it always is."""
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """All that was found, and the environments that are meant, sorted."""

    resources: Resources
    chosen: tuple[Key, ...]
    complete: bool
    """Whether a class or tenant that is missing does not exist, rather than was not given."""
    kube_version: str | None = None

    def effective(self, key: Key) -> Effective:
        """What an environment resolves to. Unresolved has all that is wrong with it."""
        problems: list[Problem] = []
        environment = _valid(AirflowEnvironment, self.resources.environments[key], "", Reason.INVALID_SPEC, problems)
        claims = self.resources.claims(key[0])
        holder = self.resources.holder(key[0])
        tenant = _valid(AirflowTenant, holder, _title(holder), Reason.NO_TENANT, problems) if holder else None
        if len(claims) > 1 and any("creationTimestamp" not in claim["metadata"] for claim in claims):
            names = ", ".join(claim["metadata"]["name"] for claim in claims)
            problems.append(
                Problem(
                    Reason.NAMESPACE_CONFLICT,
                    f"metadata.namespace: more than one AirflowTenant lists namespace {key[0]!r}: {names};"
                    " remove it from all but one",
                )
            )
        if not self.complete and not claims:
            problems.append(
                Problem(
                    Reason.NO_TENANT,
                    f"metadata.namespace: no AirflowTenant in the files lists namespace {key[0]!r};"
                    " add the tenant's file with -f, or take it from the cluster with --cluster",
                )
            )
        blueprint = self._blueprint(key, problems)
        if problems or environment is None:
            raise Unresolved(problems)
        return resolve(environment, tenant, blueprint)

    def _blueprint(self, key: Key, problems: list[Problem]) -> AirflowEnvironmentClass | None:
        name = _class_name(self.resources.environments[key])
        body = self.resources.classes.get(name)
        if body is not None:
            return _valid(AirflowEnvironmentClass, body, _title(body), Reason.CLASS_INVALID, problems)
        if name and not self.complete:
            problems.append(
                Problem(
                    Reason.CLASS_NOT_FOUND,
                    f"spec.className: no AirflowEnvironmentClass {name!r} in the files;"
                    " add the class's file with -f, or take it from the cluster with --cluster",
                )
            )
        return None


async def find(source: Source) -> Found:
    """Read everything that a source names. Failure says what cannot be read, or that there is no such environment."""
    resources = read(source.files, source.namespace)
    if source.files and not source.cluster:
        return Found(resources, _choose(resources, source), complete=False)
    from airfield.cli import cluster  # noqa: PLC0415 - most of the start-up time, and only needed here

    async with cluster.connect(source.context) as (kube, namespace):
        if source.files:
            chosen = _choose(resources, source)
        else:
            chosen = ((source.namespace or namespace, source.name or ""),)
            resources.environments[chosen[0]] = await cluster.environment(kube, *chosen[0])
        names = {_class_name(resources.environments[key]) for key in chosen} - {"", *resources.classes}
        resources.classes |= await cluster.classes(kube, names)
        resources.tenants = {**await cluster.tenants(kube), **resources.tenants}
        version = await kube.version()
    return Found(resources, chosen, complete=True, kube_version=version.lstrip("v").split("+")[0].split("-")[0])


def read(files: tuple[str, ...], namespace: str | None = None) -> Resources:
    """All resources of ours in the files. Other objects are passed over."""
    resources = Resources()
    origins: dict[tuple[str, str, str], str] = {}
    for file, body in _objects(files):
        kind, name = body.get("kind", ""), _name(body, file)
        where = ""
        if kind == "AirflowEnvironment":
            where = body["metadata"].get("namespace") or namespace or ""
            if not where or not isinstance(where, str):
                raise Failure(f"{file}: AirflowEnvironment {name!r} has no metadata.namespace: add it, or give -n")
            resources.environments[where, name] = {**body, "metadata": {**body["metadata"], "namespace": where}}
        elif kind == "AirflowTenant":
            resources.tenants[name] = body
        else:
            resources.classes[name] = body
        identity = (kind, where, name)
        if identity in origins:
            raise Failure(f"{kind} {name!r} occurs twice: in {origins[identity]} and in {file}")
        origins[identity] = file
    return resources


def _class_name(body: Mapping[str, Any]) -> str:
    """The class that an environment, valid or not, names; "" if it names none."""
    spec = body.get("spec")
    name = spec.get("className") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) else ""


def _choose(resources: Resources, source: Source) -> tuple[Key, ...]:
    there = sorted(resources.environments)
    chosen = [
        key
        for key in there
        if source.name in {None, key[1]} and (source.namespace is None or source.namespace == key[0])
    ]
    if not chosen:
        known = ", ".join("/".join(key) for key in there) or "no AirflowEnvironment at all"
        wanted = " ".join(filter(None, (source.name, source.namespace and f"in namespace {source.namespace}")))
        raise Failure(
            f"no environment {wanted} in the files: they hold {known}" if wanted else f"the files hold {known}"
        )
    return tuple(chosen)


def _objects(files: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of one of our kinds, with the file that it is from; lists are taken apart."""
    for file in _expanded(files):
        try:
            text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            found = documents(text)
        except OSError as error:
            raise Failure(f"cannot read {file}: {error.strerror or error}") from None
        except ValueError as error:
            raise Failure(f"{_shown(file)} contains {error}") from None
        while found:
            body = found.pop(0)
            if not isinstance(body, dict):
                continue
            items = body.get("items")
            if str(body.get("kind")).endswith("List") and isinstance(items, list):
                found[:0] = items
            elif body.get("kind") in _KINDS and str(body.get("apiVersion")).startswith(f"{meta.GROUP}/"):
                yield _shown(file), body


def _expanded(files: tuple[str, ...]) -> Iterator[str]:
    """Folders as the files directly in them, by name, as `kubectl -f` has it."""
    for file in files:
        if file == "-" or not Path(file).is_dir():
            yield file
            continue
        inside = sorted(str(path) for path in Path(file).iterdir() if path.suffix in _SUFFIXES and path.is_file())
        if not inside:
            raise Failure(f"{file} holds no .yaml, .yml or .json files")
        yield from inside


def _shown(file: str) -> str:
    return "standard input" if file == "-" else file


def _name(body: Mapping[str, Any], file: str) -> str:
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str) or not name:
        raise Failure(f"{file}: an {body['kind']} has no metadata.name")
    return name


def _title(body: Mapping[str, Any]) -> str:
    return f"{body['kind']} {body['metadata']['name']!r}: "


def _valid(model: type[M], body: Mapping[str, Any], title: str, reason: Reason, problems: list[Problem]) -> M | None:
    """The model of a resource; None, and what is wrong in `problems`, if it has none."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems += [Problem(reason, title + message.removeprefix(": ")) for message in validation_messages(error)]
        return None
