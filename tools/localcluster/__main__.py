"""Command line of the local cluster: `PYTHONPATH=tools python -m localcluster`."""

import json
import time
from pathlib import Path

import click

from localcluster import control_plane, storage
from localcluster.binaries import MODULES, tool
from localcluster.cluster import Cluster
from localcluster.instance import Instance, Options, instance_names
from localcluster.workspace import LocalClusterError, Progress

name_option = click.option("--name", default="demo", show_default=True, help="Which instance.")


def _progress() -> Progress:
    started = time.monotonic()

    def report(message: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.1f} s] {message}", err=True)

    return report


class _Group(click.Group):
    """Shows our own errors as one sentence."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LocalClusterError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A real Kubernetes cluster on this machine, built from source."""


@cli.command()
@click.argument("program", required=False)
def build(program: str | None) -> None:
    """Build all programs, or the one called PROGRAM, and print where they are."""
    report = _progress()
    names = [program] if program else [name for module in MODULES for name in module.programs]
    for name in names:
        click.echo(tool(name, report))


@cli.command()
@name_option
@click.option("--control-plane", "only_control_plane", is_flag=True, help="Only the control plane, without a node.")
@click.option("--bare", is_flag=True, help="With --control-plane: only etcd and the API server.")
@click.option("--kwok-nodes", type=click.IntRange(0, 100), default=0, help="With --control-plane: simulated nodes.")
def up(name: str, only_control_plane: bool, bare: bool, kwok_nodes: int) -> None:
    """Start an instance, or repair it; harmless if it runs."""
    options = Options("control-plane" if only_control_plane else "node", bare, kwok_nodes)
    Cluster(name, options, _progress()).up()


@cli.command()
@name_option
def down(name: str) -> None:
    """Remove an instance and all that belongs to it."""
    Cluster(name, progress=_progress()).down()


@cli.command()
@click.option("--name", help="Which instance; all of them by default.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def status(name: str | None, output: str) -> None:
    """Show instances and their processes."""
    found = [Cluster(each).status() for each in ([name] if name else instance_names())]
    if output == "json":
        click.echo(json.dumps([each.document() for each in found], indent=2))
        return
    for each in found:
        click.echo(f"{each.name}: {each.state} {each.kind} {each.server}".rstrip())
        for process, alive in (each.processes or {}).items():
            click.echo(f"  {process}: {'running' if alive else 'ended'}")


@cli.command("load-image")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@name_option
@click.option("--tag", help="What to call the image instead of what the archive says.")
def load_image(archive: Path, name: str, tag: str | None) -> None:
    """Load the image in ARCHIVE (docker or OCI tar) into an instance's node."""
    for loaded in Cluster(name).load_image(archive, tag):
        click.echo(loaded)


@cli.command(hidden=True)
@name_option
def provision(name: str) -> None:
    """Provide persistent volumes; started by `up`, and runs as long as the instance."""
    instance = Instance.load(name)
    if instance is None:
        raise LocalClusterError(f"there is no instance {name!r}")
    storage.run(control_plane.api_of(instance), instance.folder / "volumes")


@cli.command()
@name_option
def kubeconfig(name: str) -> None:
    """Print the path of an instance's kubeconfig."""
    cluster = Cluster(name)
    if not cluster.kubeconfig.exists():
        raise LocalClusterError(f"there is no instance {name!r}; start it with `up --name {name}`")
    click.echo(cluster.kubeconfig)


if __name__ == "__main__":
    cli(prog_name="localcluster")
