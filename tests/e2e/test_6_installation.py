"""The operator is upgraded, removed and installed again; an environment that runs does not notice."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from airfield.airflow.rest import Airflow
from clusters import turn
from demo.platform import OPERATOR_CHART, REPOSITORY, SYSTEM, Platform, PlatformError
from e2e.conftest import SETTING, settled
from e2e.databases import DatabaseServer
from e2e.environments import Environment, Object
from e2e.waiting import Stopwatch, eventually
from imagebuild.images import RECIPES
from operator_account import render

pytestmark = pytest.mark.node

PREVIOUS = Path(__file__).with_name("data") / "airfield-0.1.0.tgz"
"""The chart as it was released last. It had one replica, no CRDs and no Lease."""
IMAGE = RECIPES["operator"].reference
"""There is none of the previous release here."""
EXAMPLE = "registry.example.com/airfield/operator@sha256:…"
"""As the documentation names it."""
CRDS = ("airflowenvironmentclasses", "airflowenvironments", "airflowtenants")


def _later_rights() -> list[Object]:
    """Of what today's image needs that chart did not know."""
    rbac = "rbac.authorization.k8s.io"
    subjects = [{"kind": "ServiceAccount", "name": "airfield", "namespace": SYSTEM}]
    found: list[Object] = []
    for role in render():
        if role["kind"] in {"ClusterRole", "Role"} and role["metadata"]["name"] == "airfield":
            metadata = {key: value for key, value in role["metadata"].items() if key == "namespace"} | {"name": "later"}
            reference = {"apiGroup": rbac, "kind": role["kind"], "name": "later"}
            binding = {"apiVersion": f"{rbac}/v1", "kind": f"{role['kind']}Binding", "metadata": metadata}
            found += [{**role, "metadata": metadata}, {**binding, "roleRef": reference, "subjects": subjects}]
    return found


def _take_later_rights(platform: Platform) -> None:
    """What runs from now on has the rights that its own chart gives it."""
    for right in _later_rights():
        where = ("-n", right["metadata"]["namespace"]) if "namespace" in right["metadata"] else ()
        platform.kubectl(*where, "delete", right["kind"], right["metadata"]["name"], "--ignore-not-found")


@pytest.fixture(scope="module")
def environment(server: DatabaseServer) -> Iterator[Environment]:
    """Looked after by the operator as the previous chart installs it."""
    platform = server.platform
    with turn("operator", alone=False):  # it may take long to become Ready, during which others need not stand still
        environment = settled(platform)
    with turn("operator", alone=True):
        try:
            platform.helm("uninstall", "airfield", "--wait")
            platform.apply(_later_rights())
            platform.helm("install", "airfield", str(PREVIOUS), f"--set=image={IMAGE}", "--wait")
            _repaired(environment)
            yield environment
        finally:
            _take_later_rights(platform)
            platform.install_operator(SETTING)


def _pods(platform: Platform) -> set[str]:
    """The operator's pods that are ready and stay."""
    pods = platform.get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/name=airfield")["items"]
    return {
        pod["metadata"]["name"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    }


def _leader(platform: Platform) -> str:
    return str(platform.get("-n", SYSTEM, "lease", "airfield")["spec"].get("holderIdentity", ""))


def _has_looked(platform: Platform, pod: str) -> bool:
    """Whether a pod of the operator has gone through environments."""
    text = platform.kubectl("get", "--raw", f"/api/v1/namespaces/{SYSTEM}/pods/{pod}:8080/proxy/metrics")
    counted = re.findall(
        r'^airfield_reconcile_duration_seconds_count\{.*kind="environment".*\} (\S+)', text, re.MULTILINE
    )
    return sum(map(float, counted)) >= 1


def _until_led(platform: Platform, before: set[str]) -> None:
    """Wait until both replicas are ready, and one that was not there before leads and has looked at everything."""
    eventually("two replicas", lambda: len(_pods(platform) - before) == 2)
    eventually("new leader", lambda: _leader(platform) in _pods(platform) - before)
    eventually("first look", lambda: _has_looked(platform, _leader(platform)))


def _repaired(environment: Environment) -> None:
    """See that the operator works: what is removed comes back."""
    uid: str = environment.get("service", "airflow-api-server")["metadata"]["uid"]
    environment.kubectl("delete", "service", "airflow-api-server")

    def back() -> bool:
        found: dict[str, str] = {
            each["metadata"]["name"]: each["metadata"]["uid"] for each in environment.items("services")
        }
        return found.get("airflow-api-server", uid) != uid

    eventually("Service", back)


def _documented() -> list[str]:
    """What docs/installation.md says to an administrator of the previous release, without `helm` itself."""
    text = (REPOSITORY / "docs" / "installation.md").read_text()
    _, _, section = text.partition("**From 0.1.0.**")
    found = re.search(r"^    helm (upgrade (?:.*\\\n)*.*)$", section, re.MULTILINE)
    assert found, section
    command = found[1].replace("\\\n", "").replace("charts/airfield", str(OPERATOR_CHART))
    return shlex.split(command.replace(EXAMPLE, IMAGE))


def test_upgrade_from_the_previous_release(environment: Environment) -> None:
    platform = environment.platform
    before, pods = environment.picture(), _pods(platform)
    watch = Stopwatch()
    platform.helm(*_documented())
    watch.lap("upgraded")
    _take_later_rights(platform)
    _until_led(platform, pods)
    watch.lap("a new replica leads")
    assert environment.picture() == before
    environment.until_ready()
    _repaired(environment)
    release = platform.get("crd", f"{CRDS[0]}.airfield.dev")["metadata"]["annotations"]
    assert release["meta.helm.sh/release-name"] == "airfield", "the release has taken the CRDs over"


def test_a_replica_is_drained(environment: Environment) -> None:
    platform = environment.platform
    before, leader = _picture_without_services(environment), _leader(platform)
    watch = Stopwatch()
    (other,) = _pods(platform) - {leader}
    _evict(platform, leader)
    with pytest.raises(PlatformError, match="disruption budget"):
        _evict(platform, other)
    # Mostly the other one; but the new pod may be faster, since the Lease is given back at once.
    eventually("takeover", lambda: _leader(platform) not in {leader, ""})
    assert watch.lap("the leader's pod evicted: another one leads") < 30
    _repaired(environment)
    assert _picture_without_services(environment) == before


def _evict(platform: Platform, pod: str) -> None:
    """As `kubectl drain` does it."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": SYSTEM}}
    path = f"/api/v1/namespaces/{SYSTEM}/pods/{pod}/eviction"
    platform.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_uninstalled_and_installed_again(environment: Environment) -> None:
    platform = environment.platform
    environment.until_ready()
    before, pods = environment.picture(), _pods(platform)
    watch = Stopwatch()
    platform.helm("uninstall", "airfield", "--wait")
    eventually("end of the operator", lambda: not _pods(platform))
    watch.lap("uninstalled")
    assert environment.picture() == before
    platform.kubectl("get", "crd", *(f"{name}.airfield.dev" for name in CRDS))
    assert environment.ask(_logged_in), "it runs on, whatever the operator's last look came to"

    platform.install_operator(SETTING)
    _until_led(platform, pods)
    watch.lap("installed again, and a replica leads")
    assert environment.picture() == before
    _repaired(environment)


async def _logged_in(_: Airflow) -> bool:
    return True


def _picture_without_services(environment: Environment) -> dict[str, tuple[object, ...]]:
    return {name: found for name, found in environment.picture().items() if not name.startswith("Service/")}
