"""A real Kubernetes cluster on this machine, built from source: see docs/local-cluster.md.

`Cluster` is the whole interface; `tool` gives the path of a binary that the cluster is built from (helm, kubectl).
"""

from localcluster.binaries import tool
from localcluster.cluster import Cluster, Status
from localcluster.instance import Options
from localcluster.workspace import LocalClusterError

__all__ = ["Cluster", "LocalClusterError", "Options", "Status", "tool"]
