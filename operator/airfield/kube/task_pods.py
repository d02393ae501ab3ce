"""The pods that come and go: what those of tasks, and of Jobs, requested, and from when to when. In memory, no I/O.

Pods of a Deployment or a StatefulSet are left out: what components request is known from the environment. A pod that is
gone is remembered for a while, so that whoever leads next can still count it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from airfield.api.quantity import measured
from airfield.kube.inventory import environment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from airfield.kube.inventory import Key

MEMORY: Final = timedelta(hours=4)
"""For which a pod that has ended and is gone is remembered. By the second full hour it should be in the ledger."""
NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that was started."""

    namespace: str
    name: str
    cpu: Decimal
    """Cores."""
    memory: Decimal
    """Bytes."""
    started: datetime
    ended: datetime | None

    def seconds(self, since: datetime, until: datetime) -> int:
        """For how many whole seconds it ran between two instants."""
        return max(0, int((min(self.ended or until, until) - max(self.started, since)).total_seconds()))


@dataclass
class TaskPods:
    """By environment and uid."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _pods: dict[Key, dict[str, Pod]] = field(default_factory=dict)

    def seen(self, obj: Mapping[str, Any]) -> None:
        """Take in a pod; one that has not started, or is of a component, is none of ours."""
        key, uid = environment_of(obj), obj["metadata"]["uid"]
        pod = pod_of(obj, self.clock) if key is not None else None
        if key is None or pod is None:
            return
        pods = self._pods.setdefault(key, {})
        known = pods.get(uid)
        pods[uid] = pod if known is None or known.ended is None else known

    def gone(self, obj: Mapping[str, Any]) -> None:
        """Take in that a pod is gone."""
        self.seen(obj)
        key, uid = environment_of(obj), obj["metadata"]["uid"]
        pods = self._pods.get(key, {}) if key is not None else {}
        self._end(pods, {uid} & pods.keys())

    def retain(self, namespace: str, present: Collection[tuple[str, str]]) -> None:
        """Take in a complete list, by namespace and name, of a namespace if it is not "": whatever else ran is gone.

        What has been gone for long is forgotten.
        """
        limit = self.clock() - MEMORY
        for key, pods in list(self._pods.items()):
            gone = {
                uid: pod
                for uid, pod in pods.items()
                if namespace in {"", pod.namespace} and (pod.namespace, pod.name) not in present
            }
            self._end(pods, gone)
            for uid, pod in gone.items():
                if pod.ended is not None and pod.ended <= limit:
                    del pods[uid]
            if not pods:
                del self._pods[key]

    def ran(self, key: Key, since: datetime, until: datetime) -> tuple[Decimal, Decimal]:
        """Core-seconds and byte-seconds that an environment's pods requested between two instants."""
        cpu = memory = NOTHING
        for pod in self._pods.get(key, {}).values():
            seconds = pod.seconds(since, until)
            cpu, memory = cpu + pod.cpu * seconds, memory + pod.memory * seconds
        return cpu, memory

    def running(self, key: Key) -> tuple[Decimal, Decimal]:
        """Cores and bytes that an environment's pods request now."""
        pods = [pod for pod in self._pods.get(key, {}).values() if pod.ended is None]
        return sum((pod.cpu for pod in pods), NOTHING), sum((pod.memory for pod in pods), NOTHING)

    def _end(self, pods: dict[str, Pod], uids: Iterable[str]) -> None:
        now = self.clock()
        for uid in uids:
            pods[uid] = replace(pods[uid], ended=pods[uid].ended or now)


def pod_of(obj: Mapping[str, Any], clock: Callable[[], datetime]) -> Pod | None:
    """A pod boiled down; None if it has not started, or is a Deployment's or a StatefulSet's."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    controllers = {owner.get("kind") for owner in metadata.get("ownerReferences") or () if owner.get("controller")}
    if controllers & {"ReplicaSet", "StatefulSet"} or "startTime" not in status:
        return None
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        cpu=_request(spec, "cpu"),
        memory=_request(spec, "memory"),
        started=datetime.fromisoformat(status["startTime"]),
        ended=_ended(status, clock) if status.get("phase") in {"Succeeded", "Failed"} else None,
    )


def _ended(status: Mapping[str, Any], clock: Callable[[], datetime]) -> datetime:
    """When the last container ended; now, where nothing says so."""
    ends = [
        end["finishedAt"]
        for container in status.get("containerStatuses") or ()
        if (end := (container.get("state") or {}).get("terminated")) and end.get("finishedAt")
    ]
    return max(map(datetime.fromisoformat, ends), default=clock())


def _request(spec: Mapping[str, Any], name: str) -> Decimal:
    """What the scheduler keeps free for a pod: its containers together, or the largest of what runs before them."""
    whole = _quantity(spec, name)
    if whole is not None:
        return whole + _amount((spec.get("overhead") or {}).get(name))
    beside, before = NOTHING, NOTHING
    for container in spec.get("initContainers") or ():
        own = _quantity(container, name) or NOTHING
        if container.get("restartPolicy") == "Always":
            beside += own
            before = max(before, beside)
        else:
            before = max(before, beside + own)
    together = sum((_quantity(each, name) or NOTHING for each in spec.get("containers") or ()), beside)
    return max(together, before) + _amount((spec.get("overhead") or {}).get(name))


def _quantity(owner: Mapping[str, Any], name: str) -> Decimal | None:
    found = ((owner.get("resources") or {}).get("requests") or {}).get(name)
    return None if found is None else _amount(found)


def _amount(quantity: str | None) -> Decimal:
    return NOTHING if quantity is None else measured(str(quantity))
