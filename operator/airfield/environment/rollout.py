"""What to apply now and what to delete, given what the chart renders and what is there. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from airfield.api import meta
from airfield.environment.admit import ALLOWED_KINDS, DATA_KINDS, Manifest
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.kube.inventory import Child
from airfield.kube.kinds import Ref

LABEL_DERIVED: Final = f"{meta.GROUP}/derived"
"""On Secrets that the operator makes out of others and can make again: they are pruned like any object."""

IMAGE_PROBLEMS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
"""What the kubelet says of a container whose image it cannot get."""


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
    if child.labels.get(meta.LABEL_MANAGED_BY) != meta.MANAGED_BY or not child.owned:
        return False  # somebody's copy has the labels, and nothing that we applied
    if child.ref.kind in DATA_KINDS:
        return is_derived(child)
    return (child.ref.api_version, child.ref.kind) in ALLOWED_KINDS


def is_derived(child: Child) -> bool:
    """Whether the operator can make the object again out of others. A volume never is, whatever its labels say."""
    return child.ref.kind == "Secret" and LABEL_DERIVED in child.labels


def migration(job: Child | None, pods: Sequence[Child], *, failed_for: float | None, retry: float) -> Outcome:
    """How far the schema migration is. `failed_for`: seconds since the Job gave up, None when it has not.

    `retry`: seconds after which a Job that gave up is replaced by a new one.
    """
    if job is None:
        return Wait(Reason.MIGRATING, "the migration Job is about to start", after=5)
    # Of a pod that has succeeded, the Job's own status tells a second or two later.
    if job.state.complete or any(pod.state.phase == "Succeeded" and made_by(pod, job) for pod in pods):
        return Done()
    pod_problem = next((pod for pod in pods if pod.state.problem), None)
    said = next((pod.state.terminated for pod in pods if pod.state.terminated), "") or job.state.message
    if job.state.failed:
        left = max(0.0, retry - (failed_for or 0.0))
        return Stall(
            Reason.MIGRATION_FAILED,
            f"Job {job.ref.name!r} failed: {said or 'see its log'}. It is tried again every {retry:.0f} s;"
            f" `kubectl logs -n {job.ref.namespace} job/{job.ref.name}` tells more",
            after=left,
        )
    if pod_problem is not None and pod_problem.state.problem in IMAGE_PROBLEMS:
        return Stall(Reason.IMAGE_PULL_FAILED, image_sentence(pod_problem), after=15)
    if pod_problem is not None:
        return Wait(Reason.MIGRATING, f"migrating: {pod_sentence(pod_problem)}", after=10)
    return Wait(Reason.MIGRATING, "the migration Job brings the database schema up to date", after=10)


def made_by(pod: Child, job: Child) -> bool:
    """Whether a pod is a Job's."""
    return pod.labels.get("batch.kubernetes.io/controller-uid") == job.uid


def pod_sentence(pod: Child) -> str:
    component = pod.labels.get(meta.LABEL_COMPONENT, pod.ref.name)
    # Of a container that crashes again and again the kubelet only says how long it waits; why it ended tells more.
    crash = pod.state.terminated if pod.state.problem == "CrashLoopBackOff" else ""
    detail = crash or pod.state.message or pod.state.terminated
    return f"{component}: {pod.state.problem}: {detail}" if detail else f"{component}: {pod.state.problem}"


def image_sentence(pod: Child) -> str:
    ours = "image.reference, or without it catalog.versions[].image of the class"
    field = "catalog.postgresImage of the class" if pod.labels.get(meta.LABEL_COMPONENT) == "database" else ours
    return f"{pod_sentence(pod)}; check {field}, and image.pullSecrets"


def components(children: Mapping[Ref, Child], *kinds: str) -> Sequence[Child]:
    """The children of the given kinds, by name."""
    return [child for ref, child in sorted(children.items()) if ref.kind in kinds]
