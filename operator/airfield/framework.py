"""Kopf without Kubernetes' own client, which it imports for handlers of its objects: 10 MB, a sixth of our start."""

import sys

sys.modules["kubernetes"] = None  # type: ignore[assignment]
try:
    import kopf
finally:
    del sys.modules["kubernetes"]

__all__ = ["kopf"]
