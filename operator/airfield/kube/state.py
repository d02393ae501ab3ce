"""Whether a live object does its work, boiled down from its status by one pure function per kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airfield.kube.ownership import owned_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WAITING_PROBLEMS = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Reasons of a waiting container that do not pass by themselves."""


@dataclass(frozen=True, slots=True)
class ClaimSpec:
    """What a PersistentVolumeClaim asks for; "" and () where it leaves that to the cluster and has no answer yet.

    Attributes:
        named: it was us who named the storage class, and must go on doing so.
    """

    size: str
    storage_class: str
    access_modes: tuple[str, ...]
    named: bool = False


@dataclass(frozen=True, slots=True)
class ChildState:
    """The state of one object. Fields that its kind does not have keep their defaults.

    Attributes:
        ready: it does what it is there for; for a Job: it has completed.
        message: why it is not ready, for a person; "" when it is.
        problem: one word for something that will not pass by itself, as `ImagePullBackOff`; "" when there is nothing.
        desired: replicas wanted (Deployment, StatefulSet).
        updated: replicas of the current template.
        available: replicas that serve.
        ready_replicas: replicas that pass their readiness check.
        current: the controller has seen the present spec.
        served: the present template has once been rolled out in full (Deployment).
        complete: a Job's success.
        failed: a Job's failure, for good.
        phase: of a Pod or PersistentVolumeClaim.
        claim: what a PersistentVolumeClaim asks for.
        terminated: how a Pod's container last ended, when that was a failure.
        hosts: the host names that an Ingress or HTTPRoute leads from.
    """

    ready: bool
    message: str = ""
    problem: str = ""
    desired: int = 0
    updated: int = 0
    available: int = 0
    ready_replicas: int = 0
    current: bool = True
    served: bool = False
    complete: bool = False
    failed: bool = False
    phase: str = ""
    claim: ClaimSpec | None = None
    terminated: str = ""
    hosts: tuple[str, ...] = ()


THERE = ChildState(ready=True)
"""The state of most objects, kept once."""


def state_of(obj: Mapping[str, Any]) -> ChildState:
    """The state of a live object. Kinds without a notion of it are ready as soon as they exist."""
    reader = _READERS.get(obj["kind"])
    return reader(obj, obj.get("status") or {}) if reader else THERE


def _workload(obj: Mapping[str, Any], status: Mapping[str, Any]) -> ChildState:
    spec = obj.get("spec") or {}
    desired = spec.get("replicas", 1)
    total, updated, available = (status.get(f, 0) for f in ("replicas", "updatedReplicas", "availableReplicas"))
    current = status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
    # A StatefulSet that is updated by deleting its pods waits for a person, who may take their time.
    by_hand = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    problem, message = "", ""
    stuck = _condition(status, "Progressing", "False")
    progress = _condition(status, "Progressing") or {}
    if not current:
        message = "the controller has not seen the latest change yet"
    elif stuck:
        problem, message = stuck.get("reason", ""), stuck.get("message", "")
    elif refused := _condition(status, "ReplicaFailure"):  # a quota, or the Pod Security Standard
        problem, message = refused.get("reason", ""), refused.get("message", "")
    elif available < desired:
        message = f"{available} of {desired} replicas available"
    elif updated < desired and not by_hand:
        message = f"{updated} of {desired} replicas updated"
    elif total > desired or (total > updated and not by_hand):
        message = f"{total - min(updated, desired)} old replicas still running"
    return ChildState(
        ready=not message and not problem,
        message=message,
        problem=problem,
        desired=desired,
        updated=updated,
        available=available,
        ready_replicas=status.get("readyReplicas", 0),
        current=current,
        served=current and progress.get("reason") == "NewReplicaSetAvailable",
    )


def _job(obj: Mapping[str, Any], status: Mapping[str, Any]) -> ChildState:
    if _condition(status, "Complete"):
        return ChildState(ready=True, complete=True)
    failure = _condition(status, "Failed")
    if failure:
        reason = failure.get("reason", "Failed")
        return ChildState(ready=False, failed=True, problem=reason, message=failure.get("message") or reason)
    if (obj.get("spec") or {}).get("suspend"):
        return ChildState(ready=False, message="suspended")
    attempts = status.get("failed", 0)
    return ChildState(ready=False, message="running" + (f", {attempts} failed attempts so far" if attempts else ""))


def _pod(obj: Mapping[str, Any], status: Mapping[str, Any]) -> ChildState:
    phase = status.get("phase", "")
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    terminated = next(filter(None, map(_end, containers)), "")
    problem, message = "", ""
    unschedulable = _condition(status, "PodScheduled", "False")
    if unschedulable and unschedulable.get("reason") == "Unschedulable":
        problem, message = "Unschedulable", unschedulable.get("message", "")
    for container in containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in WAITING_PROBLEMS:
            problem, message = waiting["reason"], f"container {container['name']}: {waiting.get('message', '')}"
            break
    if phase == "Failed" and not problem:
        problem, message = status.get("reason") or "Failed", status.get("message") or terminated
    if obj["metadata"].get("deletionTimestamp") and _replaceable(obj):
        problem, message = "", "told to end"  # as it may, however it does
    ready = phase == "Succeeded" or (not problem and bool(_condition(status, "Ready")))
    return ChildState(
        ready=ready,
        problem=problem,
        message="" if ready else (message or f"phase {phase or 'unknown'}").strip(": "),
        phase=phase,
        terminated=terminated,
    )


def _replaceable(obj: Mapping[str, Any]) -> bool:
    """Whether a pod's successor does not wait for its end, as that of a StatefulSet's does."""
    return any(owner.get("kind") == "ReplicaSet" for owner in obj["metadata"].get("ownerReferences") or ())


def _end(container: Mapping[str, Any]) -> str:
    """How a container ended, if badly: now, or before its restart."""
    for when in ("state", "lastState"):
        end = (container.get(when) or {}).get("terminated")
        if end and end.get("exitCode"):
            reason = "" if end.get("reason") in {None, "", "Error"} else f" ({end['reason']})"
            message = (end.get("message") or "").strip()
            ended = f"container {container['name']} ended with exit code {end['exitCode']}{reason}"
            return f"{ended}: {message}" if message else ended
    return ""


def _claim(obj: Mapping[str, Any], status: Mapping[str, Any]) -> ChildState:
    spec, phase = obj.get("spec") or {}, status.get("phase", "")
    claim = ClaimSpec(
        size=((spec.get("resources") or {}).get("requests") or {}).get("storage", ""),
        storage_class=spec.get("storageClassName", ""),
        access_modes=tuple(spec.get("accessModes") or ()),
        named="f:storageClassName" in (owned_fields(obj) or {}).get("f:spec", {}),
    )
    if phase == "Bound":
        return ChildState(ready=True, phase=phase, claim=claim)
    problem = "Lost" if phase == "Lost" else ""
    message = f"volume claim is {phase or 'Pending'}"
    return ChildState(ready=False, phase=phase, problem=problem, message=message, claim=claim)


def _ingress(obj: Mapping[str, Any], status: Mapping[str, Any]) -> ChildState:
    del status  # an address comes by itself, or not at all
    rules = (obj.get("spec") or {}).get("rules") or []
    return ChildState(ready=True, hosts=tuple(rule["host"] for rule in rules if rule.get("host")))


def _http_route(obj: Mapping[str, Any], status: Mapping[str, Any]) -> ChildState:
    del status
    return ChildState(ready=True, hosts=tuple((obj.get("spec") or {}).get("hostnames") or ()))


def _condition(status: Mapping[str, Any], kind: str, value: str = "True") -> Mapping[str, Any] | None:
    conditions: list[Mapping[str, Any]] = status.get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind and c.get("status") == value), None)


_READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], ChildState]] = {
    "Deployment": _workload,
    "StatefulSet": _workload,
    "Job": _job,
    "Pod": _pod,
    "PersistentVolumeClaim": _claim,
    "Ingress": _ingress,
    "HTTPRoute": _http_route,
}
