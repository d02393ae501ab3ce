"""The network of a node instance: a namespace of its own, tied to the host by one pair of interfaces.

Everything inside (bridge, pods, kube-proxy's rules) belongs to the namespace and goes with it. The host only gets one
interface and two routes, through which it reaches services and pods directly.
"""

import ipaddress
import json
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from localcluster.workspace import LocalClusterError

# RFC 2544 reserves this range for tests inside one machine: nobody routes it.
RANGE = IPv4Network("198.18.0.0/15")
# The last two are for instances without a node, whose services and pods only exist on paper.
*BLOCKS, PAPER_SERVICES, PAPER_PODS = RANGE.subnets(new_prefix=19)


@dataclass(frozen=True)
class Network:
    """The addresses of the node instance `name`: the block numbered `index`, cut into services, a link, and pods."""

    name: str
    index: int

    @property
    def services(self) -> IPv4Network:
        return next(BLOCKS[self.index].subnets(new_prefix=21))

    @property
    def pods(self) -> IPv4Network:
        return list(BLOCKS[self.index].subnets(new_prefix=20))[1]

    @property
    def host(self) -> IPv4Address:
        """The host as pods see it."""
        return list(BLOCKS[self.index].subnets(new_prefix=21))[1][1]

    @property
    def node(self) -> IPv4Address:
        return self.host + 1

    @property
    def dns(self) -> IPv4Address:
        return self.services[10]

    @property
    def namespace(self) -> str:
        return f"airfield-{self.name}"

    @property
    def interface(self) -> str:
        """The host's end of the pair (names of interfaces are at most 15 characters long)."""
        return f"airfield{self.index}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a command in the namespace. Unlike `ip netns exec`, it stays in the host's mount namespace.

        containerd and kubelet must see each other's mounts.
        """
        return ("nsenter", f"--net=/run/netns/{self.namespace}", "--")

    def exists(self) -> bool:
        return Path("/run/netns", self.namespace).exists()

    def create(self) -> None:
        """Make the namespace, the link and the routes, or nothing."""
        try:
            self._create()
        except LocalClusterError:
            self.delete()
            raise

    def _create(self) -> None:
        space = self.namespace
        _ip("netns", "add", space)
        _ip("link", "add", self.interface, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("address", "add", f"{self.host}/30", "dev", self.interface)
        _ip("link", "set", self.interface, "up")
        _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", space, "address", "add", f"{self.node}/30", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "route", "add", "default", "via", str(self.host))
        for network in (self.services, self.pods):
            _ip("route", "add", str(network), "via", str(self.node), "dev", self.interface)
        # Without the second, replies of a pod to its neighbour on the bridge would bypass kube-proxy's translation.
        _run(*self.prefix, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")

    def delete(self) -> None:
        """Remove all of it, if it is there."""
        if Path("/sys/class/net", self.interface).exists():
            _ip("link", "delete", self.interface)
        if self.exists():
            _ip("netns", "delete", self.namespace)


def free_index(taken: set[int]) -> int:
    """The first block that no instance has `taken` and that this machine has no route into.

    Raises:
        LocalClusterError: all blocks are in use.
    """
    routes = json.loads(_ip("-j", "-4", "route", "show", "table", "all") or "[]")
    known = [ipaddress.ip_network(route["dst"], strict=False) for route in routes if route["dst"][0].isdigit()]
    for index, block in enumerate(BLOCKS):
        if index not in taken and not any(block.overlaps(network) for network in known):
            return index
    raise LocalClusterError(f"all {len(BLOCKS)} address blocks in {RANGE} are in use; end an instance with `down`")


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout
