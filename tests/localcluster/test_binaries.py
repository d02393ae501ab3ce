"""Where programs come from."""

from pathlib import Path

import pytest

from localcluster import binaries
from localcluster.binaries import tool
from localcluster.workspace import LocalClusterError, cache_folder

ASSETS = Path("/somewhere/assets")


@pytest.fixture(autouse=True)
def _nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, and no Go to fill it with."""

    def refuse(module: binaries.Module, *_: object) -> None:
        raise LocalClusterError(f"module {module.name} would be built")

    monkeypatch.setattr(binaries, "_build", refuse)
    monkeypatch.setenv("AIRFIELD_CACHE", str(tmp_path))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(ASSETS))


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver", "kubectl"])
def test_assets_are_used_where_they_may_be(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tool(name) == tool(name, assets=True) == ASSETS / name
    with pytest.raises(LocalClusterError, match="module kubernetes would be built"):
        tool(name, assets=False)
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("KUBEBUILDER_ASSETS")
        else:
            monkeypatch.setenv("KUBEBUILDER_ASSETS", unset)
        with pytest.raises(LocalClusterError, match="module kubernetes would be built"):
            tool(name)


@pytest.mark.parametrize(
    ("name", "module"), [("kubelet", "kubernetes"), ("kube-scheduler", "kubernetes"), ("helm", "helm")]
)
def test_what_the_assets_do_not_have_is_built(name: str, module: str) -> None:
    with pytest.raises(LocalClusterError, match=f"module {module} would be built"):
        tool(name)


def test_what_is_built_is_not_built_again() -> None:
    folder = cache_folder() / "bin" / binaries.PROGRAMS["helm"].digest()
    folder.mkdir(parents=True)
    assert tool("helm") == folder / "helm"


def test_each_module_is_kept_for_itself() -> None:
    """Some are packages of the same folder."""
    assert len({module.folder for module in binaries.MODULES}) < len(binaries.MODULES)
    assert len({module.digest() for module in binaries.MODULES}) == len(binaries.MODULES)


def test_an_unknown_program_is_named() -> None:
    choice = "choose one of cert-manager, cert-manager.yaml, coredns, etcd"
    with pytest.raises(LocalClusterError, match=rf"no program 'docker' is built here; {choice}"):
        tool("docker")
