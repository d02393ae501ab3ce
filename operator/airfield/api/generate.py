"""`python -m airfield.api.generate [--check]`, in the repository: write crds/ and docs/reference.md from the models."""

import argparse
import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from airfield.api.crd import KINDS, definition
from airfield.api.reference import reference

_HEADER: Final = "# Generated from the resources' models by `make generate`; do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Without anchors: what two places share is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the interface of PyYAML
        return True


def generated() -> Mapping[Path, str]:
    """The generated files: path in the repository → content. The same models give the same bytes."""
    definitions = [definition(kind) for kind in KINDS]
    files = {
        Path("crds", f"{crd['spec']['group']}_{crd['spec']['names']['plural']}.yaml"): _HEADER
        + yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for crd in definitions
    }
    return {**files, Path("docs/reference.md"): reference(definitions)}


def difference(root: Path, files: Mapping[Path, str]) -> str:
    """A unified diff from what is below `root` to `files`; empty if it is the same."""
    return "".join(
        line
        for path, content in files.items()
        for line in difflib.unified_diff(
            (root / path).read_text().splitlines(keepends=True) if (root / path).exists() else [],
            content.splitlines(keepends=True),
            fromfile=f"a/{path}",
            tofile=f"b/{path}",
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m airfield.api.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail with a diff if something would change"
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: the current directory)")
    arguments = parser.parse_args()
    files = generated()
    if arguments.check:
        diff = difference(arguments.root, files)
        sys.stdout.write(diff)
        if diff:
            sys.stderr.write("generated files are not up to date: run `make generate` and commit the result\n")
        return 1 if diff else 0
    for path, content in files.items():
        target = arguments.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
