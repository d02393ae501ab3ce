"""Kopf without Kubernetes' own client, which it imports for handlers of its objects: 10 MB, a sixth of our start."""

import sys

former = sys.modules.get("kubernetes")
sys.modules["kubernetes"] = None  # type: ignore[assignment]
try:
    import kopf
finally:
    del sys.modules["kubernetes"]
    if former:
        sys.modules["kubernetes"] = former

__all__ = ["kopf"]
