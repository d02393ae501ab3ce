"""What one instance is: what was asked for, and the ports and addresses that it was given."""

import json
import random
import socket
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal, Self

from localcluster import network
from localcluster.processes import boot_id
from localcluster.workspace import LocalClusterError, clusters_folder, locked

Kind = Literal["node", "control-plane"]

# Outside the range from which the kernel takes ports for outgoing connections, so that none is taken before we listen.
PORTS = range(20000, 32000)


@dataclass(frozen=True)
class Options:
    """What the caller asked for."""

    kind: Kind = "node"
    bare: bool = False
    """Only etcd and the API server: nothing schedules or controls. Control planes only."""
    kwok_nodes: int = 0
    """How many simulated nodes; control planes only."""
    stages: str = ""
    """The file that tells kwok what becomes of pods, instead of the usual one."""
    audited: bool = False
    """The API server writes down who asked for what, see `Instance.audit_log`."""

    def __str__(self) -> str:
        extra = (["bare"] if self.bare else []) + ([f"{self.kwok_nodes} kwok nodes"] if self.kwok_nodes else [])
        extra += ["audited"] if self.audited else []
        return f"{self.kind} ({', '.join(extra)})" if extra else self.kind


@dataclass(frozen=True)
class Instance:
    """One cluster of this machine. Its folder holds everything of it and is removed with it."""

    name: str
    options: Options
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    boot: str
    """Which boot of this machine it was started in; nothing of it runs in another."""
    index: int | None = None
    """Number of the address block; node instances only."""

    @classmethod
    def create(cls, name: str, options: Options) -> Self:
        """Give a new instance its ports or addresses, and make its folder."""
        # One caller at a time, so that no two choose the same.
        with locked(clusters_folder() / ".locks" / "allocation"):
            others = [other for other in map(cls.load, instance_names()) if other]
            if options.kind == "node":
                taken = {other.index for other in others if other.index is not None}
                instance = cls(name, options, 6443, 2379, 2380, boot_id(), network.free_index(taken))
                if instance.network.exists():
                    raise LocalClusterError(
                        f"there is a network namespace {instance.network.namespace!r} already, perhaps made with "
                        "another AIRFIELD_CACHE: choose another --name"
                    )
            else:
                taken = {port for other in others for port in (other.api_port, other.etcd_port, other.etcd_peer_port)}
                api, etcd, etcd_peer = _free_ports(3, taken)
                instance = cls(name, options, api, etcd, etcd_peer, boot_id())
            instance.folder.mkdir(parents=True, mode=0o755)
            instance._file.write_text(json.dumps(asdict(instance), indent=2))
        return instance

    @classmethod
    def load(cls, name: str) -> Self | None:
        """The instance called `name`, or None if there is none."""
        try:
            content = json.loads((clusters_folder() / name / "cluster.json").read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return cls(**{**content, "options": Options(**content["options"])})

    @property
    def folder(self) -> Path:
        return clusters_folder() / self.name

    @property
    def _file(self) -> Path:
        return self.folder / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def audit_log(self) -> Path:
        """A line of JSON for each request, if the instance is audited."""
        return self.folder / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def network(self) -> network.Network:
        """Addresses of a node instance."""
        if self.index is None:
            raise LocalClusterError(f"instance {self.name!r} is a control plane without a node: it has no network")
        return network.Network(self.name, self.index)

    @property
    def address(self) -> str:
        """Where the API server listens."""
        return "127.0.0.1" if self.index is None else str(self.network.node)

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.api_port}"

    @property
    def services(self) -> IPv4Network:
        """The range of ClusterIPs. Nothing routes to them in a control plane without a node."""
        return network.PAPER_SERVICES if self.index is None else self.network.services


def instance_names() -> list[str]:
    """Every instance on this machine that has a folder."""
    return sorted(file.parent.name for file in clusters_folder().glob("*/cluster.json"))


def _free_ports(count: int, taken: set[int]) -> list[int]:
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if port in taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise LocalClusterError(f"no {count} free ports between {PORTS.start} and {PORTS.stop}; end something with `down`")
