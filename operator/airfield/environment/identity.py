"""Who may log in to an environment: the provider of its class, and the roles of groups from class, tenant, environment.

The layer that is nearest to the environment says which role a group has. An environment is written by its tenant's
editors, so what it may give is bounded by its class; and what is above that bound it cannot take away either. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from airfield.api.base import SecretKeyReference
from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.identity import OidcProvider, Role, apart
from airfield.api.placeholders import fill
from airfield.api.tenant import AirflowTenant
from airfield.environment.checks import Problem
from airfield.environment.layers import Merged
from airfield.environment.reasons import Reason

MOST: Final = 255
"""Characters of a text after its placeholders are filled in."""
SESSION_OPTIONS: Final = (
    ("api_auth", "jwt_expiration_time"),
    ("api_auth", "jwt_cli_expiration_time"),
    ("fab", "session_max_lifetime_minutes"),
)
"""Options that `sessionMinutes` decides."""
WAYS_AROUND: Final = (
    ("api_auth", "jwt_leeway"),
    ("core", "plugins_folder"),
    ("fab", "cache_ttl"),
    ("logging", "logging_config_class"),
)
"""Options that let roles outlive their groups, or code of others into the API server."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The provider, as one environment sees it."""

    provider: OidcProvider
    client_id: str
    audience: str
    """What tokens for the REST API must be for; "" where they would be for other environments as well."""
    roles: Mapping[str, Role]
    client_secret: SecretKeyReference | None


def resolve_identity(
    environment: AirflowEnvironment,
    tenant: AirflowTenant,
    blueprint: AirflowEnvironmentClass,
    merged: Merged,
    problems: list[Problem],
) -> Identity | None:
    """The identity of an environment with these settings, None where its class has no provider.

    Adds to `problems`, and to the origins of what is merged: which layer gave a group its role.
    """
    own, of_class = environment.spec.identity, blueprint.spec.identity
    provider = of_class.oidc if of_class else None
    if of_class is None or provider is None:
        if own is not None:
            said = f"spec.identity: class {blueprint.metadata.name!r} has no OpenID Connect provider; remove it"
            problems.append(Problem(Reason.IDENTITY_REFUSED, said))
        return None
    filler = {
        "tenant": tenant.metadata.name,
        "namespace": environment.metadata.namespace,
        "name": environment.metadata.name,
        "stage": environment.spec.stage.value,
    }
    layers = (
        (f"class {blueprint.metadata.name}", of_class.roles),
        (f"tenant {tenant.metadata.name}", tenant.spec.identity.roles if tenant.spec.identity else ()),
        ("environment", own.roles if own else ()),
    )
    roles: dict[str, Role] = {}
    for layer, grants in layers:
        for grant in grants:
            group, where = fill(grant.group, filler), f"identity.roles[{grant.group}] (set by {layer})"
            if len(group) > MOST:
                problems.append(_refused(f"{where}: the group's name has more than {MOST} characters"))
            elif layer == "environment" and (problem := _above(where, group, grant.role, roles, of_class.highest_role)):
                problems.append(problem)
            else:
                roles[group], merged.origins[f"identity.roles[{group}]"] = grant.role, layer
    for section, option in SESSION_OPTIONS:
        if option in merged.settings.get("config", {}).get(section, {}):
            said = f"config.{section}.{option}: how long a login lasts is for the class to say; remove it"
            problems.append(Problem(Reason.RESERVED_SETTING, said))
    for section, option in WAYS_AROUND:
        if option in merged.settings.get("config", {}).get(section, {}):
            said = f"config.{section}.{option}: could let people in past the provider; remove it"
            problems.append(Problem(Reason.RESERVED_SETTING, said))
    whose = f"class {blueprint.metadata.name!r}: identity.oidc"
    if provider.ca_bundle is not None and not _certificates(provider.ca_bundle):
        problems.append(_refused(f"{whose}.caBundle: this is not a list of certificates in PEM"))
    client_id = fill(provider.client_id, filler)
    told_apart = provider.audience or (provider.client_id if apart(provider.client_id) else "")
    audience = fill(told_apart, filler)
    if max(len(client_id), len(audience)) > MOST:
        problems.append(_refused(f"{whose}: clientId or audience has more than {MOST} characters for this environment"))
    secret = own.client_secret_ref if own else None
    return Identity(provider, client_id, audience, roles, secret)


def _above(where: str, group: str, role: Role, given: Mapping[str, Role], highest: Role) -> Problem | None:
    """What is wrong with a role that an environment gives."""
    if role.above(highest):
        return _refused(f"{where}: an environment may give no higher role than {highest.value}, not {role.value}")
    former = given.get(group)
    if former is not None and former.above(highest):
        return _refused(
            f"{where}: the group has the role {former.value} from tenant or class, which an environment cannot change"
        )
    return None


def _certificates(text: str) -> bool:
    """Whether it is a list of certificates."""
    from cryptography import x509  # noqa: PLC0415 - a command that finds none should not wait for it

    try:
        return bool(x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return False


def _refused(message: str) -> Problem:
    return Problem(Reason.IDENTITY_REFUSED, message)
