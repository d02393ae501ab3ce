"""What was measured on: the machine, and what ran on it."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import yaml

from demo.platform import REPOSITORY, Platform
from localcluster.binaries import MODULES_FOLDER


def cpu_seconds(group: str) -> float:
    """CPU time that a control group has used so far, in seconds."""
    legacy = Path("/sys/fs/cgroup/cpuacct") / group / "cpuacct.usage"
    if legacy.exists():
        return int(legacy.read_text()) / 1e9
    stat = (Path("/sys/fs/cgroup") / group / "cpu.stat").read_text().split()
    return int(stat[stat.index("usage_usec") + 1]) / 1e6


def load() -> float:
    """Processes that ran or wanted to, on average over the last minute."""
    return os.getloadavg()[0]


def describe() -> dict[str, str]:
    """The machine and the state of the source tree."""
    model = next((line.split(":")[1] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "CPUs": f"{os.cpu_count()}, {' '.join(model.split())}",
        "Memory": f"{memory / 2**20:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Commit": _commit(),
        "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def versions(cluster: Platform, namespace: str, database: str) -> dict[str, str]:
    """What runs in the cluster. `database`: a pod of `namespace` with PostgreSQL in it."""
    kubernetes = json.loads(cluster.kubectl("get", "--raw", "/version"))["gitVersion"]
    images = [each["image"] for each in cluster.get("afclass", "bench")["spec"]["catalog"]["versions"]]
    postgres = cluster.kubectl("-n", namespace, "exec", database, "--", "postgres", "--version").split()[2]
    return {"Kubernetes": kubernetes, "Airflow": ", ".join(images), "PostgreSQL": postgres}


def programs() -> dict[str, str]:
    """What a fleet is measured with; no cluster needs to be asked."""
    chart = yaml.safe_load((REPOSITORY / "charts" / "airflow" / "Chart.yaml").read_text(encoding="utf-8"))
    return {
        "Kubernetes": _required("kubernetes", "k8s.io/kubernetes"),
        "kwok": _required("companions", "sigs.k8s.io/kwok"),
        "Helm": _required("helm", "helm.sh/helm/v4"),
        "Python": platform.python_version(),
        "Chart": chart["version"],
    }


def _required(name: str, module: str) -> str:
    """The version of a Go module from which a program of ours is built."""
    words = (line.split() for line in _lines(str(MODULES_FOLDER / name / "go.mod")))
    return next(line[line.index(module) + 1] for line in words if module in line[:-1])


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()
