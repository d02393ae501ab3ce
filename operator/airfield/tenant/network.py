"""Nothing in a tenant's namespace talks unless a policy says so: environments bring their own. Pure."""

from typing import Any, Final

from airfield.kube.kinds import NETWORK_POLICY

NAME: Final = "airfield-isolation"


def isolation() -> dict[str, Any]:
    """The NetworkPolicy of one namespace: of all pods in it, whoever made them, only names are looked up."""
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return {
        "apiVersion": NETWORK_POLICY.api_version,
        "kind": NETWORK_POLICY.kind,
        "metadata": {"name": NAME},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{"ports": dns}]},
    }
