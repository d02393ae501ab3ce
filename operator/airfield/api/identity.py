"""Who may log in to Airflow: the company's OpenID Connect provider, and which groups have which role."""

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from airfield.api.base import LIST_SET, ONE_LINE, Model, Rule, SecretKeyReference, list_map, must_match
from airfield.api.network import Egresses
from airfield.api.placeholders import PLACEHOLDER

TELLS_APART: Final = rf"([^{{}}]*{PLACEHOLDER}([.:/_|]|$))*[^{{}}]*"
"""Names have no such character, so that no two environments come to the same text."""


class Role(StrEnum):
    """A role that Airflow's FAB auth manager brings along, the highest first."""

    ADMIN = "Admin"
    OP = "Op"
    USER = "User"
    VIEWER = "Viewer"

    def above(self, other: "Role") -> bool:
        """Whether it may do more than the other."""
        return [*Role].index(self) < [*Role].index(other)


Pattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253, pattern=ONE_LINE),
    must_match(
        rf"([^{{}}]|{PLACEHOLDER})*", "placeholders are {tenant}, {namespace}, {name} and {stage}; no other braces"
    ),
]
"""A text in which placeholders stand for what is known of an environment."""


def apart(pattern: str) -> bool:
    """Whether a pattern gives each environment a text of its own, whatever it is called."""
    there = "{namespace}" in pattern and "{name}" in pattern
    return there and re.fullmatch(TELLS_APART, pattern) is not None


class RoleGrant(Model):
    """A group of the provider, and the role that its members have."""

    group: Pattern = Field(description="The group, as the provider's tokens name it: `airflow-{tenant}-owners`.")
    role: Role = Field(description="Its members' role. Who is in several groups has the roles of all of them.")


RoleGrants = Annotated[tuple[RoleGrant, ...], Field(max_length=64), list_map("group")]
ClaimName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.:/]*$")]
Scope = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[-A-Za-z0-9_.:/]+$")]


class OidcProvider(Model):
    """An OpenID Connect provider."""

    issuer: Annotated[
        str,
        StringConstraints(
            max_length=512,
            pattern=r"^https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?(/[-A-Za-z0-9._~%/]*)?$",
        ),
    ] = Field(description="Its URL, as its tokens say it: `https://login.example.com/realms/company`.")
    client_id: Pattern = Field(
        description="What the provider knows an environment by: `airflow:{namespace}/{name}`. One for many environments"
        " does as well, but then there is no REST API for the provider's tokens without `audience`."
    )
    audience: (
        Annotated[
            Pattern,
            Rule(
                f"self.contains('{{namespace}}') && self.contains('{{name}}') && self.matches(r'^(?:{TELLS_APART})$')",
                "an audience is each environment's own: it has {namespace} and {name}, and behind each placeholder"
                " comes the end or one of . : / _ |",
                apart,
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="What tokens for the REST API must be for. If absent, the client id, where each environment has one"
        " of its own.",
    )
    username_claim: ClaimName = Field(default="preferred_username", description="Claim with the name of an account.")
    subject_claim: ClaimName = Field(
        default="sub",
        description="Claim that stays a person's own whatever they are called: an account stays that of the"
        " person for whom it was made. `oid` for Entra ID, whose `sub` differs from client to client.",
    )
    groups_claim: ClaimName = Field(default="groups", description="Claim with a list of groups.")
    scopes: Annotated[
        tuple[Scope, ...],
        Field(min_length=1, max_length=16),
        LIST_SET,
        Rule("self.exists(s, s == 'openid')", "scopes have openid among them", lambda it: "openid" in it),
    ] = Field(default=("openid", "profile"), description="What is asked of the provider at a login.")
    ca_bundle: (
        Annotated[
            str,
            StringConstraints(max_length=65536, pattern=r"^[-A-Za-z0-9+/=\s]*$"),
            Rule(
                "self.contains('-----BEGIN CERTIFICATE-----')",
                "a CA bundle is certificates in PEM",
                lambda it: "-----BEGIN CERTIFICATE-----" in it,
            ),
        ]
        | None
    ) = Field(default=None, description="Certificates (PEM) of who signs the provider's; those of the image if absent.")
    egress: Egresses = Field(
        default=(), description="Where the provider is, for the API server alone; anywhere on its URL's port if absent."
    )
    session_minutes: Annotated[int, Field(ge=5, le=1440)] = Field(
        default=480, description="How long a login lasts, and a token of the REST API; then groups are looked at anew."
    )


class ClassIdentity(Model):
    """Who may log in to the environments of a class."""

    oidc: OidcProvider | None = Field(
        default=None, description="Without a provider only those have access who have an account in the environment."
    )
    roles: RoleGrants = Field(default=(), description="What groups have in every environment of the class.")
    highest_role: Role = Field(
        default=Role.OP,
        description="The highest role that environments may give. To groups that have a higher one from class or tenant"
        " they can give no other.",
    )


class TenantIdentity(Model):
    """Who may log in to a tenant's environments."""

    roles: RoleGrants = Field(
        default=(), description="What groups have in every environment of the tenant; goes before the class's."
    )


class EnvironmentIdentity(Model):
    """Who may log in to an environment."""

    roles: RoleGrants = Field(
        default=(), description="What groups have in this environment; goes before the tenant's and the class's."
    )
    client_secret_ref: SecretKeyReference | None = Field(
        default=None, description="The secret of the environment's client, where the provider wants one."
    )
