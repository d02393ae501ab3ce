"""`airfield render`: the objects that environments in files would get, by the reconciler's own code."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import click

from airfield.cli.output import Failure, as_list, to_json, to_yaml
from airfield.cli.sources import Source, Tools, find, unresolved
from airfield.environment.admit import Manifest, NotAdmitted
from airfield.environment.render import render as render_objects
from airfield.environment.resolve import Effective, Unresolved
from airfield.environment.secrets import Key, connection_secret, references
from airfield.environment.template.renderer import TemplateRenderer
from airfield.environment.template.sandbox import ValuesError
from airfield.helm.manifests import HelmError
from airfield.helm.template import Helm
from airfield.settings import Settings

KUBE_VERSION: Final = "1.36.3"
NOT_CREATED: Final = "not-created"
"""Stands for the digest of a Secret, none of which is looked at."""
RENDER_ERRORS: Final = (HelmError, ValuesError, NotAdmitted)
NO_UID: Final = "00000000-0000-0000-0000-000000000000"
"""Stands for the uid of the environment, which the API server gives it."""


@asynccontextmanager
async def rendering(
    tools: Tools, kube_version: str | None
) -> AsyncIterator[Callable[[Effective], Awaitable[list[Manifest]]]]:
    """Gives what renders an environment; `kube_version`: the cluster's, if one is asked."""
    try:
        settings = Settings.from_environ()
    except ValueError as error:
        raise Failure(str(error)) from None
    helm = Helm(tools.helm or settings.helm)
    async with TemplateRenderer() as templates:
        yield lambda effective: render_one(
            helm,
            templates,
            tools.chart or settings.chart,
            effective,
            operator_namespace=settings.namespace,
            kube_version=tools.kube_version or kube_version or KUBE_VERSION,
        )


async def render(source: Source, tools: Tools, *, output: str) -> None:
    """Print the objects of all environments that are meant, and name the Secrets that go with them on stderr."""
    found = await find(source)
    objects: list[Manifest] = []
    async with rendering(tools, found.kube_version) as rendered:
        for key in found.chosen:
            try:
                effective = found.effective(key)
                objects += await rendered(effective)
            except Unresolved as error:
                raise unresolved(key, error) from None
            except RENDER_ERRORS as error:
                raise Failure(f"AirflowEnvironment {'/'.join(key)}: {error}{hint(error)}") from None
            for note in notes(effective):
                click.echo(f"{'/'.join(key)}: {note}", err=True)
    click.echo(to_json(as_list(objects)) if output == "json" else to_yaml(objects), nl=output == "json")


async def render_one(
    helm: Helm,
    templates: TemplateRenderer,
    chart: Path,
    effective: Effective,
    *,
    operator_namespace: str,
    kube_version: str,
) -> list[Manifest]:
    """The objects of one environment, with stand-ins for what only a cluster has."""
    return await render_objects(
        helm,
        templates,
        chart,
        effective,
        dict.fromkeys(sorted({*generated(effective), *derived(effective), *asked(effective)}), NOT_CREATED),
        owner={"name": effective.name, "namespace": effective.namespace, "uid": NO_UID},
        operator_namespace=operator_namespace,
        kube_version=kube_version,
    )


def generated(effective: Effective) -> list[str]:
    """The Secrets that the operator makes once and that pods read."""
    external = effective.database_mode == "external"
    return [
        key.secret(effective.name) for key in Key if key is not Key.ADMIN and not (external and key is Key.DATABASE)
    ]


def derived(effective: Effective) -> list[str]:
    """The Secrets that the operator makes out of the user's."""
    names = [connection_secret(effective.name, b.name) for b in effective.bundles if b.git and b.git.credentials_secret]
    return [*names, Key.DATABASE.secret(effective.name)] if effective.database_mode == "external" else names


def asked(effective: Effective) -> list[str]:
    """The Secrets that somebody must make."""
    return sorted({reference.secret for reference in references(effective)})


def notes(effective: Effective) -> list[str]:
    """What the objects do not show."""
    made = [*generated(effective), Key.ADMIN.secret(effective.name), *derived(effective)]
    found = [f"the operator also makes the Secrets {', '.join(made)}"]
    if asked(effective):
        found.append(f"you must make the Secrets {', '.join(asked(effective))}")
    exposed = effective.exposed
    if exposed is not None and exposed.secret:
        who = "cert-manager fills" if exposed.issuer else "you must make"
        found.append(f"the certificate of {exposed.host} is to be in the Secret {exposed.secret}, which {who}")
    if effective.database_mode == "external":
        found.append("the database's host and port stand in a Secret, so that NetworkPolicies do not have them here")
    return found


def hint(error: Exception) -> str:
    """What to do about the two things that a fresh machine lacks."""
    if str(error).startswith("cannot run "):
        return "; install Helm 4, or give its path with --helm"
    return "; give the folder of the chart with --chart" if str(error).startswith("cannot read chart") else ""
