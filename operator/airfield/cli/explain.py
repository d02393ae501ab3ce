"""`airfield explain`: every effective field of an environment, and which layer set it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from typing import Any

import click

from airfield.api.dags import REFRESH_SECONDS
from airfield.cli.output import Failure, Table, to_json
from airfield.cli.sources import Source, Tools, find, unresolved
from airfield.environment.admit import Manifest
from airfield.environment.exposure import Exposed
from airfield.environment.resolve import BUNDLED_LAYER, IMAGE_DAGS, Effective, Unresolved


@dataclass(frozen=True, slots=True)
class Field:
    """One leaf of the effective specification. The path is that of `spec`, but for what tenant and class add."""

    path: str
    value: Any
    origin: str


async def explain(source: Source, tools: Tools, *, prefix: str, output: str) -> None:
    """Print the fields of the one environment that is meant."""
    found = await find(source)
    if len(found.chosen) > 1:
        names = ", ".join("/".join(key) for key in found.chosen)
        raise Failure(f"the files hold {len(found.chosen)} environments; choose one with --name and -n: {names}")
    (key,) = found.chosen
    identity = {"namespace": key[0], "name": key[1]}
    try:
        effective = found.effective(key)
    except Unresolved as error:
        if output == "json":
            problems = [{"reason": problem.reason.value, "message": problem.message} for problem in error.problems]
            click.echo(to_json({**identity, "problems": problems}))
        raise unresolved(key, error) from None
    prefix = prefix.removeprefix("spec.")
    shown = [field for field in fields(effective) if _below(field.path, prefix)]
    if _below(prefix, "config") or not prefix:
        more = await _chart_options(effective, tools, found.kube_version)
        shown += [field for field in more if _below(field.path, prefix)]
    if not shown:
        known = ", ".join(dict.fromkeys(field.path.split(".")[0].split("[")[0] for field in fields(effective)))
        raise Failure(f"no effective field is, or is below, {prefix!r}; there are: {known}")
    if output == "json":
        document = [{"field": field.path, "value": field.value, "setBy": field.origin} for field in shown]
        click.echo(to_json({**identity, "fields": document}))
        return
    rows = [(field.path, _text(field.value), field.origin) for field in shown]
    for line in Table("FIELD", "VALUE", "SET BY").lines(rows):
        click.echo(line)


def fields(effective: Effective) -> Iterator[Field]:
    """Every effective field: whose it is, what the spec says in the end, what the class adds to that."""
    tenant, blueprint = f"tenant {effective.tenant}", f"class {effective.class_name}"
    yield Field("tenant", effective.tenant, tenant)
    yield Field("className", effective.class_name, "environment")
    yield Field("stage", effective.stage.value, "environment")
    yield from _leaves(effective.settings.to_json(), "", effective.origins)
    for bundle in effective.bundles:
        where = f"dags.bundles[{bundle.name}]"
        yield from _leaves({where: bundle.to_json()}, "", {}, BUNDLED_LAYER if bundle is IMAGE_DAGS else "environment")
        if bundle.git is not None and bundle.git.refresh_interval_seconds is None:
            yield Field(f"{where}.git.refreshIntervalSeconds", REFRESH_SECONDS, BUNDLED_LAYER)
    yield Field("catalog.version", effective.version, blueprint)
    own_image = effective.settings.image is not None and effective.settings.image.reference is not None
    if not own_image:
        yield Field("catalog.image", effective.image, blueprint)
    if effective.database_mode == "embedded":
        path = "catalog.postgresImage"
        yield Field(path, effective.postgres_image, effective.origins[path])
    if effective.server is not None:
        yield from _leaves({f"databaseServers[{effective.server.name}]": effective.server.to_json()}, "", {}, blueprint)
    if effective.exposed is not None:
        yield from _exposure(effective.exposed, effective.origins, blueprint)
    yield from _network(effective, blueprint)
    yield Field("valuesTemplate", *(("(custom)", blueprint) if effective.values_template else ("(bundled)", "chart")))
    identity = effective.identity
    if identity is not None:
        oidc = {**identity.provider.model_dump(mode="json", by_alias=True, exclude_none=True)}
        oidc |= {"clientId": identity.client_id, "audience": identity.audience}
        yield from _leaves({"identity": {"oidc": oidc}}, "", {}, blueprint)
        for group, role in sorted(identity.roles.items()):
            yield Field(f"identity.roles[{group}]", role.value, effective.origins[f"identity.roles[{group}]"])
        if identity.client_secret is not None:
            yield from _leaves({"identity.clientSecretRef": identity.client_secret.to_json()}, "", {}, "environment")
    for name, value in sorted(effective.labels.items()):
        yield Field(f"labels[{name}]", value, effective.origins.get(f"labels[{name}]", "operator"))


def _exposure(exposed: Exposed, origins: Mapping[str, str], blueprint: str) -> Iterator[Field]:
    yield Field("exposure.host", exposed.host, origins.get("exposure.host", blueprint))
    if exposed.secret:
        yield Field("exposure.secretName", exposed.secret, origins.get("exposure.secretName", blueprint))
    parts = {"ingress": exposed.ingress, "gateway": exposed.gateway}
    given = {name: part.to_json() for name, part in parts.items() if part is not None}
    yield from _leaves({"exposure": given}, "", {}, blueprint)


def _network(effective: Effective, blueprint: str) -> Iterator[Field]:
    """What is reached and reaches in beside what Airflow needs, as far as somebody says something of it."""
    for number, egress in enumerate(effective.network.egress):
        where = f"network.egress[{number}]"
        yield Field(where, egress.to_json(), effective.origins.get(where, blueprint))
    rest = {name: value for name, value in effective.network.to_json().items() if name != "egress" and value}
    yield from _leaves({"network": rest}, "", {}, blueprint)


async def _chart_options(effective: Effective, tools: Tools, kube_version: str | None) -> list[Field]:
    """The options of config that come with the chart. Without Helm, or with a template that fails, they are missing."""
    from airfield.cli.render import RENDER_ERRORS, hint, rendering  # noqa: PLC0415 - needed for this only

    try:
        async with rendering(tools, kube_version) as rendered:
            return list(options(effective, await rendered(effective)))
    except RENDER_ERRORS as error:
        click.echo(f"The options of config that the chart sets are not shown: {error}{hint(error)}", err=True)
        return []


def options(effective: Effective, objects: Iterable[Manifest]) -> Iterator[Field]:
    """The options of airflow.cfg that no layer has set: the chart does, or a template that the class has."""
    text = next((obj["data"]["airflow.cfg"] for obj in objects if "airflow.cfg" in obj.get("data", {})), "")
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names as they are
    parser.read_string(text)
    origin = f"chart, or valuesTemplate of class {effective.class_name}" if effective.values_template else "chart"
    settings = effective.settings.config or {}
    for section in parser.sections():
        for name, value in parser.items(section):
            if name not in settings.get(section, {}):
                yield Field(f"config.{section}.{name}", value.replace("%%", "%"), origin)


def _leaves(settings: Mapping[str, Any], path: str, origins: Mapping[str, str], default: str = "?") -> Iterator[Field]:
    """The leaves below `path`, with the same paths that merging the layers has given to their origins."""
    for name, value in settings.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, here, origins, default)
        elif here == "env":
            for variable in value:
                where = f"env.{variable['name']}"
                rest = {key: inner for key, inner in variable.items() if key != "name"}
                yield Field(where, rest.get("value", rest), origins.get(where, default))
        else:
            yield Field(here, value, origins.get(here, default))


def _below(path: str, prefix: str) -> bool:
    return not prefix or path == prefix or path.startswith((f"{prefix}.", f"{prefix}["))


def _text(value: Any) -> str:
    """Strings as they are where that can be read; all else as JSON."""
    if isinstance(value, str) and value and value == value.strip() and value.isprintable():
        return value
    return json.dumps(value, ensure_ascii=False)
