"""containerd for one node, with its images."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from string import Template

from localcluster import images
from localcluster.api import wait_for
from localcluster.binaries import PROGRAMS, tool
from localcluster.instance import Instance
from localcluster.processes import Processes
from localcluster.workspace import LocalClusterError, cache_folder, locked

PAUSE_IMAGE = "docker.io/airfield/pause:local"
COREDNS_IMAGE = "docker.io/airfield/coredns:local"

CONFIG = Template("""\
version = 2
root = "$folder/containerd"
state = "$folder/containerd-state"

[grpc]
  address = "$socket"

[plugins."io.containerd.internal.v1.opt"]
  path = "$folder/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$pause"
  netns_mounts_under_state_dir = true
  # Without CAP_SYS_RESOURCE (containers, small virtual machines) every sandbox would fail otherwise.
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "$folder/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    Root = "$folder/runc"
""")


@dataclass(frozen=True)
class Runtime:
    """The containerd of a node instance."""

    instance: Instance

    @property
    def socket(self) -> Path:
        return self.instance.folder / "containerd.sock"

    def start(self, processes: Processes) -> None:
        """Start containerd."""
        folder = self.instance.folder
        if len(str(self.socket)) > 90:
            raise LocalClusterError(f"{folder} is too long a path for sockets: set AIRFIELD_CACHE to a shorter one")
        config = folder / "containerd.toml"
        config.write_text(CONFIG.substitute(folder=folder, socket=self.socket, pause=PAUSE_IMAGE))
        self._write_network()
        processes.start("containerd", ["containerd", "--config", config])

        def answers() -> bool:
            if not processes.alive("containerd"):
                raise LocalClusterError(processes.explain_failure("containerd"))
            return self.socket.exists() and self._ctr("version").returncode == 0

        wait_for("containerd's start", answers, seconds=30, hint=f"see {folder / 'logs' / 'containerd.log'}")

    def load_own(self) -> None:
        """Import the images that the node itself needs."""
        for program, image in (("pause", PAUSE_IMAGE), ("coredns", COREDNS_IMAGE)):
            self.load(_program_image(program, image))

    def load(self, archive: Path, tag: str | None = None) -> list[str]:
        """Import an image archive; see `images.load`."""
        return images.load(self.ctr, archive, tag)

    def ctr(self, *arguments: str) -> bytes:
        """Run containerd's client in the namespace of Kubernetes."""
        done = self._ctr(*arguments)
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise LocalClusterError(f"`ctr {' '.join(arguments)}` failed: {message}")
        return done.stdout

    def _ctr(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, check=False)

    def _write_network(self) -> None:
        """Pods hang on a bridge; no masquerading, since the host has a route to them."""
        folder = self.instance.folder
        (folder / "cni").mkdir(exist_ok=True)
        bridge = {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(folder / "cni-addresses"),
                "ranges": [[{"subnet": str(self.instance.network.pods)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
        # Results are kept under this name in a directory that instances share.
        config = {"cniVersion": "1.0.0", "name": self.instance.network.namespace, "plugins": plugins}
        (folder / "cni" / "10-pods.conflist").write_text(json.dumps(config, indent=2))


def _program_image(program: str, image: str) -> Path:
    """The image archive of one of our programs, made once for each version of it."""
    archive = cache_folder() / "images" / f"{program}-{PROGRAMS[program].digest()}.tar"
    with locked(archive.with_suffix(".lock")):
        if not archive.exists():
            scratch = archive.with_suffix(".part")
            images.write_program_image(tool(program), image, scratch)
            scratch.rename(archive)
    return archive
