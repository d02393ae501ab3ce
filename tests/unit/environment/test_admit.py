"""Admission: what a chart may render, how it is stamped, and in which order it is applied."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.environment.admit import ALLOWED_KINDS, DATA_KINDS, NotAdmitted, admit
from builders import Json

OWNER = {"name": "demo", "namespace": "team-a", "uid": "uid-1"}
LABELS = {"airfield.dev/tenant": "team", "cost-centre": "4711"}
HOST = "demo.example.com"
RBAC = "rbac.authorization.k8s.io/v1"


def manifest(kind: str = "ConfigMap", name: str = "a", /, api_version: str = "v1", **fields: Any) -> Json:
    metadata = {"name": name, **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def phased(kind: str, name: str, phase: str | None, api_version: str = "v1") -> Json:
    labels = {} if phase is None else {"labels": {"airfield.dev/phase": phase}}
    return manifest(kind, name, api_version=api_version, metadata=labels)


def binding(role_kind: str = "Role", *subjects: Json) -> Json:
    return manifest("RoleBinding", api_version=RBAC, roleRef={"kind": role_kind, "name": "x"}, subjects=list(subjects))


def admitted(*objects: Json, host: str = "") -> list[Json]:
    return admit(objects, owner=OWNER, labels=LABELS, host=host)


def ingress(**spec: Any) -> Json:
    return manifest("Ingress", api_version="networking.k8s.io/v1", spec=spec)


def route(*hosts: str) -> Json:
    return manifest("HTTPRoute", api_version="gateway.networking.k8s.io/v1", spec={"hostnames": list(hosts)})


def certificate(**spec: Any) -> Json:
    return manifest("Certificate", api_version="cert-manager.io/v1", spec=spec)


OWN = (
    ingress(rules=[{"host": HOST}], tls=[{"hosts": [HOST]}]),
    route(HOST),
    certificate(dnsNames=[HOST]),
    certificate(dnsNames=[HOST], commonName=HOST),
)
FOREIGN = (
    (ingress(rules=[{"host": HOST}, {"host": "other.example.com"}]), "'other.example.com'"),
    (ingress(rules=[{"http": {}}]), "any host name"),
    (ingress(defaultBackend={}), "any host name"),
    (ingress(rules=[{"host": HOST}], tls=[{"hosts": ["*.example.com"]}]), "'*.example.com'"),
    (route(HOST, "other.example.com"), "'other.example.com'"),
    (route(), "any host name"),
    (certificate(dnsNames=[HOST, "other.example.com"]), "'other.example.com'"),
    (certificate(dnsNames=[HOST], commonName="other.example.com"), "'other.example.com'"),
)


@pytest.mark.parametrize("own", OWN)
def test_routes_are_for_the_own_host_name(own: Json) -> None:
    assert len(admitted(own, host=HOST)) == 1
    with pytest.raises(NotAdmitted, match=r"for 'demo.example.com': this environment has none"):
        admitted(own)


@pytest.mark.parametrize(("foreign", "words"), FOREIGN)
def test_routes_are_for_no_other_host_name(foreign: Json, words: str) -> None:
    with pytest.raises(NotAdmitted) as error:
        admitted(foreign, host=HOST)
    assert f"for {words}: only '{HOST}' is allowed" in str(error.value)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (manifest("Secret"), "Secret 'a': objects of this kind"),
        (manifest("Pod"), "Pod 'a'"),
        (manifest("Namespace"), "Namespace 'a'"),
        (manifest("ClusterRole", api_version=RBAC), "ClusterRole 'a'"),
        (manifest("ClusterRoleBinding", api_version=RBAC), "ClusterRoleBinding 'a'"),
        (manifest("AirflowTenant", api_version="airfield.dev/v1alpha1"), "AirflowTenant"),
        (manifest("Gateway", api_version="gateway.networking.k8s.io/v1"), "Gateway"),
        (manifest("Ingress", api_version="extensions/v1beta1"), "Ingress"),
        (manifest("MutatingWebhookConfiguration", api_version="admissionregistration.k8s.io/v1"), "Mutating"),
        # The kind alone is not enough: another group's ConfigMap or Deployment is something else.
        (manifest("Deployment"), "Deployment 'a'"),
        (manifest("ConfigMap", api_version="evil.example.com/v1"), "ConfigMap 'a'"),
        (manifest("Role", api_version="rbac.authorization.k8s.io/v1beta1"), "Role 'a'"),
        (manifest(metadata={"namespace": "team-b"}), "in namespace 'team-b': only 'team-a'"),
        (manifest(metadata={"namespace": ""}), "in namespace ''"),
        (manifest(metadata={"namespace": None}), "in namespace None"),
        (phased("ConfigMap", "a", "later"), "airfield.dev/phase='later': known are database, schema, workloads"),
        (binding("ClusterRole"), "RoleBinding 'a' to a ClusterRole"),
        (manifest("RoleBinding", api_version=RBAC), "RoleBinding 'a' to a ClusterRole"),
        (binding("Role", {"kind": "User", "name": "eve"}), "for User 'eve'"),
        (binding("Role", {"kind": "Group", "name": "system:authenticated"}), "for Group"),
        (
            binding(
                "Role",
                {"kind": "ServiceAccount", "name": "a"},
                {"kind": "ServiceAccount", "name": "b", "namespace": "c"},
            ),
            "for ServiceAccount 'b': only ServiceAccounts of 'team-a'",
        ),
    ],
)
def test_refused(refused: Json, words: str) -> None:
    with pytest.raises(NotAdmitted) as error:
        admitted(manifest("Service"), refused)
    assert "the chart renders" in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(("api_version", "kind"), sorted(ALLOWED_KINDS))
def test_stamped(api_version: str, kind: str) -> None:
    spoofed = {
        "namespace": "team-a",
        "labels": {
            "airfield.dev/tenant": "victim",
            "airfield.dev/environment": "other",
            "airfield.dev/phase": "schema",
            "app.kubernetes.io/managed-by": "Helm",
            "cost-centre": "0",
            "app.kubernetes.io/component": "scheduler",
        },
        "annotations": {"a": "b"},
        "ownerReferences": [{"kind": "AirflowEnvironment", "name": "other", "uid": "uid-2"}],
        "finalizers": ["a.example.com/b"],
    }
    spec = {"x": 1, "hostnames": [HOST]}
    given_object = manifest(kind, api_version=api_version, metadata=spoofed, roleRef={"kind": "Role"}, spec=spec)
    (found,) = admitted(given_object, host=HOST)
    metadata = found["metadata"]
    assert metadata["namespace"] == "team-a"
    assert metadata["labels"] == {
        "airfield.dev/tenant": "team",
        "airfield.dev/environment": "demo",
        "airfield.dev/phase": "schema",
        "app.kubernetes.io/managed-by": "airfield",
        "app.kubernetes.io/component": "scheduler",
        "cost-centre": "4711",
    }
    assert metadata["annotations"] == {"a": "b"}
    owner = {
        "apiVersion": "airfield.dev/v1alpha1",
        "kind": "AirflowEnvironment",
        "name": "demo",
        "uid": "uid-1",
        "controller": True,
        "blockOwnerDeletion": False,
    }
    assert metadata.get("ownerReferences") == (None if kind in DATA_KINDS else [owner])
    assert found["spec"] == spec
    assert (
        given_object["metadata"] is spoofed | {"name": "a"} or given_object["metadata"]["labels"]["cost-centre"] == "0"
    )


def test_accepted_bindings_and_namespaces() -> None:
    account = {"kind": "ServiceAccount", "name": "a"}
    assert len(admitted(binding("Role", account, {**account, "namespace": "team-a"}))) == 1
    assert admitted(manifest())[0]["metadata"]["namespace"] == "team-a"
    assert admitted() == []


IN_ORDER = [
    phased("PersistentVolumeClaim", "demo-db", "database"),
    phased("Service", "demo-db", "database"),
    phased("StatefulSet", "demo-db", "database", "apps/v1"),
    phased("ConfigMap", "demo-config", "schema"),
    phased("ServiceAccount", "demo-migrate", "schema"),
    phased("Job", "demo-migrate", "schema", "batch/v1"),
    phased("ConfigMap", "demo-scripts", "workloads"),
    phased("Service", "demo-api-server", None),
    phased("Deployment", "demo-api-server", "workloads", "apps/v1"),
    phased("Deployment", "demo-scheduler", None, "apps/v1"),
    phased("StatefulSet", "demo-triggerer", "workloads", "apps/v1"),
]


@given(st.permutations(IN_ORDER))
def test_phase_by_phase_and_what_pods_need_before_the_pods(objects: list[Json]) -> None:
    found = [(m["kind"], m["metadata"]["name"]) for m in admitted(*objects)]
    assert found == [(m["kind"], m["metadata"]["name"]) for m in IN_ORDER]


def test_no_pods_before_what_they_need() -> None:
    runners = {"Deployment", "StatefulSet", "Job"}
    for phase, group in itertools.groupby(admitted(*IN_ORDER), lambda m: m["metadata"]["labels"]["airfield.dev/phase"]):
        late = [m["kind"] in runners for m in group]
        assert late == sorted(late), phase
