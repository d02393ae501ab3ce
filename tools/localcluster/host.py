"""What a node needs of this machine, and what its parts leave outside the instance's folder."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from localcluster.instance import Instance
from localcluster.workspace import LocalClusterError, Progress, cache_folder, locked

# A file that each Debian package brings.
PACKAGES = {
    "containerd": Path("/usr/bin/containerd"),
    "runc": Path("/usr/sbin/runc"),
    "containernetworking-plugins": Path("/usr/lib/cni/bridge"),
    "iptables": Path("/usr/sbin/iptables"),
    "iproute2": Path("/usr/bin/ip"),
    "conntrack": Path("/usr/sbin/conntrack"),
    "ethtool": Path("/usr/sbin/ethtool"),
    "socat": Path("/usr/bin/socat"),
}


def require_node_support(progress: Progress) -> None:
    """Make sure that this machine can run a node; install the Debian packages that are missing.

    Raises:
        LocalClusterError: it cannot.
    """
    missing = [package for package, file in PACKAGES.items() if not file.exists()]
    reason = ""
    if platform.system() != "Linux":
        reason = f"it runs {platform.system()}, and a node needs Linux"
    elif os.geteuid() != 0:
        reason = "it must be run as root"
    elif missing and not shutil.which("apt-get"):
        reason = f"{', '.join(missing)} must be installed, and there is no apt-get to do it with"
    if reason:
        raise LocalClusterError(
            f"this machine cannot run a node, because {reason}; "
            "set CLUSTER=current to use the cluster that KUBECONFIG names instead"
        )
    if missing:
        progress(f"installing Debian packages: {' '.join(missing)}")
        apt_install(*missing)
    if not Path("/proc/sys/net/bridge").exists():
        # Where it is built into the kernel there is nothing to load; where it is missing, `sysctl` will say so.
        subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)


def apt_install(*packages: str) -> None:
    """Install Debian packages, without what they merely recommend. LocalClusterError says what went wrong."""
    apt_get("update")
    apt_get("install", "--yes", "--no-install-recommends", *packages)


def apt_get(*arguments: str, folder: Path | None = None) -> None:
    """Run apt-get, in `folder` if one is given. LocalClusterError says what went wrong."""
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # One of us at a time: it waits for others that install, but not for others that fetch its lists.
    with locked(cache_folder() / "apt.lock"):
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalClusterError(f"`apt-get {arguments[0]}` failed: {(done.stderr or done.stdout).strip()[-1000:]}")


def unmount_all(folder: Path) -> None:
    """Detach every mount below `folder`, innermost first."""
    mounted = (line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
    # The kernel writes blanks in names as octal escapes.
    places = [re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), place) for place in mounted]
    for place in reversed([place for place in places if Path(place).is_relative_to(folder)]):
        subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)


def remove_leftovers(instance: Instance) -> None:
    """Remove the files that containerd, its plugins and kubelet put at fixed places."""
    for bundle in (instance.folder / "containerd-state" / "io.containerd.runtime.v2.task" / "k8s.io").glob("*"):
        # The socket of the pod's shim.
        if (bundle / "address").exists():
            Path((bundle / "address").read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)
        # What the network plugins did, in files named <network>-<container id>-<interface>.
        for result in Path("/var/lib/cni/results").glob(f"*-{bundle.name}-*"):
            result.unlink(missing_ok=True)
    # kubelet's links to the logs of containers.
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(instance.folder):
            link.unlink(missing_ok=True)
