"""A proxy between the operator and the API server that makes chosen requests go wrong."""

from faultproxy.proxy import FaultProxy, Seen
from faultproxy.rules import METRICS, Answer, Call, Cut, Drop, End, Hold, Late, Request, Rule, Say, Script, Stale

__all__ = [
    "METRICS",
    "Answer",
    "Call",
    "Cut",
    "Drop",
    "End",
    "FaultProxy",
    "Hold",
    "Late",
    "Request",
    "Rule",
    "Say",
    "Script",
    "Seen",
    "Stale",
]
