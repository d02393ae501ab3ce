"""An environment with which next to nothing is right: its Secrets, a database of somebody else's, its bundles.

Each mishap is named, with the reason; what does not depend on it goes on; and the operator dies at the wrong moment.
"""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from demo.platform import GIT, SYSTEM, Platform
from e2e.conftest import LOGIN, PASSWORD, write_dag
from e2e.databases import HOST, DatabaseServer
from e2e.environments import COMPONENT, Environment
from e2e.processes import operators, processes, restarts, send
from e2e.secrecy import leaks
from e2e.ssh_server import SshServer, ssh_server
from e2e.waiting import Stopwatch, eventually
from localcluster.cluster import current_kubeconfig

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("steady", "bystander")]

NAMESPACE = "mishaps"
PASSWORD_OF_ROLE = "of-handmade-role"
DATABASE = {"host": HOST, "port": "5432", "database": "handmade", "username": "handmade", "password": PASSWORD_OF_ROLE}
GOOD = f"http://git.{GIT}.svc.cluster.local/dags.git"
NOWHERE = f"http://nowhere.{GIT}.svc.cluster.local/dags.git"
CLOSED = f"http://git.{LOGIN}.svc.cluster.local/dags.git"


def spec(ref: str, secured: SshServer | None) -> dict[str, Any]:
    """Five bundles: of a tag; of that ref; of a server that is not there; of one that wants a login; and by SSH."""
    by_ssh = {"ref": "main", "credentialsSecret": {"name": "key"}}
    sources: dict[str, dict[str, Any]] = {
        "examples": {"url": GOOD, "ref": "refs/tags/v1"},
        "release": {"url": GOOD, "ref": ref},
        "elsewhere": {"url": NOWHERE, "ref": "main"},
        "private": {"url": CLOSED, "ref": "main", "credentialsSecret": {"name": "login"}},
        **({"secured": {"url": secured.url, **by_ssh}} if secured else {}),
    }
    bundles = [{"name": name, "git": {**git, "refreshIntervalSeconds": 5}} for name, git in sources.items()]
    database = {"external": {"secret": {"name": "metadata"}}}
    return {"executor": "LocalExecutor", "database": database, "dags": {"bundles": bundles}}


def given(secret: str, **content: str) -> dict[str, Any]:
    """A Secret of the user's: `metadata` for the database, `login` for the closed repository, `key` for that by SSH."""
    metadata = {"name": secret, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}


@pytest.fixture(scope="module")
def secured(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer | None]:
    """A server on this machine that serves the DAG `secured` by SSH; None for a cluster that does not reach it."""
    if current_kubeconfig() is not None:
        yield None
        return
    files, folder = tmp_path_factory.mktemp("secured"), tmp_path_factory.mktemp("ssh")
    write_dag(files, "secured")
    with ssh_server(platform.cluster.status().host_address, files, folder) as server:
        yield server


@pytest.fixture(scope="module")
def environment(server: DatabaseServer, secured: SshServer | None) -> Environment:
    """Not one thing is right with its bundles, but for the first; its database's role may log in, and nothing more."""
    server.ask(f"CREATE ROLE handmade LOGIN PASSWORD '{PASSWORD_OF_ROLE}'")
    server.ask("CREATE DATABASE handmade")
    secrets = [given("metadata", **DATABASE)]
    if secured:
        secrets += [given("key", **{"ssh-privatekey": secured.private_key, "known_hosts": secured.impostor()})]
    server.platform.apply(secrets)
    environment = Environment(server.platform, NAMESPACE, "airflow")
    environment.apply(**spec("release-2", secured))
    return environment


def test_a_missing_secret(environment: Environment) -> None:
    found = environment.until("Ready", "False", "SecretNotFound")
    assert "dags.bundles[private].git.credentialsSecret" in found["message"]
    assert "'login'" in found["message"]


def test_a_role_that_may_not_create_tables(environment: Environment) -> None:
    environment.platform.apply([given("login", username="git", password="not-of-the-repository")])
    found = environment.until("DatabaseReady", "False", "DatabaseRefused", "MigrationFailed")
    assert "'handmade'" in found["message"]
    assert "schema public" in found["message"]
    assert leaks(environment) == []


def test_a_migration_that_fails(environment: Environment, server: DatabaseServer) -> None:
    """A table of somebody else's is in Airflow's way."""
    server.ask("CREATE TABLE dag (number int)", "handmade")
    server.ask("GRANT CREATE, USAGE ON SCHEMA public TO handmade", "handmade")
    found = environment.until("DatabaseReady", "False", "MigrationFailed")
    assert "airflow db migrate failed (1)" in found["message"]
    assert leaks(environment) == []
    assert not environment.items("deployments")


def test_it_goes_on_although_the_operator_is_killed(environment: Environment, server: DatabaseServer) -> None:
    watch = Stopwatch()
    server.ask("DROP TABLE dag", "handmade")
    eventually("another migration", lambda: _migrates(environment), said=environment.describe)
    watch.lap("nothing in the way: migrating")
    platform = environment.platform
    leader = operators(platform)[0]
    send(signal.SIGKILL, processes(leader))
    environment.until("DatabaseReady", "True")
    watch.lap("leading operator killed: migrated")
    name = leader["metadata"]["name"]
    eventually(f"restart of {name}", lambda: restarts(platform.get("-n", SYSTEM, "pod", name)) > restarts(leader))


def _migrates(environment: Environment) -> bool:
    """Whether there is a migration Job that has not failed."""
    conditions = [job.get("status", {}).get("conditions", []) for job in environment.items("jobs")]
    return any(not any(each["type"] == "Failed" for each in told) for told in conditions)


def test_each_failure_is_told(environment: Environment, secured: SshServer | None) -> None:
    watch = Stopwatch()
    failing = [
        ("release", GOOD, "release-2", "did not match"),
        ("elsewhere", NOWHERE, "main", "Could not resolve host"),
        ("private", CLOSED, "main", "Authentication failed"),
        *([("secured", secured.url, "main", "Host key verification failed")] if secured else []),
    ]
    said = eventually("all failures", lambda: _failures(environment, len(failing)), said=environment.describe)
    watch.lap("all failures are told")
    for name, url, ref, why in failing:
        assert f"dags.bundles[{name}].git ({url}, ref '{ref}')" in said[name]
        assert why in said[name]
    assert "examples" not in said
    assert leaks(environment) == []


def _failures(environment: Environment, count: int) -> dict[str, str]:
    """What the condition says of each failing bundle, when there are so many."""
    found = environment.condition("Healthy")
    if found.get("reason") != "BundleFailed":
        return {}
    parts = [part for part in found["message"].split("; ") if part.startswith("dags.bundles[")]
    said = {part.partition("[")[2].partition("]")[0]: part for part in parts}
    return said if len(said) == count else {}


def _schedulers(environment: Environment) -> set[str]:
    """The names of the pods that are, or were told to be no longer, its scheduler."""
    pods = environment.items("pods")
    return {pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"][COMPONENT] == "scheduler"}


def test_the_rest_goes_on(environment: Environment) -> None:
    environment.succeeds("hello")


def test_it_recovers(environment: Environment, secured: SshServer | None) -> None:
    watch = Stopwatch()
    platform = environment.platform
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "nowhere", "namespace": GIT}}
    mended = [
        {**service, "spec": {"selector": {"app": "git"}, "ports": [{"port": 80, "targetPort": 8080}]}},
        given("login", username="git", password=PASSWORD),
    ]
    if secured:
        mended += [given("key", **{"ssh-privatekey": secured.private_key, "known_hosts": secured.known_hosts})]
    mended += [environment.manifest(**spec("main", secured))]
    former = _schedulers(environment)
    platform.apply(mended)  # at once: Airflow's processes are made anew for each change that they read
    created = eventually("scheduler with what is right", lambda: _schedulers(environment) - former).pop()
    # Often it is told so while it is created.
    environment.kubectl("delete", "pod", created, "--wait=false", "--ignore-not-found")
    environment.until_ready()
    watch.lap("all mended: Ready")
    eventually(f"end of {created}", lambda: created not in _schedulers(environment), said=environment.last_words)
    environment.succeeds("private")
    if secured:
        environment.succeeds("secured")
    assert leaks(environment) == []


def test_the_database_outlives_it(environment: Environment, server: DatabaseServer) -> None:
    environment.delete_all()
    assert server.ask("SELECT count(*) > 50 FROM pg_tables WHERE schemaname = 'public'", "handmade") == ["t"]
