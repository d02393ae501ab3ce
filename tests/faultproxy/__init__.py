"""A proxy between the operator and the API server that makes chosen requests go wrong."""

from faultproxy.proxy import FaultProxy, Seen
from faultproxy.rules import Answer, Call, Cut, Drop, End, Hold, Late, Request, Rule, Script, Stale

__all__ = [
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
    "Script",
    "Seen",
    "Stale",
]
