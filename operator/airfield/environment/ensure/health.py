"""The phase Healthy: Airflow serves, its heartbeats are fresh, bundles are fetched, the administrator can log in."""

import logging
import re
from datetime import datetime, timedelta
from typing import Final

from airfield.airflow import monitor
from airfield.airflow.admin import ensure_admin
from airfield.airflow.bundles import bundle_facts
from airfield.api import meta
from airfield.api.environment import KeyStatus
from airfield.environment.ensure.database import REASONS, address
from airfield.environment.ensure.run import Run
from airfield.environment.health import (
    CLONE_AGAIN,
    FAST,
    SLOW,
    BundleFact,
    expected_components,
    judge_bundles,
    judge_workloads,
    stale_clone,
)
from airfield.environment.outcome import Done, Outcome, Wait
from airfield.environment.reasons import Reason
from airfield.environment.rollout import components
from airfield.environment.secrets import Key
from airfield.kube.errors import ApiError
from airfield.kube.inventory import Child
from airfield.postgres.errors import DatabaseError

log = logging.getLogger(__name__)

TIMEOUT = 5.0
LONG: Final = timedelta(minutes=5)
"""After so long an API server that is silent is not on its way: one that starts on a busy node may be for seconds."""
NO_REASON: Final = "Could not read from remote repository"
"""What git says where ssh, or the server, has said why."""
LINES = 1000
"""Of a dag-processor's log: each attempt to fetch a bundle that fails leaves about a hundred."""


def internal_url(run: Run) -> str:
    """Where the environment's API server answers inside the cluster."""
    return run.doors.settings.airflow_url.format(name=run.effective.name, namespace=run.effective.namespace)


async def ensure_healthy(run: Run) -> Outcome:
    """Look from the outside in: administrator, workloads, heartbeats, bundles."""
    outcome = judge_workloads(run.children)
    try:
        await _administrator(run)  # early: the password is set while the components start
    except DatabaseError as error:
        # An embedded database that does not start explains more than its silence does.
        return outcome if not isinstance(outcome, Done) else Wait(REASONS[error.reason], error.message, after=5)
    if not isinstance(outcome, Done):
        return outcome
    try:
        health = await monitor.health(run.doors.http, internal_url(run), TIMEOUT)
        well, message = monitor.judge(health, expected_components(run.effective))
        if not well:
            reason = Reason.UNREACHABLE if health.error else Reason.UNHEALTHY
            return Wait(reason, message, after=_again(run, health))
        if Key.ADMIN.value not in run.keys:
            return Wait(Reason.STARTING, "waiting for Airflow to make its roles", FAST)
        return await _bundles(run)
    except DatabaseError as error:
        return Wait(REASONS[error.reason], error.message, after=5)


def _again(run: Run, health: monitor.Health) -> float:
    """Seconds until an API server is asked again. While one is silent a worker waits for it."""
    if health.silent and run.unready_for() > LONG:
        return SLOW
    return FAST if health.error else 3.0


async def _administrator(run: Run) -> None:
    """Keep the first administrator's password in Airflow's database what the Secret says."""
    secret = Key.ADMIN.secret(run.effective.name)
    fact, known = run.facts[secret], run.keys.get(Key.ADMIN.value)
    if known is not None and known.fingerprint == fact.fingerprint:
        return
    content = run.contents[secret]
    user, email = content["username"], content.get("email", f"{content['username']}@localhost")
    outcome = await ensure_admin(address(run), user, content["password"], email, random=fact.as_generated)
    if outcome == "waiting":
        run.keys.pop(Key.ADMIN.value, None)
    else:
        run.keys[Key.ADMIN.value] = KeyStatus(name=Key.ADMIN.value, secret=secret, fingerprint=fact.fingerprint)


async def _bundles(run: Run) -> Outcome:
    if not any(bundle.git for bundle in run.effective.bundles):
        return Done()
    rows = await bundle_facts(address(run))
    facts = [BundleFact(name, refreshed) for name, refreshed in rows.items()]
    outcome = judge_bundles(run.effective, facts, {}, run.doors.clock())
    if isinstance(outcome, Done):
        return outcome
    errors = await _errors(run)
    if stale_clone(errors):
        await _clone_again(run)
    return judge_bundles(run.effective, facts, errors, run.doors.clock())


def _dag_processors(run: Run) -> list[Child]:
    pods = components(run.children, "Pod")
    return [pod for pod in pods if pod.labels.get(meta.LABEL_COMPONENT) == "dag-processor"]


async def _clone_again(run: Run) -> None:
    """Replace dag-processors whose clones are stale, so that a ref that has come into being since is found."""
    for pod in _dag_processors(run):
        live = await run.doors.kube.get(pod.ref)
        if live is None or "deletionTimestamp" in live["metadata"]:
            continue
        age = run.doors.clock() - datetime.fromisoformat(live["metadata"]["creationTimestamp"])
        # Ever more rarely: a mistyped ref must not keep the other bundles from being parsed.
        if age > max(CLONE_AGAIN, run.unready_for() / 2):
            log.info("replacing %s, which looks for a ref in a stale clone", pod.ref)
            await run.doors.kube.delete(pod.ref, uid=pod.uid)


async def _errors(run: Run) -> dict[str, str]:
    """What the dag-processor's log says of bundles that it cannot fetch: the last error of each."""
    found: dict[str, str] = {}
    for pod in _dag_processors(run):
        try:
            text = await run.doors.kube.logs(pod.ref.namespace, pod.ref.name, tail=LINES, limit=256 * 1024)
        except ApiError as error:  # its node does not answer; the log was only to explain
            log.info("%s", error.message)
            continue
        found.update(bundle_errors(text))
    return found


def bundle_errors(log: str) -> dict[str, str]:
    """By bundle, why Airflow last failed to fetch it, as git says. Credentials in URLs are masked."""
    found: dict[str, str] = {}
    for record in re.split(r"^(?=\d{4}-\d\d-\d\dT\S+ \[)", log, flags=re.MULTILINE):
        headline = re.search(r"Error (?:initializing|refreshing) bundle ([-\w]+)", record.partition("\n")[0])
        if headline is None:
            continue
        said = _last_word(record)
        if said:
            text = re.sub(r"://\S+@", "://***@", said[:2000]).strip()
            found[headline[1]] = (text.removesuffix("'") if text.count("'") % 2 else text)[:300]
    return found


def _last_word(record: str) -> str:
    """What helps most: git's last error; where git only saw ssh fail, what ssh or the server said; Python's last error.

    The traceback quotes git's standard error after `stderr: '`. "" where nothing of that is there.
    """
    said = re.findall(r"\b((?:fatal|error): [^\n]+)", record)
    if said and NO_REASON in said[-1]:
        _, quote, quoted = record.rpartition("stderr: '")
        lines = quoted.partition("fatal: ")[0].splitlines() if quote else []
        words = [line.strip().removeprefix("remote:").strip() for line in lines]
        told = [line for line in words if re.search(r"[A-Za-z]", line) and not line.startswith("Cloning into")]
        said += told[-1:]
    said = said or re.findall(r"^[\w.]+Error: [^\n]+", record, flags=re.MULTILINE)
    return said[-1] if said else ""
