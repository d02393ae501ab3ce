"""What Argo CD and Flux make of a status."""

from pathlib import Path
from typing import Any, NamedTuple

from lupa import lua51

Json = dict[str, Any]

SCRIPT = Path(__file__).parents[2] / "integrations" / "argocd" / "health.lua"
FORBIDDEN = ("os", "io", "package", "require", "debug", "python", "dofile", "loadfile", "load", "loadstring")
"""The script gets along without whatever could reach the machine."""


class Health(NamedTuple):
    """As Argo CD shows it."""

    status: str
    message: str


def argocd(resource: Json, script: str | None = None) -> Health:
    """The health by our script, in an interpreter of the language that Argo CD has (5.1)."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    names = lua.globals()
    for name in FORBIDDEN:
        names[name] = None
    names.obj = lua.table_from(resource, recursive=True)
    found = lua.execute(script or SCRIPT.read_text())
    return Health(found.status, found.message)


def flux(resource: Json) -> str:
    """The rules for custom resources of kstatus, by which Flux and `kubectl wait`-like tools go."""
    status = resource.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    if resource["metadata"].get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != resource["metadata"]["generation"]:
        return "InProgress"
    if conditions.get("Reconciling", {}).get("status") == "True":
        return "InProgress"
    if conditions.get("Stalled", {}).get("status") == "True":
        return "Failed"
    ready = conditions.get("Ready", {}).get("status")
    return "Current" if ready in {None, "True"} else "InProgress"
