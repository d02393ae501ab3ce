"""docs/metrics.md, out of the registry of the operator's metrics."""
