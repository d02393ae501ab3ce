"""What is in a tenant's namespace beside environments, which bring policies of their own, stays in it. Pure."""

from typing import Any, Final

from airfield.api import meta
from airfield.kube.kinds import NETWORK_POLICY

NAME: Final = "airfield-isolation"


def isolation() -> dict[str, Any]:
    """The NetworkPolicy of one namespace, for all pods that are of no environment, whoever made them.

    They reach each other and are reached from within the namespace, as a connection pool that a team runs beside its
    environments must; and look up names.
    """
    others = {"matchExpressions": [{"key": meta.LABEL_ENVIRONMENT, "operator": "DoesNotExist"}]}
    here: list[dict[str, Any]] = [{"podSelector": {}}]
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return {
        "apiVersion": NETWORK_POLICY.api_version,
        "kind": NETWORK_POLICY.kind,
        "metadata": {"name": NAME},
        "spec": {
            "podSelector": others,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": here}],
            "egress": [{"ports": dns}, {"to": here}],
        },
    }
