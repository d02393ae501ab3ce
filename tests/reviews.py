"""What somebody may do, as the API server says when it is asked (SubjectAccessReview)."""

from collections.abc import Sequence
from typing import Any

import yaml

from clusters import kubectl
from localcluster import Cluster

Json = dict[str, Any]
Row = tuple[str, str, str]
"""Verb, resource (`pods`, `pods/exec`, `deployments.apps`, `secrets/name`) and namespace."""

SUBRESOURCES = ("token", "exec", "attach", "portforward", "ephemeralcontainers", "proxy", "log", "status", "finalizers")
GROUPS = dict.fromkeys(("roles", "rolebindings", "clusterroles", "clusterrolebindings"), "rbac.authorization.k8s.io")


def allowed(cluster: Cluster, table: Sequence[Row], user: str, groups: Sequence[str] = ()) -> list[Row]:
    """Those rows that the API server says the user may do."""
    text = yaml.safe_dump_all(_review(*row, user, groups) for row in table)
    answers = kubectl(cluster, "create", "-f-", '-o=jsonpath={.status.allowed}{"\\n"}', text=text).splitlines()
    return [row for row, answer in zip(table, answers, strict=True) if answer == "true"]


def _review(verb: str, what: str, namespace: str, user: str, groups: Sequence[str]) -> Json:
    resource, _, rest = what.partition("/")
    plain, _, group = resource.partition(".")
    subresource = rest if rest in SUBRESOURCES else ""
    attributes = {"verb": verb, "resource": plain, "group": group or GROUPS.get(plain, ""), "namespace": namespace}
    attributes |= {"subresource": subresource, "name": "" if subresource else rest}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    whose = {"user": user, "groups": [*(groups or ["system:serviceaccounts"])]}
    return {**review, "spec": {**whose, "resourceAttributes": attributes}}
