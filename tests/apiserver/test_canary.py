"""Secret values are planted everywhere a user can put one; afterwards they stand nowhere but in Secrets."""

import asyncio
import json
import secrets
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest

from airfield.environment.ensure.keys import PUBLIC_FIELDS
from airfield.kube import kinds
from airfield.kube.kinds import Ref
from operated_cluster import SYSTEM, Json, Site, Team, decoded, eventually

pytestmark = pytest.mark.apiserver

EVERYWHERE = (
    "configmaps,airflowenvironments,events,events.events.k8s.io,pods,deployments,statefulsets,jobs,services,"
    "serviceaccounts,persistentvolumeclaims,roles,rolebindings,networkpolicies,poddisruptionbudgets,replicasets,leases"
)
SHORTEST = 12
"""Characters of a piece that is looked for: `admin` stands in many places."""


def planted(name: str) -> str:
    """A secret as people have them, with all that any syntax could stumble over."""
    return f"{name}-pä$s/w'rd\\%+ &\"{secrets.token_hex(8)}"


def forms(value: str) -> Iterator[str]:
    """What a secret may look like: as it is, escaped, quoted for a URL, and in base64 wherever in a longer text."""
    yield value
    yield value.encode("unicode_escape").decode()
    yield value.replace("\\", "\\\\").replace('"', '\\"')
    yield quote(value, safe="")
    yield quote_plus(value)
    raw = value.encode()
    for before in range(3):
        whole = b64encode(b"x" * before + raw)
        # Without the characters that depend on what stands before and after.
        yield whole[-(-8 * before // 6) : 4 * ((before + len(raw)) // 3)].decode()


def leaks(values: dict[str, str], places: dict[str, str]) -> list[str]:
    return [
        f"{name} in {place}"
        for name, value in values.items()
        for form in {form for form in forms(value) if len(form) >= SHORTEST}
        for place, text in places.items()
        if form in text
    ]


@pytest.fixture
def talkative(site: Site) -> Iterator[Site]:
    """The site with an operator that logs whatever it can."""
    site.operator.kill()
    site.operator.start(LOG_LEVEL="DEBUG")
    yield site
    site.operator.kill()
    site.operator.start()


async def plant(team: Team) -> dict[str, str]:
    """Two environments with secrets of a user, all of which go wrong before they go right; the values by name."""
    values = {name: planted(name) for name in ("database", "wrong-database", "git", "variable", "wrong-admin")}
    name = team.name.replace("-", "_")
    address = team.site.external_database(name, values["database"])
    database = {"host": address.host, "port": str(address.port), "database": name, "sslmode": "disable"}
    await team.put_secret("db", {**database, "username": name, "password": values["wrong-database"]})
    await team.put_secret("git", {"username": "git", "password": values["git"]})
    await team.put_secret("variables", {"key": values["variable"]})
    source = {"url": "https://git.example.com/dags.git", "ref": "main", "credentialsSecret": {"name": "git"}}
    variable = {"name": "OURS", "secretKeyRef": {"name": "variables", "key": "key"}}
    more: Json = {
        "dags": {"bundles": [{"name": "dags", "git": source}]},
        "env": [variable],
        "executor": "KubernetesExecutor",
    }
    await team.put_environment("mine", database={"external": {"secret": {"name": "db"}}}, **more)
    await team.until_stuck("DatabaseRefused", name="mine")
    await team.put_secret("db", {**database, "username": name, "password": values["database"]})

    admin = {"username": team.site.postgres.admin.user, "password": values["wrong-admin"]}
    await team.put_secret("wrong", admin)
    where = {"namespace": team.namespace, "name": "wrong"}
    await team.put_class(databaseServers=[team.server(adminSecret=where)])
    await team.put_environment(env=[variable])
    await team.until_stuck("DatabaseRefused")
    await team.put_class(databaseServers=[team.server()])
    await team.until_ready("demo")
    return values


async def generated(team: Team) -> dict[str, str]:
    """The pieces of all Secrets in the team's namespace, by where they are."""
    return {
        f"{secret['metadata']['name']}.{field}": line
        for secret in await team.kube.list(kinds.SECRET, team.namespace)
        for field, value in decoded(secret).items()
        if field not in PUBLIC_FIELDS
        for line in value.splitlines()
        if len(line) >= SHORTEST and not line.startswith("-----")
    }


async def test_secrets_stay_secret(team: Team, talkative: Site) -> None:
    values = await plant(team)
    await last_words(team, values["variable"])
    values |= await generated(team)
    assert {"demo-fernet.fernet-key", "demo-jwt.private.pem", "demo-database.uri", "mine-database.uri"} <= set(values)

    def look() -> dict[str, str]:
        names: dict[str, tuple[str, ...]] = {
            f"namespace {each}": ("get", EVERYWHERE, "-n", each) for each in (team.namespace, SYSTEM)
        }
        names["the cluster"] = ("get", "airflowtenants,airflowenvironmentclasses")
        found = {
            f"{place} as {form}": talkative.kubectl(*arguments, "-o", form, "--show-managed-fields")
            for place, arguments in names.items()
            for form in ("yaml", "json")
        }
        found["the metrics"] = talkative.operator.metrics()
        return {**found, "the operator's log": talkative.operator.log.read_text()}

    places = await asyncio.to_thread(look)
    entries = [json.loads(line) for line in places["the operator's log"].splitlines()]
    assert "debug" in {entry["level"] for entry in entries}
    told = [
        entry for entry in entries if entry.get("environment") in {f"{team.namespace}/{n}" for n in ("mine", "demo")}
    ]
    assert {entry["tenant"] for entry in told} == {team.name}
    assert len({entry["reconcile"] for entry in told}) > 2
    assert not leaks(values, places)


async def last_words(team: Team, value: str) -> None:
    """A container of `demo` dies with a secret on its lips; the status speaks of it, without the secret."""

    async def scheduler() -> Ref:
        pods = [obj for obj in (await team.objects()).values() if obj["kind"] == "Pod"]
        found = [obj for obj in pods if obj["metadata"]["labels"]["app.kubernetes.io/component"] == "scheduler"]
        assert found
        return Ref.of(found[0])

    pod = await eventually(scheduler)
    container: Json = {"name": "scheduler", "image": "x", "imageID": "x", "ready": False, "restartCount": 3}
    container["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    container["lastState"] = {"terminated": {"exitCode": 1, "message": f"cannot log in with {value}"}}
    unready = [{"type": "Ready", "status": "False"}]
    status = {"status": {"containerStatuses": [container], "conditions": unready}}
    await team.kube.patch(pod, status, subresource="status")
    await team.until_stuck("PodFailing", "cannot log in with ***")
    await team.kube.delete(pod)
    await team.until_ready()


@pytest.mark.parametrize("form", range(8))
def test_a_leak_would_be_found(form: int) -> None:
    value = planted("x")
    hidden = f"before {list(forms(value))[form]} after"
    assert leaks({"x": value}, {"a log": hidden}) == ["x in a log"]
    wrapped = b64encode(f"{'y' * form}{value}{'z' * form}".encode()).decode()
    assert leaks({"x": value}, {"a Secret": wrapped}) == ["x in a Secret"]
