"""Nothing talks in a tenant's namespace but what policies name: environments' own, and one for what is beside them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from airfield.api import meta
from airfield.kube.kinds import NETWORK_POLICY

DENIAL: Final = "airfield-default-deny"
ISOLATION: Final = "airfield-isolation"


def isolation() -> Iterator[dict[str, Any]]:
    """The NetworkPolicies of one namespace, for whoever makes pods there.

    Nobody talks. Pods that are of no environment reach each other and are reached from within the namespace, as a
    connection pool that a team runs beside its environments must; and look up names. Pods that say that they are of
    an environment have its policies, and none if there is no such environment: a DAG may choose its pods' labels.
    """
    yield _policy(DENIAL, {}, ingress=[], egress=[])  # said, so that nobody else adds some
    others = {"matchExpressions": [{"key": meta.LABEL_ENVIRONMENT, "operator": "DoesNotExist"}]}
    here: list[dict[str, Any]] = [{"podSelector": {}}]
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    yield _policy(ISOLATION, others, ingress=[{"from": here}], egress=[{"ports": dns}, {"to": here}])


def _policy(name: str, pods: dict[str, Any], **rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": NETWORK_POLICY.api_version,
        "kind": NETWORK_POLICY.kind,
        "metadata": {"name": name},
        "spec": {"podSelector": pods, "policyTypes": ["Ingress", "Egress"], **rules},
    }
