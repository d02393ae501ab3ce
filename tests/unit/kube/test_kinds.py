from __future__ import annotations

import pytest

from airfield.kube import kinds
from airfield.kube.kinds import Kind, Ref, UnknownKind, kind_of


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "path"),
    [
        (kinds.POD, "", "", "/api/v1/pods"),
        (kinds.POD, "team-a", "", "/api/v1/namespaces/team-a/pods"),
        (kinds.POD, "team-a", "x", "/api/v1/namespaces/team-a/pods/x"),
        (kinds.NAMESPACE, "", "team-a", "/api/v1/namespaces/team-a"),
        (kinds.DEPLOYMENT, "a", "b", "/apis/apps/v1/namespaces/a/deployments/b"),
        (kinds.NETWORK_POLICY, "a", "", "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies"),
        (kinds.AIRFLOW_TENANT, "", "t", "/apis/airfield.dev/v1alpha1/airflowtenants/t"),
    ],
)
def test_path(kind: Kind, namespace: str, name: str, path: str) -> None:
    assert kind.path(namespace, name) == path


def test_every_kind_is_registered_under_its_own_name() -> None:
    assert len(kinds.KINDS) == 26
    for (api_version, name), kind in kinds.KINDS.items():
        assert kind_of({"apiVersion": api_version, "kind": name}) is kind


@pytest.mark.parametrize(
    "manifest", [{"apiVersion": "v1", "kind": "Binding"}, {"kind": "Pod"}, {"apiVersion": ["v1"]}, {}]
)
def test_an_unknown_kind_is_named(manifest: dict[str, object]) -> None:
    with pytest.raises(UnknownKind, match=r"kind .* of apiVersion .* is not one that Airfield handles") as caught:
        kind_of(manifest)
    assert repr(manifest.get("kind")) in str(caught.value)


def test_ref() -> None:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo", "namespace": "team-a"}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a", "namespace": None}}
    assert Ref.of(deployment) == Ref("apps/v1", "Deployment", "team-a", "demo")
    assert [str(Ref.of(o)) for o in (deployment, namespace)] == ["Deployment team-a/demo", "Namespace team-a"]
    assert Ref.of(deployment) < Ref.of(namespace)
