"""The command: `python -m imagebuild [names…]`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from imagebuild.build import build
from imagebuild.images import RECIPES
from localcluster import LocalClusterError


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(RECIPES)))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print the result.")
@click.option(
    "--helm",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The helm binary for the operator's image. Default: the one that localcluster builds.",
)
def main(names: tuple[str, ...], output: str, helm: Path | None) -> None:
    """Build container images into archives under the cache folder; all of them if no NAMES are given."""
    try:
        images = build(names, helm=helm)
    except LocalClusterError as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        found = {image.name: {"reference": image.reference, "archive": str(image.archive)} for image in images}
        click.echo(json.dumps(found, indent=2))
    else:
        for image in images:
            click.echo(f"{image.reference}\t{image.archive}")


main()
