"""`airfield history`: what an environment was to be, who wanted it, and what became of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click

from airfield.api.history import RevisionOutcome
from airfield.cli import cluster
from airfield.cli.output import Cell, Table, age, to_json

Object = dict[str, Any]

HEADERS: Final = ("REVISION", "AGE", "CAUSE", "BY", "VERSION", "DAGS", "OUTCOME", "AFTER", "WHY")
COLOURS: Final[Mapping[str, str]] = {
    RevisionOutcome.SUCCEEDED: "green",
    RevisionOutcome.IN_PROGRESS: "yellow",
    RevisionOutcome.STALLED: "red",
    RevisionOutcome.REFUSED: "red",
    RevisionOutcome.SUPERSEDED: "",
}


async def history(name: str, *, namespace: str | None, output: str, context: str | None) -> None:
    """Print the revisions of an environment, the newest first."""
    async with cluster.connect(context) as (kube, default):
        body = await cluster.environment(kube, namespace or default, name)
    found = (body.get("status") or {}).get("history") or []
    if output == "json":
        click.echo(to_json(found))
    elif found:
        for line in Table(*HEADERS).lines([row(revision, datetime.now(UTC)) for revision in found]):
            click.echo(line)
    else:
        click.echo("It has none: the operator has not acted on it yet. `airfield status` says why.", err=True)


def row(revision: Object, now: datetime) -> list[Cell]:
    """One revision in the table; AFTER is how long it took, or has been taking."""
    outcome, ended = str(revision.get("outcome")), revision.get("ended")
    until = datetime.fromisoformat(ended) if ended else now
    return [
        str(revision["revision"]),
        age(revision["started"], now),
        revision["cause"],
        revision.get("by") or "<unknown>",
        revision.get("version") or "<none>",
        ",".join(revision.get("dags") or ()) or "<none>",
        (outcome, COLOURS.get(outcome, "")),
        age(revision["started"], until),
        ": ".join(filter(None, (revision.get("reason"), revision.get("message")))),
    ]
