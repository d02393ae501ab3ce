"""Generated Secrets: made once, made again where that can be, never taken from anybody, never shown to anybody."""

import asyncio
import json
from base64 import b64encode

import pytest

from airfield.airflow import keys
from airfield.airflow.admin import verify
from airfield.api import meta
from airfield.kube import kinds
from airfield.kube.kinds import Ref
from operated_cluster import REPAIR_SECONDS, Json, Team, decoded, eventually
from postgres_server import login

pytestmark = pytest.mark.apiserver


async def checksums(team: Team) -> dict[str, str]:
    """What tells the components of `demo` that something they read has changed."""
    found = {}
    for component in ("api-server", "scheduler", "dag-processor", "triggerer"):
        deployment = await team.existing(kinds.DEPLOYMENT, f"demo-{component}")
        found[component] = deployment["spec"]["template"]["metadata"]["annotations"]["airfield.dev/checksum"]
    return found


READERS = {
    "api": {"api-server"},
    "jwt": {"api-server", "scheduler"},
    "database": {"api-server", "scheduler", "dag-processor", "triggerer"},
    "admin": set[str](),
}


@pytest.mark.parametrize("key", READERS)
async def test_deleted_key_is_made_again(team: Team, key: str) -> None:
    await team.put_environment()
    await team.until_ready()
    before, content = await checksums(team), await team.secret(f"demo-{key}")
    await team.kube.delete(team.ref(kinds.SECRET, f"demo-{key}"))

    async def regenerated() -> dict[str, str]:
        new = await team.secret(f"demo-{key}")
        assert new != content
        after = await checksums(team)
        assert {component for component in after if after[component] != before[component]} == READERS[key]
        return new

    new = await eventually(regenerated, REPAIR_SECONDS)
    if key == "database":
        assert {k: v for k, v in new.items() if k not in {"password", "uri"}} == {
            k: v for k, v in content.items() if k not in {"password", "uri"}
        }
        await eventually(lambda: _can_log_in(team, new))
    if key == "admin":
        await eventually(lambda: _is_administrator(team, new["password"]))
    await team.until_ready()


async def _can_log_in(team: Team, secret: dict[str, str]) -> bool:
    with team.site.in_database(secret) as connection:
        return connection.execute("SELECT count(*) FROM ab_user").fetchone() == (1,)


async def _is_administrator(team: Team, password: str) -> bool:
    with team.site.in_database(await team.secret("demo-database")) as connection:
        row = connection.execute("SELECT password FROM ab_user WHERE username = 'admin'").fetchone()
    return row is not None and verify(password, row[0])


async def test_derived_secrets_come_back(team: Team) -> None:
    """What is made of the user's Secrets is made again, the same; nobody who reads it is restarted."""
    address = team.site.external_database(f"derived_{team.name.replace('-', '_')}", "of-the-database")
    given = {"host": address.host, "port": str(address.port), "database": address.database, "sslmode": "disable"}
    await team.put_secret("db", {**given, "username": address.user, "password": "of-the-database"})
    await team.put_secret("token", {"username": "robot", "password": "of-the-repository"})
    with login(address) as connection:
        connection.execute("INSERT INTO dag_bundle VALUES ('main', true, now())")
    source = {"url": "https://git.example.com/x.git", "ref": "main", "credentialsSecret": {"name": "token"}}
    spec: Json = {
        "database": {"external": {"secret": {"name": "db"}}},
        "dags": {"bundles": [{"name": "main", "git": source}]},
    }
    await team.put_environment(**spec)
    await team.until_ready()
    sums = await checksums(team)
    for name, field in (("demo-git-main", "connection"), ("demo-database", "uri")):
        before = await team.existing(kinds.SECRET, name)
        assert field in decoded(before)
        overwrite = {"metadata": {"labels": {meta.LABEL_TENANT: "thieves"}}, "data": {field: b64encode(b"x").decode()}}
        # None deletes it.
        for change in (None, overwrite, {"data": {field: None}}, {"metadata": {"ownerReferences": None}}):
            live = await team.existing(kinds.SECRET, name)
            ref = team.ref(kinds.SECRET, name)
            await (team.kube.delete(ref) if change is None else team.kube.patch(ref, change))

            async def back(name: str = name, before: Json = before, live: Json = live) -> bool:
                found = await team.existing(kinds.SECRET, name)
                assert found["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]
                return _content(found) == _content(before)

            await eventually(back, REPAIR_SECONDS)
    await team.until_ready()
    assert await checksums(team) == sums

    await team.put_secret("token", {"username": "robot", "password": "another"})

    async def rolled_out() -> bool:
        found = await checksums(team)
        changed = {component for component in found if found[component] != sums[component]}
        return changed == {"scheduler", "dag-processor"}  # which run what bundles bring

    await eventually(rolled_out)

    async def labelled(*wanted: str) -> bool:
        secrets = [await team.existing(kinds.SECRET, name) for name in ("demo-git-main", "demo-database")]
        return all({"contact", "purpose"} & secret["metadata"]["labels"].keys() == set(wanted) for secret in secrets)

    await team.put_environment(**spec, labels={"contact": "jo", "purpose": "reports"})
    await eventually(lambda: labelled("contact", "purpose"))
    await team.put_environment(**spec, labels={"contact": "jo"})
    await eventually(lambda: labelled("contact"))


def _content(secret: Json) -> list[Json | None]:
    metadata = secret["metadata"]
    return [secret.get("data"), metadata["labels"], metadata.get("ownerReferences")]


async def test_edited_administrator_reaches_airflow(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    assert await _is_administrator(team, (await team.secret("demo-admin"))["password"])
    await team.put_secret("demo-admin", {"password": "chosen by a person"})
    await eventually(lambda: _is_administrator(team, "chosen by a person"))


async def test_lost_fernet_key(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    secret = await team.existing(kinds.SECRET, "demo-fernet")
    fernet = team.ref(kinds.SECRET, "demo-fernet")
    await team.kube.delete(fernet)
    words = (
        "'demo-fernet'",
        "Restore it from a backup",
        "kubectl annotate afenv demo airfield.dev/accept-key-loss=",
    )
    condition = await team.until_stuck("KeyLost", *words)
    assert (await team.condition("Stalled"))["message"] == condition["message"]
    assert await team.get(kinds.SECRET, "demo-fernet") is None

    await team.put_secret("demo-fernet", decoded(secret))
    await team.until_ready()
    assert (await team.secret("demo-fernet")) == decoded(secret)

    await team.kube.delete(fernet)
    told = await team.until_stuck("KeyLost")
    fingerprint = told["message"].partition("accept-key-loss=")[2].partition("`")[0]
    await team.put_environment(annotations={"airfield.dev/accept-key-loss": fingerprint})
    await team.until_ready()
    assert (await team.secret("demo-fernet")) != decoded(secret)


async def test_replaced_fernet_key(team: Team) -> None:
    """Another key in the Secret's place is a loss like its deletion; a rotation is none."""
    await team.put_environment()
    await team.until_ready()
    former, new = (await team.secret("demo-fernet"))["fernet-key"], keys.fernet_key()
    before = await checksums(team)
    await team.put_secret("demo-fernet", {"fernet-key": "no key"})  # what stands in between does not count
    await team.until_stuck("SecretInvalid")
    await team.put_secret("demo-fernet", {"fernet-key": new})
    await team.until_stuck("KeyLost", "'demo-fernet' now holds another key", "NEW,FORMER")
    assert await checksums(team) == before
    await team.put_secret("demo-fernet", {"fernet-key": f"{new},{former}"})
    await team.until_ready()
    await team.put_secret("demo-fernet", {"fernet-key": new})
    await team.until_ready()
    rotated = await checksums(team)
    assert {component for component in before if rotated[component] == before[component]} == set()


@pytest.mark.parametrize("name", ["fernet", "api", "jwt", "admin", "database"])
async def test_labels_of_a_generated_secret(team: Team, name: str) -> None:
    """They follow the tenant's, come back when somebody changes them, and leave those of others alone."""
    ref = team.ref(kinds.SECRET, f"demo-{name}")
    await team.put_tenant(labels={"cost-centre": "4711", "gone": "soon"})
    await team.put_environment()
    await team.until_ready()
    before = await team.existing(kinds.SECRET, ref.name)
    assert before["metadata"]["labels"]["cost-centre"] == "4711"
    theft = {meta.LABEL_TENANT: "thieves", "cost-centre": "theirs", "somebodys": "own"}
    await team.put("v1", "Secret", ref.name, {}, labels=theft)
    wanted = {**before["metadata"]["labels"], "somebodys": "own"}

    async def labelled() -> bool:
        found = await team.existing(kinds.SECRET, ref.name)
        assert found["data"] == before["data"]
        assert found["metadata"]["labels"] == wanted
        return True

    await eventually(labelled, REPAIR_SECONDS)
    del wanted["gone"]
    wanted["cost-centre"] = "4712"
    await team.put_tenant(labels={"cost-centre": "4712"})
    await eventually(labelled)


async def test_existing_fernet_key_is_adopted(team: Team) -> None:
    key = keys.fernet_key()
    await team.put_secret("demo-fernet", {"fernet-key": key})
    await team.put_environment()
    await team.until_ready()
    assert await team.secret("demo-fernet") == {"fernet-key": key}
    # Its deletion is noticed like that of one that the operator made.
    await team.kube.delete(team.ref(kinds.SECRET, "demo-fernet"))
    await team.until_stuck("KeyLost")


async def test_unusable_key_of_somebody(team: Team) -> None:
    await team.put_secret("demo-fernet", {"fernet-key": "canary-not-a-key"})
    await team.put_environment()
    condition = await team.until_stuck("SecretInvalid", "'demo-fernet'", "32 bytes", "Correct it")
    assert "canary" not in condition["message"]
    await team.put_secret("demo-fernet", {"fernet-key": keys.fernet_key()})
    await team.until_ready()


async def test_foreign_objects_are_not_taken_over(team: Team) -> None:
    spec = {"ports": [{"port": 80}], "selector": {"app": "shop"}}
    await team.put("v1", "Service", "demo-api-server", {"spec": spec})
    before = await team.existing(kinds.SERVICE, "demo-api-server")
    await team.put_environment()
    await team.until_stuck(
        "ApplyRefused", f"Service {team.namespace}/demo-api-server", "remove or rename it", seconds=60
    )
    assert await team.existing(kinds.SERVICE, "demo-api-server") == before
    await team.kube.delete(team.ref(kinds.SERVICE, "demo-api-server"))
    await team.until_ready(seconds=60)


async def test_copied_label_does_not_make_an_object_ours(team: Team) -> None:
    """Pruning wants more than labels, which are copied along with manifests."""
    await team.put_environment()
    await team.until_ready()
    labels = (await team.existing(kinds.CONFIG_MAP, "demo-config"))["metadata"]["labels"]
    await team.put("v1", "ConfigMap", "copy", {"data": {"a": "b"}}, labels=labels)
    await team.put_environment(config={"core": {"parallelism": "7"}})
    await team.until_ready()
    assert await team.get(kinds.CONFIG_MAP, "copy") is not None


async def test_no_secret_is_ever_shown(team: Team) -> None:
    """Canaries in every Secret that a user gives, through success and through every way to fail that reads them."""
    canary = f"canary-{team.name}"
    address = team.site.external_database(f"canary_{team.name.replace('-', '_')}", f"{canary}-db")
    await team.put_secret("token", {"username": "robot", "password": f"{canary}-git"})
    await team.put_secret("variable", {"value": f"{canary}-variable"})
    external = {"host": address.host, "port": str(address.port), "database": address.database}
    external |= {"username": address.user, "sslmode": "disable"}
    await team.put_secret("db", {**external, "password": f"{canary}-wrong"})
    spec: Json = {
        "database": {"external": {"secret": {"name": "db"}}},
        "env": [{"name": "SECRET", "secretKeyRef": {"name": "variable", "key": "value"}}],
        "dags": {
            "bundles": [
                {
                    "name": "main",
                    "git": {
                        "url": "https://git.example.com/x.git",
                        "ref": "main",
                        "credentialsSecret": {"name": "token"},
                    },
                }
            ]
        },
    }
    await team.put_environment(**spec)
    await team.until_stuck("DatabaseRefused", "user and password")
    await team.put_secret("db", {**external, "password": f"{canary}-db"})
    await team.until_stuck("Starting", "dags.bundles[main].git")
    with login(address) as connection:
        connection.execute("INSERT INTO dag_bundle VALUES ('main', true, now())")
    await team.until_ready()
    await team.put_secret("token", {"username": "robot", "password": f"{canary}-new"})
    await team.put_class(valuesTemplate="{{ digests }} {{ secrets.nobody }}")
    await team.until_stuck("TemplateFailed")

    objects = await team.kube.list(kinds.SECRET, team.namespace)
    secrets = {
        value
        for secret in objects
        for field, value in decoded(secret).items()
        if field not in {"username", "host", "port", "database", "jwks.json", "sslmode"}
    }
    assert len(secrets) > 8
    spellings = {s for value in secrets for s in (value, json.dumps(value)[1:-1], b64encode(value.encode()).decode())}
    lists = await asyncio.gather(
        *(
            team.kube.list(kind, team.namespace)
            for kind in (kinds.CONFIG_MAP, kinds.DEPLOYMENT, kinds.JOB, kinds.POD, kinds.EVENT)
        )
    )
    shown = [
        json.dumps([await team.kube.get(team.environment()), *lists]),
        json.dumps(await team.kube.get(Ref("airfield.dev/v1alpha1", "AirflowEnvironmentClass", "", team.name))),
        team.site.operator.log.read_text(),
    ]
    assert team.namespace in shown[2]
    for text in shown:
        assert canary not in text
        assert not [spelling for spelling in spellings if spelling in text]
