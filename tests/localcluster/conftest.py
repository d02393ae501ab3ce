from clusters import control_plane
from localcluster.cluster import current_kubeconfig

__all__ = ["control_plane"]

# These tests are about clusters of our own.
collect_ignore_glob = ["test_*"] if current_kubeconfig() else []
