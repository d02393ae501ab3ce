"""What somebody may do, as the API server says to whoever asks as that person (impersonation)."""

from collections.abc import Sequence
from typing import Any

import yaml

from clusters import kubectl
from localcluster import Cluster

Json = dict[str, Any]
Row = tuple[str, str, str]
"""Verb, resource (`pods`, `pods/exec`, `pods/name/exec`, `deployments.apps`, `secrets/name`) and namespace."""

SUBRESOURCES = (
    "token",
    "exec",
    "attach",
    "portforward",
    "ephemeralcontainers",
    "proxy",
    "stats",
    "log",
    "status",
    "finalizers",
)
GROUPS = dict.fromkeys(("roles", "rolebindings", "clusterroles", "clusterrolebindings"), "rbac.authorization.k8s.io")


def allowed(cluster: Cluster, table: Sequence[Row], user: str, groups: Sequence[str] = ()) -> list[Row]:
    """Those rows that the API server says the user may do, who has the groups of everybody as well."""
    text = yaml.safe_dump_all(_review(*row) for row in table)
    who = (f"--as={user}", *(f"--as-group={group}" for group in groups))
    answers = kubectl(
        cluster, *who, "create", "--validate=false", "-f-", '-o=jsonpath={.status.allowed}{"\\n"}', text=text
    ).splitlines()
    return [row for row, answer in zip(table, answers, strict=True) if answer == "true"]


def _review(verb: str, what: str, namespace: str) -> Json:
    resource, *rest = what.split("/")
    plain, _, group = resource.partition(".")
    subresource = rest.pop() if rest and rest[-1] in SUBRESOURCES else ""
    attributes = {"verb": verb, "resource": plain, "group": group or GROUPS.get(plain, ""), "namespace": namespace}
    attributes |= {"subresource": subresource, "name": "".join(rest)}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    return {**review, "spec": {"resourceAttributes": attributes}}
