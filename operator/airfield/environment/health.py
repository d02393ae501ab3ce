"""Whether an environment works, told from its workloads, its pods, Airflow's heartbeats and its bundles. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from airfield.api import meta
from airfield.api.conditions import ready_of
from airfield.api.dags import REFRESH_SECONDS
from airfield.api.environment import AirflowEnvironmentStatus
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective
from airfield.environment.rollout import IMAGE_PROBLEMS, components, image_sentence, pod_sentence
from airfield.kube.inventory import Child
from airfield.kube.kinds import Ref

FAST: Final = 1.0
"""Seconds between looks at an API server that is about to answer."""
SLOW: Final = 30.0
"""Seconds between looks at workloads: their events come sooner, and a fleet that is rolled out has many of them."""
SECOND_LOOK: Final = 3.0
"""Seconds for which an environment that was Ready is still believed to be when it gives no usable answer."""
NO_ANSWER: Final = frozenset({Reason.UNREACHABLE, Reason.DATABASE_UNREACHABLE})
"""What a lost packet or a name server's hiccup can make of an environment with which all is well."""
CLONE_AGAIN: Final = timedelta(minutes=3)
"""Age at which a dag-processor that looks for a ref in a stale clone is replaced."""


@dataclass(frozen=True, slots=True)
class BundleFact:
    """What Airflow's database says about a bundle: when it was last fetched, None when never."""

    name: str
    last_refreshed: datetime | None


def expected_components(effective: Effective) -> frozenset[str]:
    """The names under which Airflow's monitor endpoint reports the components that must be healthy."""
    settings = effective.settings.components
    triggerer = settings.triggerer if settings else None
    always = {"metadatabase", "scheduler", "dag_processor"}
    return frozenset(always if triggerer is not None and triggerer.replicas == 0 else always | {"triggerer"})


def judge_workloads(children: Mapping[Ref, Child]) -> Outcome:
    """Whether every Deployment and StatefulSet serves, and if not, which pod is to blame."""
    behind = [child for child in components(children, "Deployment", "StatefulSet") if not child.state.ready]
    if not behind:
        return Done()
    sick = {child.labels.get(meta.LABEL_COMPONENT) for child in behind}
    pods = [
        pod for pod in components(children, "Pod") if pod.state.problem and pod.labels.get(meta.LABEL_COMPONENT) in sick
    ]
    for pod in pods:
        if pod.state.problem in IMAGE_PROBLEMS:
            return Stall(Reason.IMAGE_PULL_FAILED, image_sentence(pod), 15)
    for pod in pods:
        if pod.state.problem == "Unschedulable":
            return Wait(Reason.UNSCHEDULABLE, pod_sentence(pod), 15)
    if pods:
        return Stall(Reason.POD_FAILING, "; ".join(sorted({pod_sentence(pod) for pod in pods})), 15)
    fallen = [child for child in behind if child.state.served]
    if fallen:
        return Wait(Reason.UNHEALTHY, f"has served and does not now: {_names(fallen)}", SLOW)
    return Wait(Reason.STARTING, f"waiting for {_names(behind)}", SLOW)


def _names(children: Sequence[Child]) -> str:
    return ", ".join(
        f"{child.labels.get(meta.LABEL_COMPONENT, child.ref.name)} ({child.state.message})" for child in children
    )


def may_be_well(
    outcome: Outcome | None, previous: AirflowEnvironmentStatus, *, generation: int, applied: str | None
) -> bool:
    """Whether an environment that gave no usable answer may be well: it was Ready, and nothing of it is new since.

    Args:
        outcome: what the phase Healthy came to, if it was reached.
        previous: the status so far.
        generation: that of its resource now.
        applied: the digest of what is applied now.
    """
    ready = ready_of(previous.conditions)
    was_ready = ready is not None and ready.status == "True" and ready.observed_generation == generation
    nothing_new = applied is not None and applied == previous.applied
    return isinstance(outcome, Wait) and outcome.reason in NO_ANSWER and was_ready and nothing_new


def stale_clone(errors: Mapping[str, str]) -> bool:
    """Whether a bundle's ref was missing from its clone: Airflow never fetches such a clone again, only a new pod does.

    Seen in Airflow 3.3.2, whose issue 71388 it is.
    """
    return any("did not match any file" in said for said in errors.values())


def judge_bundles(
    effective: Effective, facts: Sequence[BundleFact], errors: Mapping[str, str], now: datetime
) -> Outcome:
    """Whether Airflow has fetched every bundle, and fetches them still. `errors`: what its log says, by bundle."""
    seen = {fact.name: fact.last_refreshed for fact in facts}
    failing: list[str] = []
    coming: list[str] = []
    for bundle in effective.bundles:
        if bundle.git is None:
            continue
        interval = bundle.git.refresh_interval_seconds or REFRESH_SECONDS
        last = seen.get(bundle.name)
        if last is not None and now - last < timedelta(seconds=3 * interval + 60):
            continue
        what = f"dags.bundles[{bundle.name}].git ({bundle.git.url}, ref {bundle.git.ref!r})"
        why = errors.get(bundle.name, "")
        if last is None and not why:
            coming.append(f"{what} is being fetched for the first time")
        else:
            since = "has never been fetched" if last is None else "is no longer fetched"
            failing.append(f"{what} {since}{f': {why}' if why else ''}")
    if failing:
        advice = "check that url, ref and credentialsSecret are right"
        return Wait(Reason.BUNDLE_FAILED, "; ".join([*failing, advice]), 15)
    return Wait(Reason.STARTING, "; ".join(coming), FAST) if coming else Done()
