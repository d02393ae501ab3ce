"""`CLUSTER=current make demo` and `make demo-down` leave an Airfield of others alone, and remove the demo's own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from clusters import PREFIX, kubectl, run_id
from demo.__main__ import OWN
from demo.platform import GIT, SYSTEM, Platform
from localcluster import Cluster, Options
from operated_cluster import REPOSITORY
from resource_cases import Json, tenant

pytestmark = pytest.mark.apiserver


@dataclass
class Demo:
    cluster: Cluster

    def run(self, command: str) -> tuple[int, str]:
        """The command's exit code and what it prints."""
        environ = {**os.environ, "CLUSTER": "current", "KUBECONFIG": str(self.cluster.kubeconfig)}
        call = [sys.executable, "-m", "demo", command]
        done = subprocess.run(call, env=environ, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def found(self, kind: str) -> list[str]:
        return kubectl(self.cluster, "get", kind, "--all-namespaces", "--output=name").split()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    cluster = Cluster(f"{PREFIX}demo-{run_id()}", Options("control-plane"))
    try:
        cluster.up()
        yield Demo(cluster)
    finally:
        cluster.down()


def test_of_an_airfield_of_others_nothing_is_changed(demo: Demo) -> None:
    platform = Platform(demo.cluster)
    code, said = demo.run("down")
    assert code == 0
    assert "there is no Airfield in this cluster, so nothing is removed" in said

    kubectl(demo.cluster, "apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    platform.await_crds()
    for command in ("up", "down"):
        code, said = demo.run(command)
        assert code == 1
        assert f"not, or not only, the demo's (it has the CRDs, and no namespace '{GIT}'): nothing was changed" in said

    platform.namespace(GIT)
    platform.apply([tenant("others")])
    for command in ("up", "down"):
        code, said = demo.run(command)
        assert code == 1
        assert "(AirflowTenant others): nothing was changed" in said
        assert "Traceback" not in said
    assert demo.found("aftenant") == ["airflowtenant.airfield.dev/others"]
    assert f"namespace/{SYSTEM}" not in demo.found("namespace")

    kubectl(demo.cluster, "delete", "aftenant", "others")
    platform.namespace(SYSTEM)
    quickstart = REPOSITORY / "examples" / "quickstart"
    for file in ("namespace", "class", "tenant", "environment"):
        platform.apply(quickstart / f"{file}.yaml")
    assert_own(platform.get("afenv,aftenant,afclass", "--all-namespaces"))
    code, said = demo.run("down")
    assert code == 0, said
    assert not [name for name in demo.found("crd") if "airfield" in name]
    assert not {f"namespace/{name}" for name in (GIT, SYSTEM, "team-a-dev")} & set(demo.found("namespace"))


def assert_own(found: Json) -> None:
    """What the demo thinks that the quickstart has is what it has."""
    names = {(item["kind"], item["metadata"]["name"]) for item in found["items"]}
    assert names == {(kind, name.rpartition("/")[2]) for kind, all_names in OWN.items() for name in all_names}
