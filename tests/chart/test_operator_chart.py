"""The operator's own chart: what it renders from its values, and which values it refuses."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from airfield.helm.manifests import documents
from airfield.settings import Settings
from chartdocs.table import UndocumentedValueError, filled, table
from demo.platform import OPERATOR_CHART, REPOSITORY, SYSTEM
from localcluster import tool
from operator_account import render

Json = dict[str, Any]


def find(manifests: list[Json], kind: str, name: str = "airfield", namespace: str | None = None) -> Json:
    found = [
        each
        for each in manifests
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
        and namespace in {None, each["metadata"].get("namespace")}
    ]
    assert len(found) == 1, (kind, name, found)
    return found[0]


def container(manifests: list[Json]) -> Json:
    found: Json = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return found


def test_the_deployment_is_highly_available() -> None:
    manifests = render()
    spec = find(manifests, "Deployment")["spec"]
    pod, selector = spec["template"]["spec"], spec["selector"]["matchLabels"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (2, "RollingUpdate")
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    budget = find(manifests, "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]["matchLabels"]) == (1, selector)
    (preferred,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["podAffinityTerm"]["labelSelector"]["matchLabels"] == selector
    assert preferred["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    (spread,) = pod["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "ScheduleAnyway")
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()
    assert "priorityClassName" not in pod  # what there is in a cluster, its owner knows
    chosen = find(render("priorityClassName=platform"), "Deployment")["spec"]["template"]["spec"]
    assert chosen["priorityClassName"] == "platform"


def test_the_pod_is_harmless() -> None:
    pod = find(render(), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (main,) = pod["containers"]
    security = main["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert {"requests", "limits"} <= main["resources"].keys()


def test_probes_ask_for_progress_and_for_caches() -> None:
    main = container(render())
    assert main["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert main["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_operator_understands_its_settings() -> None:
    lists = "watchNamespaces={team-a,team-b}", "imagePullSecrets={registry,other}"
    main = container(render(*lists, "leaseSeconds=20", "workers=3", "logLevel=DEBUG"))
    environ = {each["name"]: each.get("value", "of-the-pod") for each in main["env"]}
    found = Settings.from_environ(environ)
    assert (found.namespace, found.identity) == ("of-the-pod", "of-the-pod")
    assert (found.watch_namespaces, found.lease_seconds) == (("team-a", "team-b"), 20)
    assert found.image_pull_secrets == ("registry", "other")
    assert (found.workers, found.log_level) == (3, "DEBUG")
    fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in main["env"] if "valueFrom" in each}
    assert fields == {"AIRFIELD_NAMESPACE": "metadata.namespace", "AIRFIELD_IDENTITY": "metadata.name"}


def test_crds_are_those_of_the_repository() -> None:
    files = sorted((REPOSITORY / "crds").iterdir())
    generated = [found for file in files for found in documents(file.read_text(encoding="utf-8"))]
    for settings, keep in ((), True), (("crds.keep=false",), False):
        rendered = [each for each in render(*settings) if each["kind"] == "CustomResourceDefinition"]
        assert [each["metadata"].get("annotations") == {"helm.sh/resource-policy": "keep"} for each in rendered] == [
            keep
        ] * 3
        assert [(each["metadata"]["name"], each["spec"]) for each in rendered] == [
            (each["metadata"]["name"], each["spec"]) for each in generated
        ]
    assert not [each for each in render("crds.enabled=false") if each["kind"] == "CustomResourceDefinition"]


def test_the_chart_that_is_packaged_has_the_crds(tmp_path: Any) -> None:
    subprocess.run(
        [str(tool("helm")), "package", str(OPERATOR_CHART), "-d", str(tmp_path)], check=True, capture_output=True
    )
    (package,) = tmp_path.iterdir()
    assert render(chart=package) == render()


def test_rights_in_chosen_namespaces_only() -> None:
    manifests = render("watchNamespaces={team-a,team-b}")
    everywhere = find(manifests, "ClusterRole")["rules"]
    groups = {(group, resource) for rule in everywhere for group in rule["apiGroups"] for resource in rule["resources"]}
    assert groups == {
        ("airfield.dev", "airflowtenants"),
        ("airfield.dev", "airflowtenants/status"),
        ("airfield.dev", "airflowenvironmentclasses"),
        ("airfield.dev", "airflowenvironmentclasses/status"),
        ("", "namespaces"),
    }
    for namespace in ("team-a", "team-b"):
        role = find(manifests, "Role", "airfield-environments", namespace)
        assert [rule for rule in find(render(), "ClusterRole")["rules"] if rule in role["rules"]] == role["rules"]
        binding = find(manifests, "RoleBinding", "airfield-environments", namespace)
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "airfield", "namespace": SYSTEM}]
    assert not [each for each in render() if each["metadata"]["name"] == "airfield-environments"]


@pytest.mark.parametrize("policy", ["airfield-pods", "airfield-secrets"])
def test_policies_are_for_the_namespaces_that_are_looked_after(policy: str) -> None:
    def where(*settings: str) -> Json:
        found = find(render(*settings), "ValidatingAdmissionPolicy", policy)["spec"]["matchConstraints"]
        (expression,) = found["namespaceSelector"]["matchExpressions"]
        return dict(expression)

    assert where() == {"key": "airfield.dev/tenant", "operator": "Exists"}
    chosen = where("watchNamespaces={team-a,team-b}")
    assert chosen == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}


@pytest.mark.parametrize("settings", [(), ("watchNamespaces={team-a}",)])
def test_no_rule_is_a_wildcard(settings: tuple[str, ...]) -> None:
    for role in render(*settings):
        for rule in role.get("rules", []) if role["kind"] in {"ClusterRole", "Role"} else []:
            assert "*" not in json.dumps(rule)
            assert not {"escalate", "impersonate"} & set(rule["verbs"])
            if "bind" in rule["verbs"]:
                assert rule["resources"] == ["clusterroles"]
                assert rule["resourceNames"] == [f"airfield-{each}" for each in ("owner", "editor", "viewer")]


def test_traffic() -> None:
    policy = find(render("networkPolicy.databaseCidrs={10.1.0.0/16}"), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in policy["ingress"]] == [["metrics"]]
    reached = [[port["port"] for port in rule["ports"]] for rule in policy["egress"]]
    assert reached == [[53, 53], [443, 6443], [5432], [5432], [8080]]
    assert policy["egress"][2]["to"] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}]
    assert not [each for each in render("networkPolicy.enabled=false") if each["kind"] == "NetworkPolicy"]


def test_kubelets_are_asked_only_where_somebody_wants_it() -> None:
    """And as somebody who can do nothing else."""
    assert not [each for each in render() if each["metadata"]["name"] == "airfield-statistics"]
    assert "nodes" not in json.dumps(find(render(), "ClusterRole")["rules"])
    manifests = render("volumeStatistics.enabled=true")
    assert find(manifests, "ClusterRole", "airfield-statistics")["rules"] == [
        {"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]}
    ]
    subjects = [{"kind": "ServiceAccount", "name": "airfield-statistics", "namespace": SYSTEM}]
    assert find(manifests, "ClusterRoleBinding", "airfield-statistics")["subjects"] == subjects
    before, after = (find(each, "ClusterRole")["rules"] for each in (render(), manifests))
    assert [rule for rule in after if rule not in before] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
    ]
    before, after = (find(each, "Role")["rules"] for each in (render(), manifests))
    token = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["airfield-statistics"]}
    assert [rule for rule in after if rule not in before] == [{**token, "verbs": ["create"]}]
    egress = find(manifests, "NetworkPolicy")["spec"]["egress"]
    assert {"ports": [{"protocol": "TCP", "port": 10250}]} in egress


@pytest.mark.parametrize(("insecure", "verified"), [("true", False), ("false", True)])
def test_how_kubelets_are_asked(insecure: str, verified: bool) -> None:
    manifests = render("volumeStatistics.enabled=true", f"volumeStatistics.insecureSkipTLSVerify={insecure}")
    settings = Settings.from_environ({each["name"]: str(each.get("value")) for each in container(manifests)["env"]})
    assert (settings.statistics_account, settings.kubelets_verified) == ("airfield-statistics", verified)
    assert Settings.from_environ({}).statistics_account == ""


def test_account_and_monitor() -> None:
    manifests = render("serviceAccount.create=false", "serviceAccount.name=own", "metrics.serviceMonitor.enabled=true")
    assert not [each for each in manifests if each["kind"] == "ServiceAccount"]
    assert find(manifests, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "own"
    for binding in ("ClusterRoleBinding", "RoleBinding"):
        assert find(manifests, binding)["subjects"][0]["name"] == "own"
    service = find(manifests, "Service", "airfield-metrics")
    monitor = find(manifests, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert not [each for each in render() if each["kind"] == "ServiceMonitor"]


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("colour=red", "colour"),
        ("crds.enable=false", "enable"),
        ("metrics.serviceMonitor.on=true", "on"),
        ("networkPolicy.cidrs={}", "cidrs"),
        ("replicas=0", "replicas"),
        ("leaseSeconds=1", "leaseSeconds"),
        ("watchNamespaces={Team}", "watchNamespaces"),
        ("image=", "image"),
        ("logLevel=LOUD", "logLevel"),
    ],
)
def test_what_it_refuses(setting: str, word: str) -> None:
    with pytest.raises(AssertionError, match=word):
        render(setting)


OTHERS_VALUES = {"global", "resources.claims"}
"""What users may set though values.yaml does not name it."""


def undescribed(values: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Where values.yaml and an object of the schema, which must be closed, do not name the same."""
    assert schema["additionalProperties"] is False, prefix
    described = schema["properties"]
    for name in values.keys() ^ described.keys():
        if f"{prefix}{name}" not in OTHERS_VALUES:
            yield f"{prefix}{name}"
    for name in values.keys() & described.keys():
        if "properties" in described[name]:
            yield from undescribed(values[name], described[name], f"{prefix}{name}.")


def test_every_value_is_in_the_schema_and_the_readme() -> None:
    values = yaml.safe_load((OPERATOR_CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((OPERATOR_CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert list(undescribed(values, schema)) == []
    readme = (OPERATOR_CHART / "README.md").read_text(encoding="utf-8")
    assert filled(readme, (OPERATOR_CHART / "values.yaml").read_text(encoding="utf-8")) == readme


def test_the_table_of_values() -> None:
    text = "# What is\n# said.\na: 1\nb:\n  # A | pipe.\n  c: {d: [x]}\n# All of it.\ne:\n  f: 1\n"
    assert table(text).splitlines()[2:] == [
        "| `a` | `1` | What is said. |",
        '| `b.c` | `{"d": ["x"]}` | A \\| pipe. |',
        '| `e` | `{"f": 1}` | All of it. |',
    ]
    with pytest.raises(UndocumentedValueError, match="b"):
        table("# Said.\na: 1\nb: 2\n")
