"""The reconcile of one environment: gather, go through the phases, write the status."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.conditions import ConditionType
from airfield.api.environment import (
    AirflowEnvironment,
    AirflowEnvironmentStatus,
    DeletionPolicy,
)
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant
from airfield.environment.certificate import Verdict
from airfield.environment.ensure.certificate import look_at_certificate
from airfield.environment.ensure.database import ensure_database
from airfield.environment.ensure.deleted import Farewell, ensure_deleted
from airfield.environment.ensure.health import ensure_healthy
from airfield.environment.ensure.hosts import Hosts
from airfield.environment.ensure.keys import ensure_keys
from airfield.environment.ensure.memory import Memory
from airfield.environment.ensure.quota import Quotas
from airfield.environment.ensure.run import Doors, Run
from airfield.environment.ensure.workloads import ensure_applied, ensure_rendered
from airfield.environment.health import SECOND_LOOK, may_be_well
from airfield.environment.history import Wanted, wanted
from airfield.environment.outcome import Done, Outcome, Stall
from airfield.environment.quota import grant_of
from airfield.environment.reasons import Reason
from airfield.environment.report import Pass, public_url, report
from airfield.environment.resolve import Effective, Unresolved, resolve, validation_messages
from airfield.environment.status import next_look, together
from airfield.environment.unreadable import read
from airfield.kube.errors import ApiError
from airfield.kube.kinds import AIRFLOW_ENVIRONMENT, Ref
from airfield.runtime.logs import bind

if TYPE_CHECKING:
    from datetime import datetime

log = logging.getLogger(__name__)

Phase = Callable[[Run], Awaitable[Outcome]]

PHASES: Final[tuple[tuple[ConditionType, Phase], ...]] = (
    (ConditionType.KEYS_READY, ensure_keys),
    (ConditionType.RENDERED, ensure_rendered),
    (ConditionType.DATABASE_READY, ensure_database),
    (ConditionType.APPLIED, ensure_applied),
    (ConditionType.HEALTHY, ensure_healthy),
)


LOOKS_PER_SECOND: Final = 5.0
"""So many environments that are well are looked at in a second, on average, and no more."""


class Controller:
    """Brings environments to what their resources say. Knows nothing but keys; every pass starts from the cluster."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._memory = Memory(doors)
        self._quotas = Quotas(doors)
        self._hosts = Hosts(doors)
        self._leaving: dict[tuple[str, str], tuple[str, datetime]] = {}
        """The uid of each environment that is being deleted, and since when that is worked on here."""
        self._unanswered: dict[tuple[str, str], float] = {}
        """When an environment that was Ready first gave no usable answer, in seconds of the monotonic clock."""

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        """One pass. The seconds until the next one, None when the environment is gone."""
        with bind(environment="/".join(key)):
            body = self._doors.resources.environments.get(key)
            if body is None:
                self._forget(key)
                return None
            try:
                environment = read(AirflowEnvironment, body)
            except ValidationError as error:
                return await self._invalid(key, body, error)
            if environment.metadata.deletion_timestamp is not None:
                return await self._delete(environment, body)
            if environment.metadata.annotations.get(meta.ANNOTATION_PAUSED) == "true":
                await self._report(Pass(environment, body, {}, paused=True))
                return None
            finalizers = environment.metadata.finalizers
            if meta.FINALIZER in finalizers:
                return await self._ensure(environment, body)
            if not await self._set_finalizers(environment, [*finalizers, meta.FINALIZER]):
                return None  # deleted before it was begun: what would be made of it now nobody would remove
            return await self.reconcile(key)  # as it is now: somebody may have changed it meanwhile

    async def _ensure(self, environment: AirflowEnvironment, body: Mapping[str, Any]) -> float:
        wished = self._memory.wish(environment)
        run, outcomes = self._memory.resume(environment, wished) or (None, {})
        if run is None:
            try:
                effective, wants = await self._resolve(environment)
            except Unresolved as error:
                message = "; ".join(problem.message for problem in error.problems)
                outcomes[ConditionType.RESOLVED] = Stall(error.problems[0].reason, message)
            else:
                outcomes[ConditionType.RESOLVED] = Done()
                run = Run(self._doors, environment, effective, wants, environment.status or AirflowEnvironmentStatus())
        came_to = Pass(environment, body, outcomes, run)
        if run is not None:
            await self._go_through(run, outcomes)
            self._look_twice(run, outcomes)
            came_to = replace(came_to, beside=await self._look_beside(run))
        await self._report(came_to)
        # What has not come right for long is looked at more rarely.
        patience = min(15.0, run.unready_for().total_seconds() / 20) if run is not None else 0.0
        if run is not None:
            self._memory.remember(run, wished, outcomes)
        return max(patience, next_look(outcomes, when_ready=self._when_ready()))

    async def _go_through(self, run: Run, outcomes: dict[ConditionType, Outcome]) -> None:
        """The phases that are not known to be done, up to the first that is not."""
        for kind, phase in PHASES:
            if kind in outcomes:
                continue
            try:
                outcomes[kind] = await phase(run)
            except ApiError as error:
                if error.transient:
                    raise
                outcomes[kind] = Stall(Reason.API_REFUSED, error.message, after=15)
            if not isinstance(outcomes[kind], Done):
                return

    def _look_twice(self, run: Run, outcomes: dict[ConditionType, Outcome]) -> None:
        """Say nothing yet of an environment that was Ready and gives no usable answer: a packet may have been lost.

        All looks within SECOND_LOOK count as one.
        """
        outcome, generation = outcomes.get(ConditionType.HEALTHY), run.environment.metadata.generation
        if not may_be_well(outcome, run.previous, generation=generation, applied=run.applied):
            self._unanswered.pop(run.key, None)
            return
        now = time.monotonic()
        if run.key not in self._unanswered:
            log.info("looking again before it is told: %s", outcome.message if outcome else "")
        left = self._unanswered.setdefault(run.key, now) + SECOND_LOOK - now
        if left > 0:
            outcomes[ConditionType.HEALTHY] = Done(again=left)

    async def _look_beside(self, run: Run) -> dict[ConditionType, Verdict | None]:
        """What Ready does not depend on; nothing new of it while the API server does not say."""
        try:
            return {ConditionType.CERTIFICATE_VALID: await look_at_certificate(run)}
        except ApiError as error:
            log.warning("the certificate was not looked at: %s", error.message)
            return {}

    def _when_ready(self) -> float:
        """Seconds until the next look at an environment that is well: a large fleet is looked at more slowly."""
        seconds = max(self._doors.settings.health_seconds, len(self._doors.resources.environments) / LOOKS_PER_SECOND)
        return together(seconds, time.monotonic())

    async def _resolve(self, environment: AirflowEnvironment) -> tuple[Effective, Wanted]:
        body = self._doors.resources.holder(environment.metadata.namespace)
        try:
            tenant = read(AirflowTenant, body) if body else None
        except ValidationError as error:
            found = "; ".join(validation_messages(error))
            raise Unresolved.because(Reason.NO_TENANT, f"the AirflowTenant cannot be read: {found}") from None
        blueprint = self._blueprint(environment.spec.class_name)
        effective = resolve(environment, tenant, blueprint)
        news = self._hosts.take(effective)
        try:
            await self._quotas.grant(effective.tenant, effective)
        except (Unresolved, ApiError):
            if news:
                self._hosts.give_back(effective)
            raise
        if tenant is None or blueprint is None:  # it has no right to resolve then
            raise AssertionError
        return effective, wanted(environment, tenant, blueprint, effective)

    def _blueprint(self, name: str) -> AirflowEnvironmentClass | None:
        body = self._doors.resources.classes.get(name)
        if body is None:
            return None
        try:
            return read(AirflowEnvironmentClass, body)
        except ValidationError as error:
            found = "; ".join(validation_messages(error))
            raise Unresolved.because(Reason.CLASS_INVALID, f"AirflowEnvironmentClass {name!r}: {found}") from None

    async def _delete(self, environment: AirflowEnvironment, body: Mapping[str, Any]) -> float | None:
        if meta.FINALIZER not in environment.metadata.finalizers:
            return None
        try:
            blueprint = self._blueprint(environment.spec.class_name)
        except Unresolved:
            blueprint = None
        key = environment.metadata.namespace, environment.metadata.name
        leaving = self._leaving.get(key)
        if leaving is None or leaving[0] != environment.metadata.uid:
            leaving = self._leaving[key] = environment.metadata.uid, self._doors.clock()
        outcome = await ensure_deleted(Farewell(self._doors, environment, blueprint, since=leaving[1]))
        if isinstance(outcome, Done):
            await self._set_finalizers(environment, [f for f in environment.metadata.finalizers if f != meta.FINALIZER])
            self._memory.forget(key)
            self._leaving.pop(key, None)
            log.info("deleted: %s", outcome.message)
            return None
        await self._report(Pass(environment, body, {ConditionType.HEALTHY: outcome}, deleting=True))
        return outcome.after

    async def _set_finalizers(self, environment: AirflowEnvironment, finalizers: list[str]) -> bool:
        """Whether the environment is still there."""
        metadata = environment.metadata
        key = metadata.namespace, metadata.name
        ref = Ref(meta.API_VERSION, "AirflowEnvironment", *key)
        live = await self._doors.kube.set_finalizers(ref, metadata.uid, metadata.resource_version, finalizers)
        forgotten = metadata.uid in self._doors.resources.gone  # the answer may be later than the news of its end
        if live is None or forgotten or (metadata.deletion_timestamp is not None and not finalizers):
            known = self._doors.resources.environments.get(key)
            self._forget(key)  # before those are told who wait for what it had
            if known is not None and known["metadata"]["uid"] == metadata.uid:
                self._doors.tell(AIRFLOW_ENVIRONMENT, known, deleted=True)
            return False
        if (live["metadata"].get("finalizers") or []) != finalizers:
            raise ApiError(409, "Conflict", f"somebody's admission policy does not let the finalizers be {finalizers}")
        # Not told: it was written over the version that was seen, so nothing but the finalizers is new in it.
        self._doors.resources.observe(self._doors.resources.environments, key, live)
        return True

    def _forget(self, key: tuple[str, str]) -> None:
        """Take in that an environment is gone."""
        self._leaving.pop(key, None)
        self._unanswered.pop(key, None)
        self._memory.forget(key)
        self._quotas.forget(key)
        self._hosts.forget(key)

    async def _invalid(self, key: tuple[str, str], body: Mapping[str, Any], error: ValidationError) -> float | None:
        """A resource that this operator cannot read, made under other CRDs: say so, and touch nothing else."""
        outcome = Stall(Reason.INVALID_SPEC, "; ".join(validation_messages(error)))
        readable = {**body, "spec": {"className": "unknown", "stage": "dev", **_policy(body)}}
        try:
            shell = read(AirflowEnvironment, readable)
        except ValidationError:  # nor can its class's name
            readable["spec"]["className"] = "unknown"
            shell = read(AirflowEnvironment, readable)
        if shell.metadata.deletion_timestamp is None:
            await self._report(Pass(shell, body, {ConditionType.RESOLVED: outcome}))
        else:
            return await self._delete(shell, body)
        log.warning("%s/%s cannot be read: %s", *key, outcome.message)
        return outcome.after

    async def _report(self, came_to: Pass) -> None:
        run = came_to.run
        if run is not None:
            came_to = replace(came_to, granted=grant_of(self._quotas.asked(run.effective)))
            if run.settled_at is not None:  # before those who wait for a host name are told of it
                self._hosts.settled(run.key, public_url(run))
        await report(self._doors, came_to)


def _policy(body: Mapping[str, Any]) -> dict[str, str]:
    """What can be read of a specification that cannot be read as a whole: its class, and what becomes of its data.

    Data are deleted only if it says so itself: its stage and size, by which its class would decide, are not known.
    """
    spec = body.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    found = {"deletionPolicy": DeletionPolicy.ORPHAN.value}
    if isinstance(spec.get("className"), str):
        found["className"] = spec["className"]
    if spec.get("deletionPolicy") in set(DeletionPolicy):
        found["deletionPolicy"] = spec["deletionPolicy"]
    return found
