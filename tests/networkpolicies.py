"""What NetworkPolicies allow, evaluated as Kubernetes documents it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Json = dict[str, Any]
NAMED = {"metrics": 8080}


@dataclass(frozen=True)
class Peer:
    """A pod, or with neither namespace nor labels an address somewhere else."""

    name: str
    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace_labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_pod(self) -> bool:
        return bool(self.namespace)


def allowed(policies: Iterable[Json], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection can be made: neither end must be without a policy's consent that it needs."""
    everything = list(policies)
    return _consents(everything, "Egress", source, target, port, protocol) and _consents(
        everything, "Ingress", target, source, port, protocol
    )


def selecting(policies: Iterable[Json], pod: Peer, direction: str) -> list[Json]:
    """The specifications of those policies that isolate a pod in a direction."""
    return [
        policy["spec"]
        for policy in policies
        if pod.is_pod
        and policy["metadata"]["namespace"] == pod.namespace
        and direction in policy["spec"].get("policyTypes", ["Ingress"])
        and matches(policy["spec"]["podSelector"], pod.labels)
    ]


def _consents(policies: list[Json], direction: str, pod: Peer, other: Peer, port: int, protocol: str) -> bool:
    found = selecting(policies, pod, direction)
    rules = [rule for spec in found for rule in spec.get(direction.lower(), [])]
    return not found or any(_permits(rule, direction, pod.namespace, other, port, protocol) for rule in rules)


def _permits(rule: Json, direction: str, namespace: str, other: Peer, port: int, protocol: str) -> bool:
    """Whether a rule of a policy in `namespace` lets a connection to or from the other end pass."""
    peers, ports = rule.get("to" if direction == "Egress" else "from"), rule.get("ports")
    right_peer = not peers or any(_is(peer, namespace, other) for peer in peers)
    return right_peer and (not ports or any(_covers(each, port, protocol) for each in ports))


def _covers(allowed_port: Json, port: int, protocol: str) -> bool:
    if allowed_port.get("protocol", "TCP") != protocol:
        return False
    if "port" not in allowed_port:
        return True
    first: int | str = allowed_port["port"]
    if isinstance(first, str):  # by name: of ours only the operator's metrics
        return port == NAMED[first]
    return first <= port <= int(allowed_port.get("endPort", first))


def _is(peer: Json, namespace: str, other: Peer) -> bool:
    if "ipBlock" in peer:
        block, address = peer["ipBlock"], ip_address(other.address)
        inside = [address in ip_network(cidr) for cidr in (block["cidr"], *block.get("except", []))]
        # What Kubernetes leaves open: whether an ipBlock covers pods. The wider reading is the safer one to test.
        return inside[0] and not any(inside[1:])
    return other.is_pod and selects(peer, namespace, other)


def selects(peer: Json, namespace: str, other: Peer) -> bool:
    """Whether a peer of a policy in `namespace`, which is given by selectors, is that pod."""
    if "namespaceSelector" in peer:
        right_place = matches(peer["namespaceSelector"], other.namespace_labels)
    else:
        right_place = other.namespace == namespace
    return right_place and matches(peer.get("podSelector", {}), other.labels)


def matches(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether labels fit a LabelSelector."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_fits(expression, labels) for expression in selector.get("matchExpressions", []))


def _fits(expression: Json, labels: Mapping[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values", [])
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise AssertionError(f"an operator that Kubernetes does not know: {operator}")
