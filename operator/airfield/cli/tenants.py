"""`airfield tenants`: the teams, what they have, and how much of their quota that is."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from airfield.api.conditions import ConditionType, conditions_of, is_true
from airfield.cli import cluster
from airfield.cli.output import Cell, Failure, Table, age, as_list, printable, tidy, tinted, to_json

Object = dict[str, Any]

HEADERS: Final = ("NAME", "READY", "STATUS", "ENVIRONMENTS", "STAGES", "QUOTA", "AGE")


async def tenants(name: str | None, *, output: str, context: str | None) -> None:
    """Print one tenant on a page, or all in a table."""
    async with cluster.connect(context) as (kube, _):
        found = await cluster.tenants(kube)
    if name is not None:
        if name not in found:
            raise Failure(f"there is no AirflowTenant {name!r}")
        click.echo(to_json(tidy(found[name])) if output == "json" else "\n".join(page(found[name], datetime.now(UTC))))
    elif output == "json":
        click.echo(to_json(as_list([tidy(found[each]) for each in sorted(found)])))
    elif found:
        for line in Table(*HEADERS).lines([row(found[each], datetime.now(UTC)) for each in sorted(found)]):
            click.echo(line)
    else:
        click.echo("There is no AirflowTenant in this cluster.", err=True)


def row(body: Object, now: datetime) -> list[Cell]:
    """One tenant in the table."""
    ready, known = conditions_of(body).get(ConditionType.READY, {}), body.get("status") or {}
    return [
        body["metadata"]["name"],
        (ready.get("status", "Unknown"), _colour(body)),
        (ready.get("reason", "<none>"), _colour(body)),
        str(known.get("environments", "<none>")),
        known.get("stages") or "<none>",
        known.get("quotaUsed") or "<none>",
        age(body["metadata"].get("creationTimestamp"), now),
    ]


def page(body: Object, now: datetime) -> Iterator[str]:
    """All that is known of one tenant."""
    metadata, spec, known = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    ready = conditions_of(body).get(ConditionType.READY, {})
    reason = ": ".join(filter(None, (ready.get("reason"), ready.get("message"))))
    facts = {
        "Name": metadata["name"],
        "Team": spec.get("displayName"),
        "Ready": f"{ready.get('status', 'Unknown')} ({reason or 'the operator has not looked at it yet'})",
        "Namespaces": ", ".join(map(_place, spec.get("namespaces") or ())),
        "Classes": ", ".join(spec.get("allowedClasses") or ()),
        **{
            role.capitalize(): ", ".join(map(_person, spec.get(role) or ()))
            for role in ("owners", "editors", "viewers")
        },
        "Labels": ", ".join(f"{key}={value}" for key, value in sorted((spec.get("labels") or {}).items())),
        "Deletion": spec.get("deletionPolicy"),
        "Age": age(metadata.get("creationTimestamp"), now),
        "Environments": _environments(known),
    }
    for fact, value in facts.items():
        if value:
            text = printable(value)
            yield f"{fact + ':':<14}{tinted(text, _colour(body)) if fact == 'Ready' else text}"
    uses: Sequence[Mapping[str, str]] = known.get("quota") or ()
    if uses:
        yield ""
        yield from Table("QUOTA", "USED", "LIMIT").lines([(use["name"], use["used"], use["limit"]) for use in uses])


def _environments(known: Mapping[str, Any]) -> str:
    """How many, of which stages, and the names of the first."""
    count, names = known.get("environments", 0), known.get("inUseBy") or ()
    stages = f" ({known['stages']})" if known.get("stages") else ""
    rest = ", …" if count > len(names) else ""
    return f"{count}{stages}" + (f": {', '.join(names)}{rest}" if names else "")


def _place(namespace: Mapping[str, Any]) -> str:
    stages = namespace.get("stages")
    return f"{namespace.get('name', '')} ({', '.join(stages)})" if stages else str(namespace.get("name", ""))


def _person(subject: Mapping[str, Any]) -> str:
    name = "/".join(filter(None, (subject.get("namespace"), subject.get("name"))))
    return f"{subject.get('kind', '')} {name}"


def _colour(body: Object) -> str:
    return "green" if is_true(body, ConditionType.READY) else "red" if conditions_of(body) else "yellow"
