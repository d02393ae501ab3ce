"""Bindings to roles, and which Secrets may be read."""

from typing import Any

from airfield.tenant.access import access, belonging, secrets_of
from builders import tenant

Json = dict[str, Any]
JO, KIM = {"kind": "User", "name": "jo"}, {"kind": "Group", "name": "kim's"}
BOT = {"kind": "ServiceAccount", "name": "ci", "namespace": "builds"}
GIT = {"name": "dags", "git": {"url": "https://git.example.com/x", "ref": "main", "credentialsSecret": {"name": "git"}}}
SPEC: Json = {
    "dags": {"bundles": [GIT, {"name": "baked", "image": {"path": "/opt/airflow/dags"}}]},
    "env": [{"name": "A", "value": "x"}, {"name": "B", "secretKeyRef": {"name": "variables", "key": "b"}}],
    "image": {"pullSecrets": [{"name": "pull"}]},
    "identity": {"clientSecretRef": {"name": "oidc", "key": "secret"}},
    "exposure": {"host": "a.example.com", "secretName": "own-tls"},
    "database": {"external": {"secret": {"name": "database"}}},
}


def by_name(manifests: list[Json]) -> dict[tuple[str, str], Json]:
    found = {(each["kind"], each["metadata"]["name"]): each for each in manifests}
    assert len(found) == len(manifests)
    return found


def test_nobody_is_bound_where_nobody_is_named() -> None:
    assert access(tenant(), {"demo": SPEC}) == []


def test_who_is_bound_to_what() -> None:
    team = tenant("a", owners=[JO], editors=[KIM, BOT, KIM], viewers=[BOT], labels={"cost-centre": "4711"})
    found = by_name(access(team, {}))
    assert set(found) == {("RoleBinding", f"airfield-{role}") for role in ("owner", "editor", "viewer")}
    editors = found["RoleBinding", "airfield-editor"]
    api = "rbac.authorization.k8s.io"
    assert editors["roleRef"] == {"apiGroup": api, "kind": "ClusterRole", "name": "airfield-editor"}
    assert editors["subjects"] == [{"apiGroup": api, **KIM}, BOT]
    labels = {"cost-centre": "4711", "airfield.dev/tenant": "a", "app.kubernetes.io/managed-by": "airfield"}
    placed = belonging(team, "team-a", editors)
    assert placed == {**editors, "metadata": {"name": "airfield-editor", "namespace": "team-a", "labels": labels}}


def test_which_secrets_may_be_read_and_by_whom() -> None:
    team = tenant("a", owners=[JO], editors=[KIM], viewers=[BOT])
    tricky: Json = {"env": [{"name": "X", "secretKeyRef": {"name": "demo-fernet", "key": "fernet-key"}}]}
    tricky["image"] = {"pullSecrets": [{"name": "orphaned-database"}]}
    manifests = access(team, {"demo": SPEC, "other": tricky}, {"orphaned-database"})
    assert [each["kind"] for each in manifests] == ["Role"] * 2 + ["RoleBinding"] * 5, "Roles first"
    found = by_name(manifests)
    (rule,) = found["Role", "airfield-secrets"]["rules"]
    assert rule == {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["database", "git", "oidc", "own-tls", "pull", "variables"],
        "verbs": ["get"],
    }
    (rule,) = found["Role", "airfield-logins"]["rules"]
    assert rule["resourceNames"] == ["demo-admin", "other-admin"]
    whose = {
        name: [s["name"] for s in found["RoleBinding", f"airfield-{name}"]["subjects"]]
        for name in ("secrets", "logins")
    }
    assert whose == {"secrets": ["jo", "kim's"], "logins": ["jo"]}


def test_a_specification_that_names_no_secret() -> None:
    assert list(secrets_of({})) == []
    assert list(secrets_of({"dags": None, "env": [], "image": {}, "database": {"embedded": {}}})) == []
