"""`python -m bench ready` and `python -m bench fleet`."""

import sys
import time
from dataclasses import asdict

import click

from bench import machine, report
from bench.fleet import report as fleet_report
from bench.fleet import run as fleet_run
from bench.fleet.trouble import Trouble
from bench.ready import measure
from bench.setup import DATABASE, VARIANTS, Bench
from demo.platform import PlatformError
from localcluster import LocalClusterError
from localcluster.cluster import current_kubeconfig

_started = time.monotonic()


def say(message: str) -> None:
    """A line of progress."""
    click.echo(click.style(f"[{time.monotonic() - _started:5.0f} s] ", fg="cyan") + message)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Benchmarks of Airfield on this machine."""


@cli.command()
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, envvar="ROUNDS", help="How often.")
@click.option("--only", multiple=True, type=click.Choice([variant.name for variant in VARIANTS]), help="Not all.")
@click.option("--cold", is_flag=True, help="Leave out the round that warms the caches; nothing is written then.")
@click.option("--keep", is_flag=True, help="Leave the cluster for another run.")
def ready(rounds: int, only: tuple[str, ...], cold: bool, keep: bool) -> None:
    """Seconds from `kubectl apply` to serving: plain manifests against Airfield."""
    if current_kubeconfig() is not None:
        raise click.UsageError("the benchmark makes a cluster of its own: unset CLUSTER")
    variants = [variant for variant in VARIANTS if not only or variant.name in only]
    load = machine.load()
    if report.busy(load):
        say(click.style(f"the load average is {load:.1f}: other work falsifies the figures", fg="yellow"))
    bench = Bench(say)
    try:
        bench.up(template=any(variant.name == "server" for variant in variants))
        facts = machine.describe() | machine.versions(bench.platform, DATABASE, "postgres-0")
        runs = measure(bench, variants, rounds, say, cold=cold)
    finally:
        if not keep:
            bench.down()
    section = report.render(runs, variants, facts, rounds=rounds, load=load)
    click.echo(f"\n{section}\n")
    if not only and not cold:
        found = {"facts": facts, "load": load, "rounds": rounds, "runs": [asdict(run) for run in runs.runs]}
        say(f"written to {report.write('ready', section, found)}")


@cli.command()
@click.option("--sizes", default="100,300,1000", show_default=True, envvar="SIZES", help="Environments, as N,N,N.")
@click.option("--slow", type=click.IntRange(0, 50), default=0, envvar="SLOW", help="So many of 100 have slow pods.")
@click.option(
    "--failing", type=click.IntRange(0, 50), default=0, envvar="FAILING", help="So many of 100 have pods that crash."
)
@click.option(
    "--huge", type=click.IntRange(0, 50), default=0, envvar="HUGE", help="So many of 100 are as large as can be."
)
@click.option("--dry", is_flag=True, help="Write nothing into docs/; so it is with slow, failing or huge ones, too.")
def fleet(sizes: str, slow: int, failing: int, huge: int, dry: bool) -> None:
    """A fleet of environments on simulated nodes: the floor, the operator, and other ways."""
    if current_kubeconfig() is not None:
        raise click.UsageError("the benchmark makes clusters of its own: unset CLUSTER")
    numbers = sorted(int(number) for number in sizes.split(","))
    load = machine.load()
    if report.busy(load):
        say(click.style(f"the load average is {load:.1f}: other work falsifies the figures", fg="yellow"))
    trouble = Trouble(slow, failing, huge)
    facts = machine.describe() | machine.programs()
    for found in fleet_run.measure(numbers, say, trouble):
        section = fleet_report.render(found, facts, load)
        click.echo(f"\n{section}\n")
        if not (dry or trouble):
            say(f"written to {report.write('fleet', section, {'facts': facts, 'load': load, **found.document()})}")


def main() -> int:
    """Run the command; what a person can mend is one sentence, not a traceback."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (LocalClusterError, PlatformError, TimeoutError, ValueError) as error:
        click.echo(f"bench: {error}", err=True)
        return 1
    except click.Abort:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
