"""The reconcile of one class: pre-migrated template databases on its servers, and its status.

A template is filled by the chart's own migration Job, run in the operator's namespace under a role that can do nothing
else; then it is closed to connections. New environments are cloned from it and need no migration.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final
from weakref import WeakValueDictionary

from pydantic import ValidationError

from airfield.airflow import keys
from airfield.api import meta
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.environment.connections import connection_content
from airfield.environment.ensure.database import connect_admin
from airfield.environment.ensure.run import Doors
from airfield.environment.rollout import phase_of
from airfield.environment.unreadable import read, unreadable_status
from airfield.environment_class.status import class_status
from airfield.environment_class.templates import Wanted, missing, wanted
from airfield.helm.manifests import HelmError
from airfield.kube.errors import ApiError
from airfield.kube.kinds import AIRFLOW_ENVIRONMENT_CLASS, Ref
from airfield.kube.state import state_of
from airfield.postgres.errors import DatabaseError
from airfield.postgres.server import Server
from airfield.runtime.logs import bind

log = logging.getLogger(__name__)

LABEL_TEMPLATE: Final = f"{meta.GROUP}/template"
BUILDING_SECONDS = 2.0
RETRY_SECONDS = 60.0


class Controller:
    """Looks after classes. Environments do not wait for it: without a template each is migrated by its own Job."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._complete: dict[str, tuple[object, float]] = {}
        """What each class looked at when all its templates were there, and until when that is believed."""

    async def reconcile(self, name: str) -> float | None:
        """One pass. The seconds until the next one."""
        body = self._doors.resources.classes.get(name)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._complete.pop(name, None)
            return None
        try:
            blueprint = read(AirflowEnvironmentClass, body)
        except ValidationError as error:
            await self._write(body, unreadable_status(body, error, self._doors.clock()))
            return None
        with bind(environment_class=name):
            templates = list(wanted(blueprint))
            problems = await self._ensure(name, templates)
            await self._report(blueprint, body, templates, problems)
        if not problems:
            return self._complete[name][1] - time.monotonic()
        return RETRY_SECONDS if all(problems.values()) else BUILDING_SECONDS

    async def _ensure(self, name: str, templates: list[Wanted]) -> dict[Wanted, str]:
        """What `_build` says; without asking a server each time that an environment of the class comes or goes."""
        accounts = {(secret.namespace, secret.name) for secret in (each.server.admin_secret for each in templates)}
        looked_at = templates, {account: self._doors.secrets.version(*account) for account in accounts}
        known, until = self._complete.pop(name, (None, 0.0))
        if known != looked_at or time.monotonic() >= until:
            if problems := await self._build(templates):
                return problems
            until = time.monotonic() + self._doors.settings.resync_seconds
        self._complete[name] = looked_at, until
        return {}

    async def _build(self, templates: list[Wanted]) -> dict[Wanted, str]:
        """Take every missing template a step further. Those that are not ready: why, "" when it only takes time."""
        problems: dict[Wanted, str] = {}
        for _, group in groupby(templates, key=lambda template: template.server.name):
            of_server = list(group)
            try:
                server = await connect_admin(self._doors, of_server[0].server)
                if not isinstance(server, Server):
                    problems |= dict.fromkeys(of_server, server.message)
                    continue
                for template in missing(of_server, await server.templates()):
                    # Another class may want the same template: one pass at a time.
                    async with self._locks.setdefault(template.job, asyncio.Lock()):
                        problem = await self._advance(server, template)
                    if problem is not None:
                        problems[template] = problem
            except (DatabaseError, HelmError) as error:
                problems |= dict.fromkeys(of_server, str(error))
            except ApiError as error:
                if error.transient:
                    raise
                problems |= dict.fromkeys(of_server, error.message)
        return problems

    async def _advance(self, server: Server, template: Wanted) -> str | None:
        """One step of making a template; None when it is ready."""
        objects = await self._objects(template)
        job = Ref.of(next(manifest for manifest in objects if manifest["kind"] == "Job"))
        live = await self._doors.kube.get(job)
        if live is None:
            password = keys.password(32)
            address = await server.begin_template(template.revision, password)
            if address is None:  # another class's pass, or another cluster, has finished it meanwhile
                return None
            content = connection_content(
                host=address.host,
                port=str(address.port),
                database=address.database,
                username=address.user,
                password=password,
            )
            secret = {**self._stamped(template, _secret(template)), "stringData": content}
            for manifest in (secret, *objects):
                await self._doors.kube.apply(manifest)
            log.info("filling template %s of %s", template.revision, template.entry.image)
            return ""
        state = state_of(live)
        if state.complete or state.failed:  # before the template is finished: after that nobody looks for them
            for manifest in (*objects, self._stamped(template, _secret(template))):
                await self._doors.kube.delete(Ref.of(manifest))
        if state.complete:
            await server.finish_template(template.revision)
            log.info("template %s is ready", template.revision)
        if state.failed:
            await server.drop_template(template.revision)  # what the Job left half done would only fail again
            where = f"{template.entry.image} on server {template.server.name!r}"
            return f"template for {where}: its Job failed: {state.message}"
        return None if state.complete else ""

    async def _objects(self, template: Wanted) -> list[dict[str, Any]]:
        """The chart's migration Job and what it needs, to run in the operator's namespace."""
        values = {
            "airflow": {
                "version": template.entry.version,
                "image": template.entry.image,
                "pullSecrets": list(self._doors.settings.image_pull_secrets),
            },
            "executor": "LocalExecutor",
            "secrets": {"database": _name(template)},
            "database": {"mode": "server", "host": template.server.host, "port": template.server.port},
            "migration": {"revision": template.revision},
            "networkPolicy": {"operatorNamespace": self._doors.settings.namespace},
            "env": [{"name": "PGSSLMODE", "value": template.server.ssl_mode.value}],
        }
        rendered = await self._doors.helm.template(
            self._doors.settings.chart,
            release=template.job,
            namespace=self._doors.settings.namespace,
            values=values,
            kube_version=self._doors.kube_version,
        )
        needed = [m for m in rendered if phase_of(m) == "schema" or m["kind"] == "ServiceAccount"]
        return [self._stamped(template, manifest) for manifest in needed]

    def _stamped(self, template: Wanted, manifest: dict[str, Any]) -> dict[str, Any]:
        """Labelled as the template's, not as an environment's: the watches of environments must not see it."""
        labels = {k: v for k, v in manifest["metadata"].get("labels", {}).items() if k != meta.LABEL_ENVIRONMENT}
        metadata = {
            **manifest["metadata"],
            "namespace": self._doors.settings.namespace,
            "labels": {**labels, meta.LABEL_MANAGED_BY: meta.MANAGED_BY, LABEL_TEMPLATE: template.revision},
        }
        return {**manifest, "metadata": metadata}

    async def _report(
        self,
        blueprint: AirflowEnvironmentClass,
        body: Mapping[str, Any],
        templates: list[Wanted],
        problems: Mapping[Wanted, str],
    ) -> None:
        name = blueprint.metadata.name
        environments = len(self._doors.resources.of_class(name))
        status = class_status(blueprint, templates, problems, environments, self._doors.clock())
        await self._write(body, status.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def _write(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        name = body["metadata"]["name"]
        if status != body.get("status"):
            live = await self._doors.kube.apply_status(
                Ref(meta.API_VERSION, "AirflowEnvironmentClass", "", name), status
            )
            if live is not None:
                self._doors.tell(AIRFLOW_ENVIRONMENT_CLASS, live, deleted=False)


def _name(template: Wanted) -> str:
    return f"{template.job}-{template.revision}"


def _secret(template: Wanted) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": _name(template)}}
