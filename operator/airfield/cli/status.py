"""`airfield status`: how environments are, once, on every change, or until they are Ready."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import quote
from time import monotonic
from typing import Any, Final

import click

from airfield.api.conditions import ConditionType, conditions_of, is_true
from airfield.cli import cluster
from airfield.cli.output import Cell, Failure, Table, age, as_list, printable, tidy, tinted, to_json
from airfield.environment.status import PHASES
from airfield.kube.errors import ApiError

Object = dict[str, Any]
Fetch = Callable[[], Awaitable[list[Object]]]

HEADERS: Final = ("NAMESPACE", "NAME", "READY", "STATUS", "VERSION", "TENANT", "CLASS", "AGE")
ONE_SECONDS, ALL_SECONDS = 1.0, 3.0
"""Between two looks at one environment, and at many: a list costs the API server more."""
_ORDER: Final = [
    ConditionType.READY,
    ConditionType.STALLED,
    ConditionType.RECONCILING,
    ConditionType.PAUSED,
    *PHASES,
]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which environments are meant."""

    name: str | None
    namespace: str | None
    tenant: str | None
    everywhere: bool
    context: str | None


async def status(selection: Selection, *, output: str, watch: bool, wait: float | None) -> None:
    """Print the selected environments; `wait` is the number of seconds that they are given to become Ready."""
    async with cluster.connect(selection.context) as (kube, default):
        namespace = None if selection.everywhere else selection.namespace or default

        async def fetch() -> list[Object]:
            if selection.name is not None:
                return [await cluster.environment(kube, namespace or default, selection.name)]
            found = await cluster.environments(kube, namespace)
            return [body for body in found if selection.tenant in {None, _status(body).get("tenant")}]

        every = ONE_SECONDS if selection.name else ALL_SECONDS
        if watch:
            await _follow(fetch, every, output)
            return
        found = await fetch() if wait is None else await _until_ready(fetch, every, wait)
        if output == "json":
            click.echo(to_json(tidy(found[0]) if selection.name else as_list([*map(tidy, found)])))
        elif selection.name is not None:
            for line in page(found[0], datetime.now(UTC), selection.context):
                click.echo(line)
        elif found:
            for line in Table(*HEADERS).lines([row(body, datetime.now(UTC)) for body in found]):
                click.echo(line)
        else:
            where = f"in namespace {namespace!r}" if namespace else "in this cluster"
            click.echo(f"There is no AirflowEnvironment{_of_tenant(selection)} {where}.", err=True)


def row(body: Object, now: datetime) -> list[Cell]:
    """One environment in the table."""
    ready = conditions_of(body).get(ConditionType.READY, {})
    known = _status(body)
    return [
        body["metadata"].get("namespace", ""),
        body["metadata"]["name"],
        (ready.get("status", "Unknown"), _colour(body)),
        (ready.get("reason", "<none>"), _colour(body)),
        known.get("version") or "<none>",
        known.get("tenant") or "<none>",
        body.get("spec", {}).get("className") or "<none>",
        age(body["metadata"].get("creationTimestamp"), now),
    ]


def page(body: Object, now: datetime, context: str | None = None) -> Iterator[str]:
    """All that is known of one environment."""
    metadata, spec, known = body["metadata"], body.get("spec", {}), _status(body)
    database = known.get("database") or {}
    ready = conditions_of(body).get(ConditionType.READY, {})
    admin = known.get("adminSecret")
    facts = {
        "Name": metadata["name"],
        "Namespace": metadata.get("namespace"),
        "Ready": f"{ready.get('status', 'Unknown')} ({_reason(body)})",
        "Version": known.get("version"),
        "Image": known.get("image"),
        "Tenant": known.get("tenant"),
        "Class": spec.get("className"),
        "Stage": spec.get("stage"),
        "Size": known.get("size"),
        "Executor": known.get("executor"),
        "Database": ", ".join(filter(None, (database.get(field) for field in ("mode", "host", "name")))),
        "URL": known.get("url"),
        "Objects": known.get("objects"),
        "Age": age(metadata.get("creationTimestamp"), now),
        "Login": f"Secret {admin}" if admin else None,
    }
    for name, value in facts.items():
        if value not in {None, ""}:
            text = printable(str(value))
            yield f"{name + ':':<12}{tinted(text, _colour(body)) if name == 'Ready' else text}"
    if admin:
        yield f"{'':<12}{printable(_read_secret(metadata['namespace'], admin, context))}"
    conditions = conditions_of(body)
    if not conditions:
        return
    yield ""
    order = [kind for kind in _ORDER if kind in conditions]
    rows = [
        (kind, c.get("status", ""), age(c.get("lastTransitionTime"), now), c.get("reason", ""), c.get("message", ""))
        for kind in [*order, *sorted(conditions.keys() - {*order})]
        for c in [conditions[kind]]
    ]
    yield from Table("CONDITION", "STATUS", "AGE", "REASON", "MESSAGE").lines(rows)


def _read_secret(namespace: str, secret: str, context: str | None) -> str:
    """The command that shows the administrator's login."""
    template = '{{.data.username | base64decode}} {{.data.password | base64decode}}{{"\\n"}}'
    which = f" --context {quote(context)}" if context else ""
    return f"kubectl{which} -n {quote(namespace)} get secret {quote(secret)} -o go-template={quote(template)}"


async def _follow(fetch: Fetch, every: float, output: str) -> None:
    """A row, or a line of JSON, for each environment now and whenever it changes."""
    table, before = Table(*HEADERS), dict[tuple[str, str], Object]()
    async for found in _looks(fetch, every):
        now = datetime.now(UTC)
        there = {_key(body): body for body in found}
        changed = [body for key, body in there.items() if key not in before or _news(body) != _news(before[key])]
        gone = [body for key, body in before.items() if key not in there]
        before = there
        if output == "json":
            for body in changed:
                click.echo(json.dumps(tidy(body), ensure_ascii=False))
            continue
        rows = [row(body, now) for body in changed]
        rows += [[*row(body, now)[:2], ("False", "red"), ("Deleted", "red"), *row(body, now)[4:]] for body in gone]
        if rows:
            for line in table.lines(rows):
                click.echo(line)


async def _until_ready(fetch: Fetch, every: float, timeout: float) -> list[Object]:  # noqa: ASYNC109 - the user's
    """The environments as soon as all are Ready, as of what their specs say now. Progress goes to stderr."""
    started, said, waiting = monotonic(), dict[tuple[str, str], str](), "the API server"
    try:
        async with asyncio.timeout(timeout):
            async for found in _looks(fetch, every, patient=False):
                if not found:
                    raise Failure("there is no such AirflowEnvironment to wait for")
                for body in found:
                    text = _progress(body)
                    if said.get(_key(body)) != text:
                        said[_key(body)] = text
                        line = f"{monotonic() - started:5.0f}s  {'/'.join(_key(body))}: {printable(text)}"
                        click.echo(tinted(line, _colour(body)), err=True)
                unready = [body for body in found if not _is_ready(body)]
                if not unready:
                    return found
                waiting = "; ".join(f"{'/'.join(_key(body))}: {_reason(body)}" for body in unready[:5])
    except TimeoutError:
        raise Failure(f"not Ready after {timeout:g} s: {waiting}") from None
    raise AssertionError  # pragma: no cover - looks never end


async def _looks(fetch: Fetch, every: float, *, patient: bool = True) -> AsyncIterator[list[Object]]:
    """What is there, again and again. An API server that is away for a while is waited for; what else is wrong is not.

    `patient`: an environment that is not there (any more) is nothing wrong, once one has been there.
    """
    seen, silent = False, False
    while True:
        try:
            found = await fetch()
        except ApiError as error:
            if not error.transient:
                raise
            if not silent:
                click.echo(printable(f"{error.message}; trying again"), err=True)
            silent = True
        except Failure:
            if not (patient and seen):
                raise
            yield []
        else:
            seen, silent = True, False
            yield found
        await asyncio.sleep(every)


def _progress(body: Object) -> str:
    conditions = conditions_of(body)
    done = sum(conditions.get(kind, {}).get("status") == "True" for kind in PHASES)
    return "Ready" if _is_ready(body) else f"{done} of {len(PHASES)} phases done, {_reason(body)}"


def _reason(body: Object) -> str:
    """Why an environment is as it is: reason and message of Ready, or what keeps them from meaning anything."""
    ready = conditions_of(body).get(ConditionType.READY)
    if ready is None:
        return "the operator has not looked at it yet; does it run?"
    text = ": ".join(filter(None, (ready.get("reason"), ready.get("message"))))
    return f"{text}; {_behind(body)}" if _behind(body) else text


def _behind(body: Object) -> str:
    """What to say when the status speaks of an older spec than the one that is there; else ""."""
    wanted, seen = body["metadata"].get("generation", 0), _status(body).get("observedGeneration", -1)
    return "" if seen >= wanted else "the operator has not seen the last change yet"


def _is_ready(body: Object) -> bool:
    return is_true(body, ConditionType.READY) and not _behind(body)


def _colour(body: Object) -> str:
    if _is_ready(body):
        return "green"
    return "red" if ConditionType.STALLED in conditions_of(body) else "yellow"


def _status(body: Object) -> Mapping[str, Any]:
    return body.get("status") or {}


def _key(body: Object) -> tuple[str, str]:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _news(body: Object) -> Sequence[Any]:
    """What of an environment makes a new row."""
    return row(body, datetime.min.replace(tzinfo=UTC))


def _of_tenant(selection: Selection) -> str:
    return f" of tenant {selection.tenant!r}" if selection.tenant else ""
