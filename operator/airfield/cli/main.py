"""The commands and their options.

What a command needs is imported when it runs: `airfield --help` and the completion of a shell must not wait for it.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """Seconds, written as kubectl does: `90`, `90s`, `10m`, `1h30m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read `value`; a usage error if it is not a duration."""
        if isinstance(value, int | float):
            return float(value)
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?|([0-9]{1,9}[smh])+", value):
            self.fail(f"{value!r} is not a duration such as 90s, 10m or 1h30m", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)([smh]?)", value))


class Month(click.ParamType[str]):
    """A month, as `2026-11`."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read `value`; a usage error if it is not a month."""
        if not re.fullmatch(r"[1-9][0-9]{3}-(0[1-9]|1[0-2])", str(value)):
            self.fail(f"{value!r} is not a month such as 2026-11", param, ctx)
        return str(value)


class Group(click.Group):
    """Knows that it may have been started by kubectl."""

    def make_context(self, info_name: str | None, *args: Any, **extra: Any) -> click.Context:
        """Speak of the command as the user typed it."""
        by_kubectl = Path(sys.argv[0]).stem == "kubectl-airfield"
        return super().make_context("kubectl airfield" if by_kubectl else info_name, *args, **extra)


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Shell completion: eval "$(_AIRFIELD_COMPLETE=bash_source airfield)", or zsh_source, or fish_source.',
)
@click.version_option(package_name="airfield", message="%(version)s")
def cli() -> None:
    """Preview, explain and watch Airflow environments."""


def source_options(command: F) -> F:
    """The options that say which environments are meant, and where their classes and tenants come from."""
    for option in (
        click.option("--context", metavar="NAME", help="Context of the kubeconfig; implies --cluster."),
        click.option("--cluster", is_flag=True, help="Take classes and tenants that no file holds from the cluster."),
        click.option("-n", "--namespace", metavar="NS", help="Namespace of environments that name none."),
        click.option("--name", metavar="ENV", help="Only the environment of this name."),
        click.option(
            "-f",
            "--filename",
            "files",
            metavar="FILE",
            multiple=True,
            help="YAML or JSON with environments, their class and their tenant: a file, a folder, or - for stdin.",
        ),
    ):
        command = option(command)
    return command


def render_options(command: F) -> F:
    """The options that say what to render with."""
    for option in (
        click.option("--kube-version", metavar="VERSION", help="Kubernetes to render for: 1.36.3, or the cluster's."),
        click.option("--chart", type=click.Path(path_type=Path), metavar="DIR", help="Chart of an environment."),
        click.option("--helm", metavar="PATH", help="Helm 4; AIRFIELD_HELM or the one on PATH by default."),
    ):
        command = option(command)
    return command


@cli.command()
@source_options
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@render_options
def render(
    *,
    files: tuple[str, ...],
    name: str | None,
    namespace: str | None,
    cluster: bool,
    context: str | None,
    output: str,
    helm: str | None,
    chart: Path | None,
    kube_version: str | None,
) -> None:
    """Show the objects that environments in files would get.

    This is what the operator itself would render and admit; nothing is created and, without --cluster, nothing is asked
    of any cluster.
    """
    from airfield.cli.render import render as run  # noqa: PLC0415 - see above
    from airfield.cli.sources import Source, Tools  # noqa: PLC0415

    if not files:
        raise click.UsageError("Which files? Give them with -f.")
    source = Source(files, name, namespace, cluster=cluster or context is not None, context=context)
    _run(run(source, Tools(helm, chart, kube_version), output=output))


@cli.command()
@click.argument("words", metavar="[NAME] [FIELD-PREFIX]", nargs=-1)
@source_options
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@render_options
def explain(
    *,
    words: tuple[str, ...],
    files: tuple[str, ...],
    name: str | None,
    namespace: str | None,
    cluster: bool,
    context: str | None,
    output: str,
    helm: str | None,
    chart: Path | None,
    kube_version: str | None,
) -> None:
    """Show every effective field of an environment, and what set it.

    Without -f, NAME is an environment of the cluster. FIELD-PREFIX, as in components.scheduler, leaves out the rest.
    """
    from airfield.cli.explain import explain as run  # noqa: PLC0415
    from airfield.cli.sources import Source, Tools  # noqa: PLC0415

    rest = list(words)
    if not files and name is None:
        if not rest:
            raise click.UsageError("Which environment? Give its name, or a file with -f.")
        name = rest.pop(0)
    if len(rest) > 1:
        raise click.UsageError(f"Unexpected argument {rest[1]!r}: only one FIELD-PREFIX is possible.")
    source = Source(files, name, namespace, cluster=cluster or context is not None, context=context)
    _run(run(source, Tools(helm, chart, kube_version), prefix=rest[0] if rest else "", output=output))


@cli.command()
@click.argument("name", required=False)
@click.option("-n", "--namespace", metavar="NS", help="Namespace; that of the kubeconfig's context by default.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Environments of all namespaces.")
@click.option("--tenant", metavar="T", help="Only environments of this tenant, in all its namespaces.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Go on, with a row for every change, until interrupted.")
@click.option("--wait", is_flag=True, help="Return when Ready is True for all that are meant.")
@click.option(
    "--timeout", type=Duration(), default="10m", show_default=True, metavar="TIME", help="How long --wait waits."
)
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def status(
    *,
    name: str | None,
    namespace: str | None,
    all_namespaces: bool,
    tenant: str | None,
    output: str,
    watch: bool,
    wait: bool,
    timeout: float,
    context: str | None,
) -> None:
    """Show one environment on a page, or all in a table.

    Exit code 0 does not mean that they are well; with --wait it does.
    """
    from airfield.cli.status import Selection  # noqa: PLC0415
    from airfield.cli.status import status as run  # noqa: PLC0415

    if name and (all_namespaces or tenant):
        raise click.UsageError("NAME is one environment: it goes with neither --all-namespaces nor --tenant.")
    if namespace and all_namespaces:
        raise click.UsageError("Either --namespace or --all-namespaces, not both.")
    if watch and wait:
        raise click.UsageError("Either --watch or --wait, not both.")
    everywhere = all_namespaces or (tenant is not None and namespace is None)
    selection = Selection(name, namespace, tenant, everywhere=everywhere, context=context)
    _run(run(selection, output=output, watch=watch, wait=timeout if wait else None))


@cli.command()
@click.argument("name")
@click.option("-n", "--namespace", metavar="NS", help="Namespace; that of the kubeconfig's context by default.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def history(*, name: str, namespace: str | None, output: str, context: str | None) -> None:
    """Show what an environment was to be, who wanted it, and what became of it; the newest first."""
    from airfield.cli.history import history as run  # noqa: PLC0415 - see above

    _run(run(name, namespace=namespace, output=output, context=context))


@cli.command()
@click.argument("name", required=False)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def tenants(*, name: str | None, output: str, context: str | None) -> None:
    """Show one tenant on a page, or all in a table: what they have, and how much of their quota that is."""
    from airfield.cli.tenants import tenants as run  # noqa: PLC0415 - see above

    _run(run(name, output=output, context=context))


@cli.command()
@click.option("--month", type=Month(), metavar="MONTH", help="As 2026-11, in UTC; this month by default.")
@click.option("--tenant", metavar="T", help="Only what this tenant is charged.")
@click.option(
    "--by",
    type=click.Choice(["tenant", "cost-centre", "environment"]),
    default=["tenant"],
    multiple=True,
    show_default=True,
    help="What a line is for; give it twice for each cost centre of each tenant.",
)
@click.option("-o", "--output", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option(
    "-n", "--namespace", metavar="NS", default="airfield-system", show_default=True, help="The operator's namespace."
)
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def costs(
    *, month: str | None, tenant: str | None, by: tuple[str, ...], output: str, namespace: str, context: str | None
) -> None:
    """Show what environments requested, used and cost in a month.

    It is read from the ledger that the operator keeps, ConfigMaps in its namespace.
    """
    from datetime import UTC, datetime  # noqa: PLC0415

    from airfield.cli.costs import costs as run  # noqa: PLC0415

    chosen = month or datetime.now(UTC).strftime("%Y-%m")
    _run(run(chosen, tenant, by=by, output=output, namespace=namespace, context=context))


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # as a shell reports it; an interrupted --watch is no failure to speak of


if __name__ == "__main__":
    cli(prog_name="airfield")
