"""What the operator makes of a provider in a class: who waits for what, who is refused, and whose pods start anew."""

import json

import pytest

from airfield.kube import kinds
from operated_cluster import Json, Team, eventually

pytestmark = pytest.mark.apiserver

OIDC = {"issuer": "https://login.example.com/realms/company", "clientId": "airfield:{namespace}/{name}"}


def roles(**given: str) -> Json:
    return {"roles": [{"group": group, "role": role} for group, role in given.items()]}


async def identity(team: Team) -> Json:
    """What the api-server reads."""
    found = await team.existing(kinds.CONFIG_MAP, "demo-identity")
    read: Json = json.loads(found["data"]["identity.json"])
    return read


async def checksums(team: Team) -> dict[str, str]:
    found = {}
    for component in ("api-server", "scheduler"):
        deployment = await team.existing(kinds.DEPLOYMENT, f"demo-{component}")
        found[component] = deployment["spec"]["template"]["metadata"]["annotations"]["airfield.dev/checksum"]
    return found


async def test_from_a_provider_to_roles(team: Team) -> None:
    await team.put_class(identity={"oidc": OIDC, **roles(**{"{tenant}-owners": "Op", "platform": "Admin"})})
    own = {**roles(support="Viewer"), "clientSecretRef": {"name": "oidc", "key": "secret"}}
    await team.put_environment(identity=own)
    await team.until_stuck("SecretNotFound", "identity.clientSecretRef", "'oidc'", "create it")
    await team.put_secret("oidc", {"secret": "of-the-client"})
    await team.until_ready()
    found = await identity(team)
    assert (found["clientId"], found["audience"]) == (f"airfield:{team.namespace}/demo",) * 2
    assert found["roles"] == {f"{team.name}-owners": "Op", "platform": "Admin", "support": "Viewer"}
    assert "of-the-client" not in json.dumps(found)

    before = await checksums(team)
    await team.put_secret("oidc", {"secret": "another"})
    await eventually(lambda: _only_the_api_server(team, before))
    await team.until_ready()
    await team.put_environment(identity=roles(platform="Viewer"))
    await team.until_stuck("IdentityRefused", "identity.roles[platform] (set by environment)", "Admin")
    assert await identity(team) == found, "what runs goes on"

    await team.put_class(identity={})
    await team.put_environment()
    await eventually(lambda: _gone(team))
    await team.until_ready()


async def test_nobody_brings_the_keys_to_airflow(team: Team) -> None:
    """Who may write Secrets may not choose who the administrator is, nor what tokens are signed with."""
    await team.put_class(identity={"oidc": OIDC})
    await team.put_secret("demo-admin", {"username": "me", "password": "of-my-own"})
    await team.put_environment()
    await team.until_stuck("SecretInvalid", "demo-admin", "was not made by the operator", "delete it")
    await team.kube.delete(team.ref(kinds.SECRET, "demo-admin"))
    await team.until_ready()
    assert (await team.secret("demo-admin"))["username"] == "admin"


async def _gone(team: Team) -> bool:
    return await team.get(kinds.CONFIG_MAP, "demo-identity") is None


async def _only_the_api_server(team: Team, before: dict[str, str]) -> bool:
    after = await checksums(team)
    return {name for name in after if after[name] != before[name]} == {"api-server"}
