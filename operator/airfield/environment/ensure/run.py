"""What the phases of one reconcile share: the doors to the outside, and what has been found out so far."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import aiohttp

from airfield.api import meta
from airfield.api.conditions import ready_of
from airfield.api.environment import AirflowEnvironment, AirflowEnvironmentStatus, KeyStatus
from airfield.environment.admit import Manifest
from airfield.environment.certificate import Certificate
from airfield.environment.history import Wanted
from airfield.environment.outcome import Stall
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective
from airfield.environment.rollout import is_job
from airfield.environment.secrets import SecretFact
from airfield.environment.template.renderer import TemplateRenderer
from airfield.environment.volumes import settled
from airfield.helm.template import Helm
from airfield.kube.applier import Applier
from airfield.kube.client import KubeClient
from airfield.kube.inventory import Child, Inventory
from airfield.kube.kinds import Kind, Ref
from airfield.kube.ownership import owned_fields
from airfield.kube.resources import Resources
from airfield.kube.secrets import SecretVersions
from airfield.settings import Settings


class Tell(Protocol):
    """Takes in an object as an answer had it, or one that is gone, as it was; whom it concerns looks again."""

    def __call__(self, kind: Kind, obj: Mapping[str, Any], *, deleted: bool) -> None: ...


@dataclass(frozen=True)
class Doors:
    """Everything through which a reconcile reaches the outside. Shared by all environments."""

    settings: Settings
    kube: KubeClient
    helm: Helm
    templates: TemplateRenderer
    inventory: Inventory
    belongings: Inventory
    """What tenants have in their namespaces beside environments."""
    resources: Resources
    secrets: SecretVersions
    http: aiohttp.ClientSession
    clock: Callable[[], datetime]
    cluster: str
    """The uid of the namespace kube-system: tells clusters apart on a shared database server."""
    kube_version: str
    tell: Tell
    """For news that answers bring before the watches do, which will not tell of it again."""
    unserved: Collection[Kind] = ()
    """Kinds that environments may have and that the API server does not know."""


@dataclass
class Run:
    """One reconcile of one environment."""

    doors: Doors
    environment: AirflowEnvironment
    effective: Effective
    wanted: Wanted
    previous: AirflowEnvironmentStatus
    facts: dict[str, SecretFact] = field(default_factory=dict)
    contents: dict[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Decoded content of the Secrets in `facts`; never leaves the process but into the cluster and the database."""
    keys: dict[str, KeyStatus] = field(default_factory=dict)
    derived: list[Manifest] = field(default_factory=list, repr=False)
    rendered: list[Manifest] = field(default_factory=list, repr=False)
    manifests: list[Manifest] = field(default_factory=list)
    """What was rendered, fitted to the volumes that are there."""
    versions: dict[str, str] = field(default_factory=dict)
    """The resourceVersion at which each Secret was read or written; "" for one that did not exist."""
    notes: list[str] = field(default_factory=list)
    """What a person may want to know of objects that are not quite as wished."""
    objects: int | None = None
    """How many were rendered."""
    settled_at: int | None = None
    """The inventory's revision at which everything was applied and nothing was left to prune; None until then."""
    applied: str | None = None
    """Fingerprint of everything that was applied; None before that is the case."""
    schema_revision: str | None = None
    """The revision that the database's schema is known to be at."""
    certificate: Certificate | str | None = None
    """What the Secret holds that the environment is served with, or what is wrong with it; None where there is none."""
    looked_at_certificate: bool = False
    reported: object = None
    """What the status was made of when it was last found to say all of it; None until then."""
    reached: bool = False
    """Whether the database has answered; until something goes wrong it is not asked again."""

    def __post_init__(self) -> None:
        self.schema_revision = self.previous.database.schema_revision if self.previous.database else None

    @property
    def key(self) -> tuple[str, str]:
        return self.effective.namespace, self.effective.name

    @property
    def ref(self) -> Ref:
        return Ref(meta.API_VERSION, "AirflowEnvironment", *self.key)

    @property
    def owner(self) -> dict[str, str]:
        metadata = self.environment.metadata
        return {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid}

    @property
    def children(self) -> Mapping[Ref, Child]:
        return self.doors.inventory.children(self.key)

    def rest(self) -> None:
        """Let go of what the next pass brings anew: a thousand environments rest most of the time."""
        del self.environment, self.previous
        self.rendered, self.manifests = [], []

    def resume(self, environment: AirflowEnvironment, rendered: list[Manifest]) -> None:
        """Go on after a rest, with what is the case now."""
        self.environment, self.previous = environment, environment.status or AirflowEnvironmentStatus()
        self.rendered = rendered
        self.fit()

    def fit(self) -> None:
        """Fit what was rendered to the volumes: between two passes one may have been resized, or removed."""
        self.manifests, self.notes = settled(self.rendered, self.children)

    def unready_for(self) -> timedelta:
        """How long the environment has not been Ready; 0 when it is."""
        ready = ready_of(self.previous.conditions)
        if ready is None or ready.status == "True":
            return timedelta(0)
        return self.doors.clock() - datetime.fromisoformat(ready.last_transition_time)

    async def apply(self, manifests: Iterable[Manifest]) -> Stall | None:
        """Apply what is missing, wanted differently or touched by others; a stall tells what the API server refused.

        Most of a Job cannot be changed: to one that is there only what it was made of is applied again.
        """
        known, drifted = self.children, self.doors.inventory.drifted
        wanted = [m for m in manifests if not is_job(m) or Ref.of(m) not in known or drifted(self.key, m)]
        refusals = await self._applier.apply(wanted)
        return Stall(Reason.APPLY_REFUSED, "; ".join(sorted(refusals.values())), after=30) if refusals else None

    async def make(self, manifest: Manifest) -> Mapping[str, Any]:
        """Apply an object that does not seem to be there."""
        return await self._applier.make(manifest)

    def refuse_foreign(self, live: Mapping[str, Any]) -> None:
        """ApiError when an object that has a name of ours is somebody else's."""
        self._applier.refuse_foreign(live)

    @property
    def _applier(self) -> Applier:
        return Applier(self.doors.kube, self.doors.inventory, self.key, "this environment", self._is_ours)

    def _is_ours(self, live: Mapping[str, Any]) -> bool:
        """By its label; where somebody has taken that away, by its owner, or by our having applied it."""
        metadata = live["metadata"]
        label = metadata.get("labels", {}).get(meta.LABEL_ENVIRONMENT)
        owners = {owner["uid"] for owner in metadata.get("ownerReferences", [])}
        if label is not None or owners:
            return bool(label == self.effective.name or (label is None and self.owner["uid"] in owners))
        return owned_fields(live) is not None

    def metadata(self, name: str, *, owned: bool, **labels: str) -> dict[str, Any]:
        """Metadata of a Secret of this environment; owned ones are garbage-collected with it."""
        found: dict[str, Any] = {
            "name": name,
            "namespace": self.effective.namespace,
            "labels": {
                **self.effective.labels,
                meta.LABEL_MANAGED_BY: meta.MANAGED_BY,
                meta.LABEL_ENVIRONMENT: self.effective.name,
                **labels,
            },
        }
        if owned:
            found["ownerReferences"] = [
                {
                    "apiVersion": meta.API_VERSION,
                    "kind": "AirflowEnvironment",
                    **{k: self.owner[k] for k in ("name", "uid")},
                }
            ]
        return found
