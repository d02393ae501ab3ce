"""What the images are made of: name, Containerfile, files, and the digest that all of it has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
IGNORED = {"__pycache__"}


@dataclass(frozen=True)
class Recipe:
    """An image before it is built. `sources`, relative to the repository, are what its digest covers."""

    name: str
    reference: str
    context: str
    sources: tuple[str, ...]
    needs_helm: bool = False

    @property
    def containerfile(self) -> Path:
        return REPOSITORY / "images" / self.name / "Containerfile"

    def files(self) -> Iterator[Path]:
        for source in self.sources:
            path = REPOSITORY / source
            if not path.exists():
                raise FileNotFoundError(f"image {self.name}: its source {source} is missing from the repository")
            found = [path] if path.is_file() else sorted(path.rglob("*"))
            yield from (file for file in found if file.is_file() and not IGNORED & set(file.parts))

    def digest(self, base: str, helm: Path | None) -> str:
        """Return a short content digest of everything that the image is built from."""
        digest = hashlib.sha256(f"{base}\0{self.reference}\0".encode())
        for file in self.files():
            mode = "x" if file.stat().st_mode & 0o100 else "-"
            digest.update(f"{file.relative_to(REPOSITORY)}\0{mode}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        if helm:
            digest.update(hashlib.sha256(helm.read_bytes()).digest())
        return digest.hexdigest()[:16]


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("postgres", "airfield/postgres:17", "images/postgres", ("images/postgres",)),
        Recipe("airflow", "airfield/airflow:3.3.2", "images/airflow", ("images/airflow",)),
        Recipe(
            "operator",
            "airfield/operator:0.2.0",
            ".",
            ("images/operator", "pyproject.toml", "uv.lock", "operator/airfield", "charts/airflow", "crds"),
            needs_helm=True,
        ),
    )
}
