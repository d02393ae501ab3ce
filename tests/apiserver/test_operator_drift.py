"""What other people do to an environment's objects is put right at once."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import yaml

from airfield.kube import kinds
from airfield.kube.kinds import Kind, Ref
from operated_cluster import PAUSED, REPAIR_SECONDS, Team, eventually, restricted_container

pytestmark = pytest.mark.apiserver

COMPLETE: dict[str, Any] = {"executor": "KubernetesExecutor", "components": {"apiServer": {"replicas": 2}}}
"""With this an environment has objects of all kinds that every cluster knows."""
EXPOSED = {"hostTemplate": "{name}.{namespace}.example.com", "ingress": {}}

OWNED: tuple[tuple[Kind, str], ...] = (
    (kinds.CONFIG_MAP, "demo-config"),
    (kinds.CONFIG_MAP, "demo-pod-template"),
    (kinds.SERVICE, "demo-api-server"),
    (kinds.SERVICE_ACCOUNT, "demo-worker"),
    (kinds.ROLE, "demo-scheduler"),
    (kinds.ROLE_BINDING, "demo-scheduler"),
    (kinds.NETWORK_POLICY, "demo-default"),
    (kinds.INGRESS, "demo-api-server"),
    (kinds.POD_DISRUPTION_BUDGET, "demo-api-server"),
    (kinds.DEPLOYMENT, "demo-scheduler"),
)


async def test_deleted_objects_come_back(team: Team) -> None:
    await team.put_class(exposure=EXPOSED)
    await team.put_environment(**COMPLETE)
    await team.until_ready()
    present = {ref.kind for ref in await team.objects()} - {"Pod", "Secret", "PersistentVolumeClaim", "Job"}
    assert present == {kind.kind for kind, _ in OWNED}, "every kind is in the table"
    before = {name: await team.existing(kind, name) for kind, name in OWNED}

    async def deleted(kind: Kind, name: str) -> None:
        uid = before[name]["metadata"]["uid"] if before[name]["kind"] == kind.kind else ""
        live = await team.existing(kind, name)
        await team.kube.delete(team.ref(kind, name))

        async def back() -> bool:
            found = await team.existing(kind, name)
            return bool(found["metadata"]["uid"] not in {uid, live["metadata"]["uid"]})

        await eventually(back, REPAIR_SECONDS)

    for kind, name in OWNED:
        await deleted(kind, name)
    await team.until_ready()


async def test_edited_objects_are_put_right(team: Team) -> None:
    await team.put_class(exposure=EXPOSED)
    await team.put_environment(**COMPLETE)
    await team.until_ready()
    space = f"--namespace={team.namespace}"
    scheduler, config = (kinds.DEPLOYMENT, "demo-scheduler"), (kinds.CONFIG_MAP, "demo-config")
    tasks = (kinds.CONFIG_MAP, "demo-pod-template")
    service, role = (kinds.SERVICE, "demo-api-server"), (kinds.ROLE, "demo-scheduler")
    binding, policy = (kinds.ROLE_BINDING, "demo-scheduler"), (kinds.NETWORK_POLICY, "demo-default")
    ingress = (kinds.INGRESS, "demo-api-server")
    thief = {"kind": "ServiceAccount", "name": "default"}
    budget, account = (kinds.POD_DISRUPTION_BUDGET, "demo-api-server"), (kinds.SERVICE_ACCOUNT, "demo-worker")
    edits = (
        (scheduler, ("set", "image", "deployment/demo-scheduler", "scheduler=evil:1")),
        (scheduler, ("scale", "deployment/demo-scheduler", "--replicas=3")),
        (scheduler, ("label", "deployment/demo-scheduler", "airfield.dev/tenant=thieves", "--overwrite")),
        (scheduler, ("set", "env", "deployment/demo-scheduler", "AIRFLOW_HOME=/tmp")),
        (config, _merge("configmap/demo-config", data={"airflow.cfg": "[core]"})),
        (tasks, _merge("configmap/demo-pod-template", data={"pod.yaml": None})),
        (service, _merge("service/demo-api-server", spec={"selector": {"app.kubernetes.io/component": "x"}})),
        (role, _merge("role/demo-scheduler", rules=[])),
        (role, _merge("role/demo-scheduler", rules=[{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])),
        (binding, _merge("rolebinding/demo-scheduler", subjects=[{**thief, "namespace": team.namespace}])),
        (binding, ("label", "rolebinding/demo-scheduler", "airfield.dev/phase-")),
        (policy, _merge("networkpolicy/demo-default", spec={"policyTypes": ["Ingress"]})),
        (policy, _merge("networkpolicy/demo-default", spec={"podSelector": {"matchLabels": {"a": "b"}}})),
        (policy, ("label", "networkpolicy/demo-default", "airfield.dev/phase=workloads", "--overwrite")),
        (budget, _merge("poddisruptionbudget/demo-api-server", spec={"maxUnavailable": 2})),
        (budget, ("label", "poddisruptionbudget/demo-api-server", "app.kubernetes.io/managed-by-")),
        (ingress, _merge("ingress/demo-api-server", spec={"rules": [{"host": "thief.example.com"}]})),
        (ingress, _merge("ingress/demo-api-server", spec={"tls": []})),
        (account, _merge("serviceaccount/demo-worker", automountServiceAccountToken=True)),
        (account, ("label", "serviceaccount/demo-worker", "airfield.dev/tenant=thieves", "--overwrite")),
    )
    assert {(kind.kind, name) for (kind, name), _ in edits} == {(kind.kind, name) for kind, name in OWNED}
    for (kind, name), command in edits:
        before = _wanted(await team.existing(kind, name))
        await asyncio.to_thread(team.site.kubectl, *command, space)

        async def repaired(kind: Kind = kind, name: str = name, before: Any = before) -> bool:
            assert _wanted(await team.existing(kind, name)) == before
            return True

        await eventually(repaired, REPAIR_SECONDS)
    await team.until_ready()


async def test_objects_of_an_embedded_database(team: Team) -> None:
    """They are put right too, also while the database does not answer (here no container runs)."""
    await team.put_environment(database={"embedded": {}}, logs={"persistentVolume": {"size": "1Gi"}})
    database, service, claim = (
        (kind, "demo-db") for kind in (kinds.STATEFUL_SET, kinds.SERVICE, kinds.PERSISTENT_VOLUME_CLAIM)
    )
    space = f"--namespace={team.namespace}"
    edits = (
        (database, ("set", "image", "statefulset/demo-db", "postgres=evil:1")),
        (database, ("scale", "statefulset/demo-db", "--replicas=0")),
        (service, _merge("service/demo-db", spec={"selector": {"app": "thief"}})),
        (claim, ("label", "pvc/demo-db", "airfield.dev/tenant=thieves", "--overwrite")),
        (claim, ("label", "pvc/demo-db", "airfield.dev/environment-")),
        (database, ("delete", "statefulset/demo-db")),
        (service, ("delete", "service/demo-db")),
    )
    for kind, name in (database, service, claim):
        await eventually(partial(team.existing, kind, name))
    for (kind, name), command in edits:
        before = await team.existing(kind, name)
        await asyncio.to_thread(team.site.kubectl, *command, space)

        async def repaired(kind: Kind = kind, name: str = name, before: Any = before) -> bool:
            found = await team.existing(kind, name)
            assert found["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
            assert _without_addresses(found) == _without_addresses(before)
            return True

        await eventually(repaired, REPAIR_SECONDS)


def _without_addresses(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted, without what the API server gives a Service that is made anew."""
    wanted = _wanted(obj)
    spec = {key: value for key, value in wanted["spec"].items() if not key.startswith("clusterIP")}
    return {**wanted, "spec": spec}


def _merge(what: str, **changes: Any) -> tuple[str, ...]:
    """The kubectl command that changes these fields."""
    return ("patch", what, "--type=merge", f"--patch={json.dumps(changes)}")


def _wanted(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Labels and everything but metadata and status."""
    return {
        "labels": obj["metadata"]["labels"],
        **{key: value for key, value in obj.items() if key not in {"metadata", "status"}},
    }


async def test_additions_of_others_stay(team: Team) -> None:
    """What we have no opinion of is not ours to remove: an ingress controller's annotation, a sidecar, a field."""
    await team.put_environment()
    await team.until_ready()
    space = f"--namespace={team.namespace}"
    pod = {
        "containers": [restricted_container("sidecar", "mesh:1")],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
    }
    additions = {"spec": {"template": {"spec": pod}, "progressDeadlineSeconds": 1234}}
    deployment = ("patch", "deployment/demo-scheduler", f"--patch={json.dumps(additions)}")
    for command in (("annotate", "service/demo-api-server", "mesh/port=8080"), deployment):
        await asyncio.to_thread(team.site.kubectl, *command, space)
    await team.put_environment(config={"core": {"parallelism": "7"}})
    await team.until_ready()
    service = await team.existing(kinds.SERVICE, "demo-api-server")
    assert service["metadata"]["annotations"]["mesh/port"] == "8080"
    spec = (await team.existing(kinds.DEPLOYMENT, "demo-scheduler"))["spec"]
    assert {each["name"]: each["image"] for each in spec["template"]["spec"]["containers"]}["sidecar"] == "mesh:1"
    assert spec["template"]["spec"]["hostAliases"] == pod["hostAliases"]
    assert spec["progressDeadlineSeconds"] == 1234


async def test_work_that_was_missed_is_done_after_a_restart(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    team.site.operator.kill()
    try:
        await team.kube.delete(team.ref(kinds.SERVICE, "demo-api-server"))
        await team.put_environment("second")
        await team.put_environment(config={"core": {"parallelism": "7"}})
    finally:
        team.site.operator.start()
    await team.until_ready("demo", "second")
    assert await team.get(kinds.SERVICE, "demo-api-server")
    assert "parallelism = 7" in (await team.existing(kinds.CONFIG_MAP, "demo-config"))["data"]["airflow.cfg"]


async def test_pause(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    await team.put_environment(annotations=PAUSED, config={"core": {"parallelism": "7"}})
    paused = await eventually(lambda: team.condition("Paused", latest=False))
    assert paused["status"] == "True"
    assert "airfield.dev/paused" in paused["message"]
    await team.kube.delete(team.ref(kinds.SERVICE, "demo-api-server"))
    # Other environments' events come after ours, and are dealt with.
    await team.put_environment("second")
    await team.until_ready("second")
    assert await team.get(kinds.SERVICE, "demo-api-server") is None
    assert "parallelism = 7" not in (await team.existing(kinds.CONFIG_MAP, "demo-config"))["data"]["airflow.cfg"]

    await team.put_environment(config={"core": {"parallelism": "7"}})

    async def back() -> bool:
        assert await team.get(kinds.SERVICE, "demo-api-server") is not None
        return "parallelism = 7" in (await team.existing(kinds.CONFIG_MAP, "demo-config"))["data"]["airflow.cfg"]

    await eventually(back)
    await team.until_ready()


async def test_change_of_a_class_reaches_its_environments(team: Team) -> None:
    names = ("demo", "second", "third")
    await asyncio.gather(*(team.put_environment(name) for name in names))
    await team.until_ready(*names)
    before = {name: await team.existing(kinds.SERVICE, f"{name}-api-server") for name in names}
    await team.put_class(defaults={"version": "3.3.2", "executor": "LocalExecutor", "config": {"core": {"x": "1"}}})

    async def reached(name: str) -> bool:
        return "x = 1" in (await team.existing(kinds.CONFIG_MAP, f"{name}-config"))["data"]["airflow.cfg"]

    for name in names:
        await eventually(lambda name=name: reached(name))  # type: ignore[misc]
    await team.until_ready(*names)
    for name, service in before.items():
        assert await team.existing(kinds.SERVICE, f"{name}-api-server") == service, "what did not change is not touched"


async def test_labels_of_tenant_and_environment_reach_objects_and_task_pods(team: Team) -> None:
    await team.put_environment(executor="KubernetesExecutor")
    await team.until_ready()
    wanted = {"cost-centre": "4711", "contact": "jo"}
    await team.put_tenant(labels={"cost-centre": "4711"}, requiredLabels=[{"key": "contact"}])
    await team.until_stuck("LabelMissing", "spec.labels.contact")
    await team.put_environment(executor="KubernetesExecutor", labels={"contact": "jo"})

    async def labelled() -> bool:
        objects = [obj for obj in (await team.objects()).values() if obj["kind"] not in {"Pod", "Job"}]
        assert not [Ref.of(obj) for obj in objects if not wanted.items() <= obj["metadata"]["labels"].items()]
        pods = (await team.existing(kinds.DEPLOYMENT, "demo-scheduler"))["spec"]["template"]
        template = (await team.existing(kinds.CONFIG_MAP, "demo-pod-template"))["data"]["pod.yaml"]
        assert all(wanted.items() <= pod["metadata"]["labels"].items() for pod in (pods, yaml.safe_load(template)))
        return True

    await eventually(labelled)
    await team.until_ready()
    await team.put_tenant(labels={}, requiredLabels=[])

    async def unlabelled() -> bool:
        both = await team.existing(kinds.SERVICE, "demo-api-server"), await team.existing(kinds.SECRET, "demo-fernet")
        return not any("cost-centre" in obj["metadata"]["labels"] for obj in both)

    await eventually(unlabelled)
