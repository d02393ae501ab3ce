"""A real API server takes every object of every kind of environment, under the restricted Pod Security Standard."""

import subprocess
import uuid

import pytest
import yaml

from chart.rendered import MATRIX, Json, pods, render
from chart.test_schema import EVERYTHING
from clusters import control_plane, kubectl
from localcluster import Cluster, tool
from operated_cluster import define

__all__ = ["control_plane"]
pytestmark = pytest.mark.apiserver


def test_everything_is_valid_and_restricted(control_plane: Cluster) -> None:
    define(control_plane)
    namespace = f"chart-{uuid.uuid4().hex[:8]}"
    kubectl(control_plane, "create", "namespace", namespace)
    levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    kubectl(control_plane, "label", "namespace", namespace, *levels)
    documents: list[Json] = []
    for index, values in enumerate([*MATRIX[::4], EVERYTHING]):
        objects = render(values, name=f"e{index}", namespace=namespace)
        documents += objects
        for component, template in pods(objects):
            if component == "worker":
                template["metadata"] |= {"name": f"task-{index}", "namespace": namespace}
                template["spec"]["containers"][0]["args"] = ["python"]
                for key in ("priorityClassName", "serviceAccountName"):  # admission looks these up
                    template["spec"].pop(key, None)
                documents.append(template)
    applied = subprocess.run(
        [str(tool("kubectl")), f"--kubeconfig={control_plane.kubeconfig}", "apply", "--server-side", "--filename=-",
         "--dry-run=server", "--validate=strict"],
        input=yaml.safe_dump_all(documents), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert applied.stderr == ""
    assert len(applied.stdout.splitlines()) == len(documents)
