"""What to apply now and what to delete, given what the chart renders and what is there. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from airfield.api import meta
from airfield.environment.admit import ALLOWED_KINDS, DATA_KINDS, Manifest
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.kube.inventory import Child
from airfield.kube.kinds import Ref

LABEL_DERIVED: Final = f"{meta.GROUP}/derived"
"""On Secrets that the operator makes out of others and can make again: they are pruned like any object."""

RETRY_MIGRATION: Final = 60.0
"""Seconds after which a failed migration Job is replaced by a new try."""


def phase_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"][meta.LABEL_PHASE])


def is_job(manifest: Manifest) -> bool:
    """Jobs are made once: their pod template cannot be changed, and a finished one is a fact, not a wish."""
    return bool(manifest["kind"] == "Job")


def prunable(children: Mapping[Ref, Child], desired: Collection[Ref]) -> list[Child]:
    """Children that nothing wants any more. Data is never among them; nor is anything when nothing is desired."""
    if not desired:
        return []
    return [
        child for ref, child in sorted(children.items()) if ref not in desired and not child.deleting and _may_go(child)
    ]


def _may_go(child: Child) -> bool:
    if child.labels.get(meta.LABEL_MANAGED_BY) != meta.MANAGED_BY:
        return False
    if child.ref.kind in DATA_KINDS:
        return LABEL_DERIVED in child.labels
    return (child.ref.api_version, child.ref.kind) in ALLOWED_KINDS


def migration(job: Child | None, pods: Iterable[Child], *, failed_for: float | None) -> Outcome:
    """How far the schema migration is. `failed_for`: seconds since the Job gave up, None when it has not."""
    if job is None:
        return Wait(Reason.MIGRATING, "the migration Job is about to start", after=5)
    if job.state.complete:
        return Done()
    pod_problem = next((pod for pod in pods if pod.state.problem), None)
    said = next((pod.state.terminated for pod in pods if pod.state.terminated), "") or job.state.message
    if job.state.failed:
        left = max(0.0, RETRY_MIGRATION - (failed_for or 0.0))
        return Stall(
            Reason.MIGRATION_FAILED,
            f"Job {job.ref.name!r} failed: {said or 'see its log'}. It is tried again every {RETRY_MIGRATION:.0f} s;"
            f" `kubectl logs -n {job.ref.namespace} job/{job.ref.name}` tells more",
            after=left,
        )
    if pod_problem is not None and "Pull" in pod_problem.state.problem:
        return Stall(Reason.IMAGE_PULL_FAILED, pod_sentence(pod_problem), after=15)
    if pod_problem is not None:
        return Wait(Reason.MIGRATING, f"migrating: {pod_sentence(pod_problem)}", after=10)
    return Wait(Reason.MIGRATING, "the migration Job brings the database schema up to date", after=10)


def pod_sentence(pod: Child) -> str:
    component = pod.labels.get(meta.LABEL_COMPONENT, pod.ref.name)
    detail = pod.state.message or pod.state.terminated
    return f"{component}: {pod.state.problem}: {detail}" if detail else f"{component}: {pod.state.problem}"


def components(children: Mapping[Ref, Child], *kinds: str) -> Sequence[Child]:
    """The children of the given kinds, by name."""
    return [child for ref, child in sorted(children.items()) if ref.kind in kinds]
