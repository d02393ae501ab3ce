"""How an environment is reached from outside: its host name, whose that is, and where its certificate is. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airfield.api.environment import AirflowEnvironment, EnvironmentDefaults
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.exposure import Exposure, Gateway, Ingress, IssuerReference, OwnExposure
from airfield.api.placeholders import fill
from airfield.environment.checks import Problem
from airfield.environment.layers import Merged
from airfield.environment.reasons import Reason

Key = tuple[str, str]

LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LONGEST: Final = 253
SCHEME: Final = "https://"
_VARIANTS: Final = ("base_url", "base_url_cmd", "base_url_secret")


@dataclass(frozen=True, slots=True)
class Exposed:
    """How one environment is reached."""

    host: str
    ingress: Ingress | None
    gateway: Gateway | None
    secret: str
    """Secret of the environment's namespace that has the certificate; "" where the controller has one of its own."""
    issuer: IssuerReference | None
    """Who is asked for the certificate; None: somebody else puts it into the Secret."""
    warning_days: int
    """Before a certificate expires."""

    @property
    def url(self) -> str:
        """Where people find UI and API."""
        return SCHEME + self.host


def wanted_host(body: Mapping[str, Any], tenant: str, blueprint: Mapping[str, Any]) -> str | None:
    """The host name that an environment wants, by resources as they are in the cluster; None when it wants none."""
    spec, exposure = body.get("spec") or {}, (blueprint.get("spec") or {}).get("exposure") or {}
    template, own = exposure.get("hostTemplate"), (spec.get("exposure") or {}).get("host")
    if template is None or own is not None:
        return own if exposure else None
    metadata = body["metadata"]
    values = {"name": metadata["name"], "namespace": metadata["namespace"], "stage": str(spec.get("stage", ""))}
    return fill(template, {**values, "tenant": tenant})


def exposed(
    environment: AirflowEnvironment, tenant: str, blueprint: AirflowEnvironmentClass, problems: list[Problem]
) -> Exposed | None:
    """How an environment is reached; None when its class exposes none. What is wrong is added to `problems`."""
    exposure, own = blueprint.spec.exposure, environment.spec.exposure or OwnExposure()
    class_name = blueprint.metadata.name
    if exposure is None:
        if environment.spec.exposure is not None:
            said = f"spec.exposure: class {class_name!r} exposes no environments; remove it, or ask the platform team"
            problems.append(Problem(Reason.EXPOSURE_REFUSED, said))
        return None
    metadata = environment.metadata
    values = {"name": metadata.name, "namespace": metadata.namespace, "tenant": tenant}
    values["stage"] = environment.spec.stage.value
    host = own.host or fill(exposure.host_template, values)
    problems += _check_host(host, own, exposure, class_name, values)
    tls = exposure.ingress.tls if exposure.ingress else None
    if own.secret_name is not None and exposure.gateway is not None:
        said = (
            f"spec.exposure.secretName: the Gateway of class {class_name!r} has the certificate of all its"
            " environments; remove it"
        )
        problems.append(Problem(Reason.EXPOSURE_REFUSED, said))
    issuer = tls.issuer_ref if tls and own.secret_name is None else None
    secret = own.secret_name or (fill(tls.secret_name, values) if tls and tls.secret_name else "")
    if len(secret) > LONGEST:
        said = f"exposure.ingress.tls.secretName of class {class_name!r}: {secret!r} has more than {LONGEST} characters"
        problems.append(Problem(Reason.EXPOSURE_REFUSED, said))
    return Exposed(
        host=host,
        ingress=exposure.ingress,
        gateway=exposure.gateway,
        secret=f"{metadata.name}-tls" if issuer else secret,
        issuer=issuer,
        warning_days=exposure.expiry_warning_days,
    )


def _check_host(
    host: str, own: OwnExposure, exposure: Exposure, class_name: str, values: Mapping[str, str]
) -> Iterator[Problem]:
    suffixes = [fill(suffix, values) for suffix in exposure.host_suffixes]
    if own.host is not None and not own.host.endswith(tuple(f".{suffix}" for suffix in suffixes)):
        allowed = ", ".join(suffixes) or "none"
        yield Problem(
            Reason.EXPOSURE_REFUSED,
            f"spec.exposure.host: {host!r} is below none of the domains that class {class_name!r} allows ({allowed});"
            " remove it to get a name by the class's template",
        )
    where = "spec.exposure.host" if own.host is not None else f"exposure.hostTemplate of class {class_name!r}"
    wrong = [label for label in host.split(".") if not LABEL.fullmatch(label)]
    if wrong or len(host) > LONGEST:
        why = f"{wrong[0]!r} is no label of 1 to 63 characters" if wrong else f"it has more than {LONGEST} characters"
        yield Problem(Reason.EXPOSURE_REFUSED, f"{where}: {host!r} is no host name: {why}; choose shorter names")


def check_base_url(settings: EnvironmentDefaults, merged: Merged) -> Iterator[Problem]:
    """Airflow is told its host name by the chart: whoever is exposed cannot say another one."""
    for section in ("api", "webserver"):  # the latter is its former place, which Airflow still reads
        for option in ((settings.config or {}).get(section) or {}).keys() & set(_VARIANTS):
            yield _reserved(f"config.{section}.{option}", merged.origins.get(f"config.{section}.{option}", "?"))
        names = {f"AIRFLOW__{section}__{option}".upper() for option in _VARIANTS}
        for variable in settings.env or ():
            if variable.name in names:
                yield _reserved(f"env.{variable.name}", merged.origins.get(f"env.{variable.name}", "?"))


def _reserved(where: str, source: str) -> Problem:
    said = f"{where} (set by {source}): follows from the host name, since the class exposes its environments; remove it"
    return Problem(Reason.RESERVED_SETTING, said)
