"""How people reach environments from outside of the cluster: host names, the route, the certificate."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from airfield.api.base import DNS_SUBDOMAIN, LIST_SET, TEXT, LabelKey, Model, NamespaceName, ObjectName, Rule
from airfield.api.placeholders import PLACEHOLDER

_LABEL = rf"([a-z0-9]|{PLACEHOLDER})(([-a-z0-9]|{PLACEHOLDER})*([a-z0-9]|{PLACEHOLDER}))?"
_TEMPLATE = rf"^{_LABEL}(\.{_LABEL})*$"

Template = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_TEMPLATE)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]


class IssuerKind(StrEnum):
    """cert-manager's kinds of issuer."""

    ISSUER = "Issuer"
    CLUSTER_ISSUER = "ClusterIssuer"


class IssuerReference(Model):
    """Who issues certificates: cert-manager's."""

    kind: IssuerKind = IssuerKind.CLUSTER_ISSUER
    name: ObjectName = Field(description="Name of the issuer.")


class IngressTls(Model):
    """The certificate of an environment: exactly one of the two."""

    RULES = (
        Rule(
            "has(self.issuerRef) != has(self.secretName)",
            "tls is exactly one of issuerRef and secretName",
            lambda it: (it.issuer_ref is None) != (it.secret_name is None),
        ),
    )

    issuer_ref: IssuerReference | None = None
    secret_name: Template | None = Field(
        default=None,
        description="Secret with `tls.crt` and `tls.key` in the environment's namespace; may have the placeholders of"
        " `hostTemplate`.",
    )


class Ingress(Model):
    """An Ingress for each environment."""

    class_name: ObjectName | None = Field(
        default=None, description="The IngressClass; the cluster's default if absent."
    )
    annotations: (
        Annotated[
            dict[LabelKey, Annotated[str, StringConstraints(max_length=4096, pattern=TEXT)]], Field(max_length=32)
        ]
        | None
    ) = Field(default=None, description="What the ingress controller is told beside.")
    tls: IngressTls | None = Field(
        default=None, description="If absent, the ingress controller has a certificate of its own for the host names."
    )


class Gateway(Model):
    """An HTTPRoute for each environment, at this Gateway, whose listener has the certificate."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: NamespaceName = Field(description="Its namespace.")
    section_name: ObjectName = Field(description="Name of the listener, one for https.")


class Exposure(Model):
    """How environments are reached from outside, always by https: exactly one of `ingress` and `gateway`."""

    RULES = (
        Rule(
            "has(self.ingress) != has(self.gateway)",
            "exposure is exactly one of ingress and gateway",
            lambda it: (it.ingress is None) != (it.gateway is None),
        ),
        Rule(
            "self.hostTemplate.contains('{name}')",
            "hostTemplate has the placeholder {name}: each environment needs a host name of its own",
            lambda it: "{name}" in it.host_template,
        ),
    )

    host_template: Template = Field(
        description="Host names: `{name}.{namespace}.airflow.example.com`. In braces stand name, namespace, tenant and"
        " stage."
    )
    host_suffixes: Annotated[tuple[Template, ...], Field(max_length=16), LIST_SET] = Field(
        default=(),
        description="Domains below which environments may choose a host name themselves: `{tenant}.data.example.com`;"
        " without {tenant} all tenants choose among the same names.",
    )
    ingress: Ingress | None = None
    gateway: Gateway | None = None
    expiry_warning_days: Annotated[int, Field(ge=1, le=365)] = Field(
        default=14, description="So many days before a certificate expires its condition and an alert say so."
    )


class OwnExposure(Model):
    """What an environment says itself of how it is reached."""

    host: Host | None = Field(
        default=None, description="Host name instead of the class's; below one of the class's `hostSuffixes`."
    )
    secret_name: ObjectName | None = Field(
        default=None, description="Secret with a certificate of its own: `tls.crt` and `tls.key`."
    )
