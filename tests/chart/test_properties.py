"""What holds for everything that the chart renders, whatever the values."""

import json
import re
from typing import Any

import pytest

from chart.rendered import (
    CHART,
    COMPONENTS,
    EXECUTORS,
    MATRIX,
    NAMESPACE,
    PRIVATE,
    Json,
    environment,
    find,
    pod,
    pods,
    render,
    render_text,
    secrets_of,
)

KINDS = {
    "Certificate", "ConfigMap", "Deployment", "HTTPRoute", "Ingress", "Job", "NetworkPolicy", "PersistentVolumeClaim",
    "PodDisruptionBudget", "Role", "RoleBinding", "Service", "ServiceAccount", "StatefulSet",
}  # fmt: skip
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
FULL: Json = {
    "components": {
        key: {"replicas": 2, "priorityClassName": "high", "podAnnotations": {"a": "b"}, "nodeSelector": {"disk": "ssd"}}
        for key in ("apiServer", "scheduler", "dagProcessor", "triggerer")
    },
    "airflow": {"pullSecrets": ["registry"]},
    "labels": {"cost-centre": "4711", "airfield.dev/environment": "other"},
    "exposure": {
        "host": "demo.example.com",
        "ingress": {"secretName": "demo-tls", "issuer": {"kind": "ClusterIssuer", "name": "ca"}},
    },
    "networkPolicy": {
        "kubernetesApi": {"cidrs": ["10.0.0.1/32"]},
        "ingressFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP", "port": 443}]}],
    },
}
ROUTED: Json = {
    "exposure": {
        "host": "demo.example.com",
        "gateway": {"name": "public", "namespace": "gateways", "sectionName": "https"},
    }
}
CASES = [*MATRIX, FULL, ROUTED]
each = pytest.mark.parametrize("values", CASES, ids=lambda values: json.dumps(values)[:60])


@each
def test_objects_stay_in_the_environment(values: Json) -> None:
    objects = render(values)
    seen = set()
    for item in objects:
        metadata = item["metadata"]
        assert item["kind"] in KINDS  # none of them is cluster-scoped, none is a Secret
        assert metadata["namespace"] == NAMESPACE
        assert metadata["name"].startswith("demo-")
        labels = metadata["labels"]
        assert labels["airfield.dev/phase"] in {"database", "schema", "workloads"}
        assert labels["airfield.dev/environment"] == labels["app.kubernetes.io/instance"] == "demo"
        assert (labels["app.kubernetes.io/managed-by"], labels["app.kubernetes.io/name"]) == ("airfield", "airflow")
        assert not any(key.startswith("helm.sh/hook") for key in metadata.get("annotations", {}))
        seen.add((item["kind"], metadata["name"]))
    assert len(seen) == len(objects)


@pytest.mark.parametrize("grace", [None, 1, 30])
def test_a_pod_is_told_to_end_when_it_can_listen(grace: int | None) -> None:
    """And not within what it is given to end: Kubernetes refuses to wait for longer than that."""
    component = {} if grace is None else {"terminationGracePeriodSeconds": grace}
    keys = ("apiServer", "scheduler", "dagProcessor", "triggerer")
    objects = render({"components": dict.fromkeys(keys, component)})
    for name in COMPONENTS:
        spec = pod(objects, name)["spec"]
        wait = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert wait == min(grace or 60, 5 if name == "api-server" else 2)
        assert spec["terminationGracePeriodSeconds"] >= wait


@each
def test_pods_satisfy_the_restricted_standard(values: Json) -> None:
    for component, template in pods(render(values)):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "initContainers" not in spec
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= container["resources"].keys()
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        assert all(volume.keys() - {"name"} <= allowed for volume in spec["volumes"]), component
        mounts = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        assert "/tmp" in mounts  # noqa: S108
        assert spec["enableServiceLinks"] is False


@each
def test_every_reference_is_rendered(values: Json) -> None:
    objects = render(values)
    names = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for _, template in pods(objects):
        assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in names
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
        for container in template["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()


@each
def test_phases_depend_on_earlier_ones_only(values: Json) -> None:
    order = ["database", "schema", "workloads"]
    objects = render(values)
    phase = {
        (item["kind"], item["metadata"]["name"]): order.index(item["metadata"]["labels"]["airfield.dev/phase"])
        for item in objects
    }
    for item in objects:
        if item["kind"] not in {"Deployment", "StatefulSet", "Job"}:
            continue
        own = phase[item["kind"], item["metadata"]["name"]]
        spec = item["spec"]["template"]["spec"]
        needs = [("ServiceAccount", spec["serviceAccountName"])]
        needs += [("ConfigMap", volume["configMap"]["name"]) for volume in spec["volumes"] if "configMap" in volume]
        assert all(phase[need] <= own for need in needs)
    assert all(index == 0 for (kind, _), index in phase.items() if kind == "NetworkPolicy")


@pytest.mark.parametrize("values", MATRIX[:9], ids=lambda values: json.dumps(values)[:60])
def test_task_pods_see_no_secret_but_the_bundles(values: Json) -> None:
    worker = pod(render(values), "worker")
    private = {("git-login", "connection"), ("git-login", "known_hosts")} if PRIVATE in values["bundles"] else set()
    assert secrets_of(worker) == private
    assert worker["spec"]["automountServiceAccountToken"] is False


def test_each_component_sees_only_its_secrets() -> None:
    objects = render({"executor": "LocalExecutor", "bundles": [PRIVATE]})
    database, fernet, jwt = ("demo-database", "uri"), ("demo-fernet", "fernet-key"), ("demo-jwt", "*")
    bundle, hosts = ("git-login", "connection"), ("git-login", "known_hosts")
    assert {component: secrets_of(template) for component, template in pods(objects)} == {
        "api-server": {database, fernet, jwt, ("demo-api", "secret-key")},
        "scheduler": {database, fernet, jwt, bundle, hosts},
        "dag-processor": {database, fernet, bundle, hosts},
        "triggerer": {database, fernet},
        "migration": {database},
        "database": {("demo-database", key) for key in ("username", "database", "password")},
    }
    scheduler = pod(render({"bundles": [PRIVATE]}), "scheduler")
    assert bundle not in secrets_of(scheduler)  # with KubernetesExecutor the tasks fetch it


def test_git_connections_are_named_after_their_bundle() -> None:
    variable = environment(pod(render({"bundles": [PRIVATE]}), "dag-processor"))["AIRFLOW_CONN_GIT_TEAM_DAGS"]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "git-login", "key": "connection"}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_kubernetes_rights_are_least(executor: str) -> None:
    objects = render({"executor": executor})
    tokens = {component for component, template in pods(objects) if template["spec"]["automountServiceAccountToken"]}
    rights = {item["metadata"]["name"]: item["rules"] for item in objects if item["kind"] == "Role"}
    assert all(item["automountServiceAccountToken"] is False for item in objects if item["kind"] == "ServiceAccount")
    if executor == "LocalExecutor":
        assert (tokens, rights) == (set(), {})
        return
    assert tokens == {"api-server", "scheduler"}
    assert rights == {
        "demo-scheduler": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "get", "list", "patch", "watch"]}
        ],
        "demo-api-server": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        ],
    }


def test_disruption_budgets_never_block_a_single_replica() -> None:
    single = {"components": {"apiServer": {"replicas": 1}, "scheduler": {"replicas": 3}, "triggerer": {"replicas": 0}}}
    budgets = {
        item["metadata"]["name"]: item["spec"] for item in render(single) if item["kind"] == "PodDisruptionBudget"
    }
    assert budgets.keys() == {"demo-scheduler"}
    assert budgets["demo-scheduler"]["maxUnavailable"] == 1
    assert find(render(single), "Deployment", "demo-triggerer")["spec"]["replicas"] == 0


@pytest.mark.parametrize("executor", EXECUTORS)
def test_rolling_updates_keep_a_component_up(executor: str) -> None:
    objects = render({"executor": executor})
    for component in COMPONENTS:
        deployment = find(objects, "Deployment", f"demo-{component}")
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    grace = pod(objects, "scheduler")["spec"]["terminationGracePeriodSeconds"]
    assert grace == (3600 if executor == "LocalExecutor" else 120)
    for component in COMPONENTS:
        (container,) = pod(objects, component)["spec"]["containers"]
        assert container["livenessProbe"]["terminationGracePeriodSeconds"] == 20  # the dead do not drain


def test_users_labels_are_everywhere_and_never_replace_ours() -> None:
    objects = render(FULL)
    for metadata in [item["metadata"] for item in objects] + [template["metadata"] for _, template in pods(objects)]:
        assert metadata["labels"]["cost-centre"] == "4711"
        assert metadata["labels"]["airfield.dev/environment"] == "demo"


def test_every_pod_can_pull_from_a_private_registry() -> None:
    found = {component: template["spec"].get("imagePullSecrets") for component, template in pods(render(FULL))}
    assert found.keys() == {*COMPONENTS, "worker", "migration", "database"}
    assert {component for component, secrets in found.items() if secrets != [{"name": "registry"}]} == set()


def test_volumes_outlive_the_release() -> None:
    objects = render()
    claims = [item for item in objects if item["kind"] == "PersistentVolumeClaim"]
    assert {claim["metadata"]["name"] for claim in claims} == {"demo-logs", "demo-db"}
    assert all(claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for claim in claims)
    assert "volumeClaimTemplates" not in find(objects, "StatefulSet", "demo-db")["spec"]


def test_platform_chooses_the_ids_where_asked() -> None:
    ids = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    for _, template in pods(render({"securityContext": ids})):
        assert not ids.keys() & template["spec"]["securityContext"].keys()
    context = pod(render(), "scheduler")["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (50000, 0, 0)


IMPURE = re.compile(
    r"lookup|getHostByName|env|expandenv|now|date\w*|ago|htmlDate\w*|toDate|unixEpoch|uuidv4|rand\w+|shuffle"
    r"|gen(CA|PrivateKey|SelfSignedCert|SignedCert)\w*|buildCustomCert|derivePassword|htpasswd|bcrypt|encryptAES"
)
"""Functions whose result depends on the cluster, the machine, the clock or chance."""


def functions(template: str) -> set[str]:
    """The words in a template's actions, but for fields, variables, strings and comments."""
    actions = re.findall(r"\{\{-?\s*(?!/\*)(.*?)\}\}", template, flags=re.DOTALL)
    return {word for action in actions for word in re.findall(r"(?<![\w.$])[A-Za-z]\w*", _without_strings(action))}


def _without_strings(action: str) -> str:
    return re.sub(r'"(\\.|[^"\\])*"|`[^`]*`', '""', action)


def test_templates_are_pure_functions_of_the_values() -> None:
    assert functions('{{/* now */}}{{- with .env }}{{ "now" | quote }}{{ $now := randAlpha 3 }}') == {
        "with",
        "quote",
        "randAlpha",
    }
    sources = {path.name: functions(path.read_text()) for path in sorted((CHART / "templates").iterdir())}
    assert {"define", "include", "range"} <= set().union(*sources.values())
    assert {name: {word for word in words if IMPURE.fullmatch(word)} for name, words in sources.items()} == {
        name: set() for name in sources
    }


def test_rendering_is_deterministic() -> None:
    for values in CASES[::5]:
        first = render_text(values)
        render_text.__globals__["_helm"].cache_clear()
        assert render_text(values) == first


def test_longest_name_is_valid_everywhere() -> None:
    name = "e" * 40
    objects = render({**FULL, "migration": {"revision": "r" * 12}}, name=name)
    assert any(item["kind"] == "PodDisruptionBudget" for item in objects)
    for item in objects:
        assert NAME.fullmatch(item["metadata"]["name"]), item["metadata"]["name"]
    for metadata in [item["metadata"] for item in objects] + [template["metadata"] for _, template in pods(objects)]:
        assert all(len(value) <= 63 for value in metadata["labels"].values())


@pytest.mark.parametrize("name", ["123", "1e3", "true", "null", "0x1f"])
def test_names_that_look_like_other_types_stay_strings(name: str) -> None:
    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for child in value.values() for leaf in leaves(child)]
        return [leaf for child in value for leaf in leaves(child)] if isinstance(value, list) else [value]

    for item in render({"labels": {"a": name, name: "b"}}, name=name, namespace=name):
        assert item["metadata"]["namespace"] == name
        assert item["metadata"]["labels"]["airfield.dev/environment"] == name
        assert item["metadata"]["labels"][name] == "b"
        assert None not in leaves(item)
