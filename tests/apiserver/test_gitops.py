"""What Argo CD and Flux see: the health of statuses that the operator really wrote, and no change without one."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from airfield.kube.kinds import Ref
from observability.health import argocd, flux
from operated_cluster import PAUSED, Json, Team, eventually

pytestmark = pytest.mark.apiserver


async def live(team: Team, kind: str = "AirflowEnvironment", name: str = "demo") -> Json:
    namespace = team.namespace if kind == "AirflowEnvironment" else ""
    found = await team.kube.get(Ref("airfield.dev/v1alpha1", kind, namespace, name))
    assert found is not None
    return found


def seen(
    team: Team, argo: str, fluxcd: str, *words: str, kind: str = "AirflowEnvironment", name: str = "demo"
) -> Callable[[], Awaitable[bool]]:
    """A condition: both tools see a resource like that."""

    async def look() -> bool:
        resource = await live(team, kind, name)
        health = argocd(resource)
        assert (health.status, flux(resource)) == (argo, fluxcd), (health, resource)
        assert not [word for word in words if word not in health.message], health
        return True

    return look


async def wait_for_ready(team: Team, at_most: str) -> None:
    arguments = ("wait", f"--namespace={team.namespace}", "afenv/demo", "--for=condition=Ready", f"--timeout={at_most}")
    await asyncio.to_thread(team.site.kubectl, *arguments)


async def test_life_of_an_environment(team: Team) -> None:
    me = f"{team.namespace}/demo"
    with team.site.no_operator():
        await team.put_environment(deletionPolicy="Delete")
        assert await seen(team, "Progressing", "InProgress", "not seen this yet")()
        team.site.airflow.down.add(me)
    await eventually(seen(team, "Progressing", "InProgress", "Unreachable", "api-server"), 60)
    team.site.airflow.down.remove(me)
    await eventually(seen(team, "Healthy", "Current", "Serving"), 60)

    with team.site.no_operator():
        await team.put_environment(config={"core": {"parallelism": "7"}}, deletionPolicy="Delete")
        assert await seen(team, "Progressing", "InProgress", "not seen this yet")(), "Ready is of the generation before"
        with pytest.raises(AssertionError, match="timed out waiting"):
            await wait_for_ready(team, "1s")
    await eventually(seen(team, "Healthy", "Current"), 60)

    await team.put_environment(annotations=PAUSED, deletionPolicy="Delete")
    await eventually(seen(team, "Suspended", "InProgress", "airfield.dev/paused"))
    await team.put_environment(className="nowhere", deletionPolicy="Delete")
    await eventually(seen(team, "Degraded", "Failed", "ClassNotFound", "'nowhere'"), 60)
    await team.put_environment(deletionPolicy="Delete")
    await eventually(seen(team, "Healthy", "Current"), 60)

    await team.put_class(databaseServers=[team.server(adminSecret={"namespace": team.namespace, "name": "lost"})])
    await team.kube.delete(team.environment())
    await eventually(seen(team, "Progressing", "Terminating", "being deleted; Deleting"))
    await team.put_class(databaseServers=[team.server()])


async def test_tenants_and_classes(team: Team) -> None:
    await eventually(seen(team, "Healthy", "Current", kind="AirflowTenant", name=team.name))
    await eventually(seen(team, "Healthy", "Current", kind="AirflowEnvironmentClass", name=team.name))
    rival = f"{team.name}-rival"
    await team.put_resource("AirflowTenant", rival, {"namespaces": [{"name": team.namespace}], "allowedClasses": []})
    await eventually(seen(team, "Degraded", "Failed", "NamespaceConflict", kind="AirflowTenant", name=rival))
    await team.kube.delete(Ref("airfield.dev/v1alpha1", "AirflowTenant", "", rival))
    await eventually(seen(team, "Healthy", "Current", kind="AirflowTenant", name=team.name))
    await team.put_class(databaseServers=[team.server(adminSecret={"namespace": team.namespace, "name": "lost"})])
    await eventually(seen(team, "Degraded", "Failed", "TemplateFailed", kind="AirflowEnvironmentClass", name=team.name))


@pytest.mark.parametrize("how", [(), ("--server-side", "--field-manager=argocd-controller")], ids=["client", "server"])
async def test_applying_what_is_there_already_changes_nothing(team: Team, tmp_path: Path, how: tuple[str, ...]) -> None:
    """So a GitOps controller may apply as often as it likes. `kubectl wait` and `kubectl diff` agree."""
    file = tmp_path / "resources.json"
    shared = [await live(team, kind, team.name) for kind in ("AirflowTenant", "AirflowEnvironmentClass")]
    items = [
        {key: obj[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": team.name}} for obj in shared
    ]
    environment = {"name": "demo", "namespace": team.namespace}
    items.append({**items[0], "kind": "AirflowEnvironment", "metadata": environment, "spec": team.environment_spec()})
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    async def kubectl(*arguments: str) -> str:
        return await asyncio.to_thread(team.site.kubectl, *arguments)

    await kubectl("apply", *how, "-f", str(file))
    await wait_for_ready(team, "60s")
    before = await team.settled_versions()
    generation = (await live(team))["metadata"]["generation"]
    for _ in range(2):
        said = await kubectl("apply", *how, "-f", str(file))
        assert how or said.count("unchanged") == len(items), said
    await kubectl("diff", *how, "-f", str(file))
    assert await team.settled_versions() == before
    assert (await live(team))["metadata"]["generation"] == generation
