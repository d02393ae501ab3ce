"""From a complete specification to the objects of an environment: values by template, objects by Helm, admission.

The reconciler and `airfield render` both call this, so that what a person sees is what the cluster gets.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airfield.environment.admit import Manifest, admit
from airfield.environment.resolve import Effective
from airfield.environment.template.renderer import TemplateRenderer
from airfield.environment.template.sandbox import ValuesError
from airfield.environment.values import Endpoint, context
from airfield.helm.manifests import HelmError
from airfield.helm.template import Helm


async def render(
    helm: Helm,
    templates: TemplateRenderer,
    chart: Path,
    effective: Effective,
    digests: Mapping[str, str],
    *,
    owner: Mapping[str, str],
    operator_namespace: str,
    kube_version: str,
    external: Endpoint | None = None,
) -> list[Manifest]:
    """The objects to apply, in order. `digests` has a fingerprint for each Secret that the environment reads.

    Raises:
        ValuesError: the class's template fails.
        HelmError: the chart fails, or renders nothing.
        NotAdmitted: the chart renders what an environment must not have.
    """
    variables = context(
        effective,
        digests,
        operator_namespace=operator_namespace,
        external=external,
    )
    values = await templates.render(effective.values_template, variables)
    _check_passed_on(effective, values)
    objects = await helm.template(
        chart,
        release=effective.name,
        namespace=effective.namespace,
        values=values,
        kube_version=kube_version,
    )
    if not objects:
        raise HelmError("the chart renders no objects; nothing is changed")
    host = effective.exposed.host if effective.exposed else ""
    return admit(objects, owner=owner, labels=effective.labels, host=host)


def _check_passed_on(effective: Effective, values: Mapping[str, Any]) -> None:
    """ValuesError where a class's own template leaves out what nobody would miss, and everybody relies on."""
    wanted = {
        "exposure": ("host", effective.exposed.host if effective.exposed else None),
        "identity": ("issuer", effective.identity.provider.issuer if effective.identity else None),
    }
    for name, (field, value) in wanted.items():
        given = values.get(name)
        if value is not None and (not isinstance(given, Mapping) or given.get(field) != value):
            raise ValuesError(f"the values template must pass on {name}: write `{name}: {{{{ {name} }}}}` into it")
