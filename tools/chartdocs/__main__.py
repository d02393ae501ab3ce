"""`python -m chartdocs [--check]`: bring the table in charts/airfield/README.md up to date."""

import argparse
import sys
from pathlib import Path

from chartdocs.table import filled

CHART = Path(__file__).resolve().parents[2] / "charts" / "airfield"


def main() -> int:
    """Write the README, or with --check fail if it would change."""
    parser = argparse.ArgumentParser(prog="python -m chartdocs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    check: bool = parser.parse_args().check
    readme = CHART / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = filled(before, (CHART / "values.yaml").read_text(encoding="utf-8"))
    if check:
        if before != after:
            print(f"{readme} is not up to date: run `make generate` and commit the result", file=sys.stderr)
        return int(before != after)
    readme.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
