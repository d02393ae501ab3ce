"""The values of the environment chart, made by a Jinja2 template from the resolved specification. Pure.

The sandbox has no loader and no access to attributes that start with an underscore; undefined names are errors; and
every expression is written as JSON, so that no string of a tenant ever becomes YAML structure.
"""

import hashlib
import itertools
import json
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from airfield.api.dags import DagBundle
from airfield.environment.resolve import Effective
from airfield.environment.secrets import Key, connection_secret
from airfield.helm.manifests import documents

LARGEST: Final = 512 * 1024
"""Longest text in characters that a values template may produce."""
PASSES: Final = 100_000
"""Passes through all loops of a values template: rendering holds up every other environment."""

BUNDLED_TEMPLATE: Final = files("airfield.environment").joinpath("values.yaml.j2").read_text(encoding="utf-8")


class ValuesError(Exception):
    """The values template failed; the message names the line and what is wrong with it."""


class _Json(str):
    """What `| tojson` has written; it is not written as JSON again."""

    __slots__ = ()


def as_json(value: object) -> str:
    """`value` as JSON that every YAML parser reads back unchanged: what YAML forbids in a text is escaped."""
    if isinstance(value, _Json):
        return value
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_not_data)
    return _Json("".join(character if character.isprintable() else _escaped(character) for character in text))


def _not_data(value: object) -> str:
    if isinstance(value, Undefined):
        return str(value)  # StrictUndefined raises, naming the variable
    raise TypeError(f"a {type(value).__name__} is not data; `| list` makes a list of what a filter yields")


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


@pass_context
def _counted(context: Context, items: Iterable[object]) -> Iterator[object]:
    for item in items:
        if next(context.parent["_passes"]) >= PASSES:
            raise OverflowError(f"the loops make more than {PASSES} passes")
        yield item


_JINJA = SandboxedEnvironment(undefined=StrictUndefined, finalize=as_json, autoescape=False)
_JINJA.filters |= {"tojson": as_json, "_counted": _counted}


@lru_cache(maxsize=64)
def _compiled(source: str) -> Template:
    tree = _JINJA.parse(source)
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
    tree.set_environment(_JINJA)
    return _JINJA.from_string(tree)


def schema_revision(version: str, image: str) -> str:
    """Names a database schema: the Airflow image is what defines it."""
    return hashlib.sha256(f"{version}\n{image}".encode()).hexdigest()[:10]


def revision(effective: Effective) -> str:
    """Names the database schema that an environment needs."""
    return schema_revision(effective.version, effective.image)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a database answers, and how libpq is to protect the connection."""

    host: str
    port: int = 5432
    sslmode: str = "prefer"


def database_endpoint(effective: Effective) -> Endpoint:
    """Where the environment's own PostgreSQL, or the class's server, answers."""
    server = effective.server
    if server is not None:
        return Endpoint(server.host, server.port, server.ssl_mode.value)
    return Endpoint(f"{effective.name}-db.{effective.namespace}.svc")


def context(
    effective: Effective,
    digests: Mapping[str, str],
    *,
    operator_namespace: str,
    external: Endpoint | None = None,
) -> dict[str, Any]:
    """What a values template can use.

    `digests` has a fingerprint for each Secret that the environment reads, `external` the database of a user's Secret.
    """
    settings = effective.settings.to_json()
    image = settings.get("image", {})
    embedded = settings["database"].get("embedded") or {}
    endpoint = external or database_endpoint(effective)
    return {
        "environment": {
            "name": effective.name,
            "namespace": effective.namespace,
            "tenant": effective.tenant,
            "className": effective.class_name,
            "stage": effective.stage.value,
            "labels": dict(effective.labels),
            "version": effective.version,
            "image": effective.image,
            "pullSecrets": [secret["name"] for secret in image.get("pullSecrets", [])],
            "executor": effective.executor.value,
            "config": settings.get("config", {}),
            "env": list({v["name"]: v for v in (*map(_variable, settings.get("env", [])), *_ssl(endpoint))}.values()),
            "bundles": [_bundle(effective.name, bundle) for bundle in effective.bundles],
            "components": settings["components"],
            "logs": settings["logs"]["persistentVolume"],
        },
        "database": {
            "mode": effective.database_mode,
            "host": endpoint.host,
            "port": endpoint.port,
            "image": effective.postgres_image,
            "size": embedded.get("size", "5Gi"),
            "storageClassName": embedded.get("storageClassName", ""),
            "resources": embedded.get("resources", {}),
        },
        "secrets": {key.value: key.secret(effective.name) for key in Key if key is not Key.ADMIN},
        "digests": dict(digests),
        "revision": revision(effective),
        "operator": {"namespace": operator_namespace},
    }


def render_values(template: str | None, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Run a values template (None: the bundled one). ValuesError when it fails or does not yield a mapping."""
    text = ""
    try:
        for part in _compiled(template or BUNDLED_TEMPLATE).generate(variables, _passes=itertools.count()):
            text += part
            if len(text) > LARGEST:
                raise OverflowError(f"it yields more than {LARGEST} characters")  # noqa: TRY301 - as all that it does
    except Exception as error:  # noqa: BLE001 - a template can raise anything; none of it may reach another environment
        raise ValuesError(f"spec.valuesTemplate{_line(error)}: {_said(error)}") from None
    try:
        found = documents(text)
    except ValueError as error:
        raise ValuesError(f"spec.valuesTemplate: yields {_said(error)}") from None
    try:
        json.dumps(found, sort_keys=True, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise ValuesError(f"spec.valuesTemplate: yields what JSON does not have: {_said(error)}") from None
    if len(found) != 1 or not isinstance(found[0], dict):
        kinds = ", ".join(type(document).__name__ for document in found) or "nothing"
        raise ValuesError(f"spec.valuesTemplate: must yield one mapping of chart values, not {kinds}")
    return found[0]


def _line(error: Exception) -> str:
    """Where in the template it happened."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
    return f", line {line}" if line else ""


def _said(error: Exception) -> str:
    text = str(error) if isinstance(error, TemplateError | ValueError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]


def _variable(variable: Mapping[str, Any]) -> dict[str, Any]:
    if "secretKeyRef" in variable:
        return {"name": variable["name"], "secret": variable["secretKeyRef"]}
    return {"name": variable["name"], "value": variable["value"]}


def _ssl(endpoint: Endpoint) -> list[dict[str, str]]:
    """Both libpq and asyncpg read PGSSLMODE, while each spells the option in a URL differently."""
    return [] if endpoint.sslmode == "prefer" else [{"name": "PGSSLMODE", "value": endpoint.sslmode}]


def _bundle(environment: str, bundle: DagBundle) -> dict[str, Any]:
    if bundle.image is not None:
        return {"name": bundle.name, "local": {"path": bundle.image.path, "refreshIntervalSeconds": 60}}
    git = bundle.git
    if git is None:
        raise ValueError(f"bundle {bundle.name!r} has no source")  # resolve refuses it
    return {
        "name": bundle.name,
        "git": {
            "url": git.url,
            "ref": git.ref,
            "subdir": git.subdir or "",
            "refreshIntervalSeconds": git.refresh_interval_seconds or 60,
            "connectionSecret": connection_secret(environment, bundle.name) if git.credentials_secret else "",
        },
    }
