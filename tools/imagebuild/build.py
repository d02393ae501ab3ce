"""Builds images into archives that containerd imports, keyed by the content they were built from."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from imagebuild.base import BASE_VERSION, ensure_base, install_tools
from imagebuild.buildah import Buildah
from imagebuild.images import RECIPES, REPOSITORY, Recipe
from localcluster import tool
from localcluster.workspace import Progress, cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEPT_ARCHIVES = 3


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Image:
    """A built image: its name in containerd, and the docker-archive that `ctr images import` reads."""

    name: str
    reference: str
    archive: Path


def build(names: Iterable[str] = (), progress: Progress = _to_stderr, *, helm: Path | None = None) -> list[Image]:
    """Build the named images (default: all), skipping those whose archive exists.

    `helm` is the binary that goes into the operator's image; default: the one built from tools/go/helm.
    Raises KeyError for an unknown name, LocalClusterError where an image cannot be built.
    """
    recipes = [RECIPES[name] for name in names] or list(RECIPES.values())
    folder = cache_folder() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return [_build(recipe, folder, progress, helm) for recipe in recipes]


def _build(recipe: Recipe, folder: Path, progress: Progress, helm: Path | None) -> Image:
    helm = (helm or tool("helm", progress)) if recipe.needs_helm else None
    archive = folder / f"{recipe.name}-{recipe.digest(BASE_VERSION, helm)}.tar"
    image = Image(recipe.name, f"docker.io/{recipe.reference}", archive)
    with FileLock(folder / ".lock"):
        if archive.exists():
            os.utime(archive)
            progress(f"{recipe.name}: unchanged, {archive}")
        else:
            progress(f"{recipe.name}: building {recipe.reference}")
            started = time.monotonic()
            _build_archive(recipe, image, progress, helm)
            progress(f"{recipe.name}: built in {time.monotonic() - started:.0f} s, {archive}")
        _prune(folder, recipe.name)
    return image


def _build_archive(recipe: Recipe, image: Image, progress: Progress, helm: Path | None) -> None:
    install_tools(progress)
    buildah = Buildah(cache_folder() / "buildah", lambda step: progress(f"{recipe.name}: {step}"))
    options = ["--build-arg", f"BASE={ensure_base(buildah)}"]
    if helm:
        options += ["--build-context", f"helm={helm.parent}"]
    ignore = recipe.containerfile.with_name("Containerfile.dockerignore")
    if ignore.exists():
        options += ["--ignorefile", str(ignore)]
    buildah.build(recipe.containerfile, REPOSITORY / recipe.context, image.reference, *options)
    partial = image.archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    buildah.run("push", "--quiet", image.reference, f"docker-archive:{partial}:{image.reference}")
    partial.rename(image.archive)


def _prune(folder: Path, name: str) -> None:
    archives = sorted(folder.glob(f"{name}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in archives[KEPT_ARCHIVES:]:
        old.unlink()
