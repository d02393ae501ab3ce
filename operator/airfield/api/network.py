"""What DAGs may reach beyond their own environment."""

from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from airfield.api.base import LIST_ATOMIC, LIST_SET, Model, NamespaceName, Rule


def _is_cidr(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return "/" in text


Cidr = Annotated[
    str,
    StringConstraints(min_length=4, max_length=43, pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"),
    Rule(
        "isCIDR(self) && cidr(self) == cidr(self).masked()",
        "must be a range of addresses such as 10.1.0.0/16 or 2001:db8::/32, without bits of a single address",
        _is_cidr,
    ),
]


def in_namespace(name: str) -> dict[str, Any]:
    """A peer of a NetworkPolicy: the pods of a namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


class Egress(Model):
    """Somewhere that DAGs may connect to by TCP."""

    RULES = (
        Rule(
            "has(self.cidr) != has(self.__namespace__)",
            "egress leads to exactly one of cidr and namespace",
            lambda it: (it.cidr is None) != (it.namespace is None),
        ),
    )

    cidr: Cidr | None = Field(default=None, description="Addresses outside of the cluster: `10.1.0.0/16`.")
    namespace: NamespaceName | None = Field(default=None, description="A namespace of the cluster.")
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(max_length=16), LIST_SET] = Field(
        default=(), description="TCP ports; all of them if there are none."
    )

    def rule(self) -> dict[str, Any]:
        """As a rule of a NetworkPolicy."""
        peer: dict[str, Any] = (
            {"ipBlock": {"cidr": self.cidr}} if self.cidr is not None else in_namespace(self.namespace or "")
        )
        # A rule without ports would be for every protocol.
        ports = [{"protocol": "TCP", "port": port} for port in self.ports] or [
            {"protocol": "TCP", "port": 1, "endPort": 65535}
        ]
        return {"to": [peer], "ports": ports}


Egresses = Annotated[tuple[Egress, ...], Field(max_length=32), LIST_ATOMIC]


class Network(Model):
    """Which flows there are beside those that Airflow itself needs."""

    egress: Egresses = Field(default=(), description="What DAGs may reach.")
    ingress_from: Annotated[tuple[NamespaceName, ...], Field(max_length=16), LIST_SET] = Field(
        default=(), description="Namespaces whose pods may reach UI and API, such as that of the ingress controller."
    )
    kubernetes_api: Annotated[tuple[Cidr, ...], Field(max_length=16), LIST_SET] = Field(
        default=(),
        description="Addresses of the Kubernetes API, for the KubernetesExecutor alone; any on its ports if absent.",
    )
