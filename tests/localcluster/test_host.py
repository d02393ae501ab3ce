"""What a node needs of the machine, on machines that lack it."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from localcluster import host
from localcluster.workspace import LocalClusterError

HERE, MISSING = Path(__file__), Path("/no/such/file")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that would have been run, on a Debian machine that lacks nothing and whose user is root."""
    commands: list[str] = []

    def note(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(" ".join(command))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", note)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(host, "PACKAGES", {"containerd": HERE, "runc": HERE})
    return commands


def refusal() -> str:
    """The one sentence that says why, and what else can be done."""
    said: list[str] = []
    with pytest.raises(LocalClusterError) as caught:
        host.require_node_support(said.append)
    assert said == []
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert text.startswith("this machine cannot run a node, because ")
    assert text.endswith("; set CLUSTER=current to use the cluster that KUBECONFIG names instead")
    return text


def test_a_machine_that_has_everything(done: list[str]) -> None:
    host.require_node_support(pytest.fail)
    assert not [command for command in done if command.startswith("apt-get")]


def test_missing_packages_are_installed(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PACKAGES", {"containerd": MISSING, "iptables": HERE, "socat": MISSING})
    said: list[str] = []
    host.require_node_support(said.append)
    assert said == ["installing Debian packages: containerd socat"]
    update, install = [command for command in done if command.startswith("apt-get")]
    assert update.endswith(" update")
    assert install.endswith(" install --yes --no-install-recommends containerd socat")


def test_not_root(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "it must be run as root" in refusal()
    assert done == []


def test_no_apt(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(host, "PACKAGES", {"containerd": MISSING, "runc": HERE, "socat": MISSING})
    assert "containerd, socat must be installed, and there is no apt-get to do it with" in refusal()
    assert done == []


def test_another_system(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    assert "it runs Darwin, and a node needs Linux" in refusal()
    assert done == []
