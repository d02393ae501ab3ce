"""`python -m metricsdocs [--check]`: bring docs/metrics.md up to date."""

import argparse
import sys
from pathlib import Path

from metricsdocs.page import page

FILE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def main() -> int:
    """Write the page, or with --check fail if it would change."""
    parser = argparse.ArgumentParser(prog="python -m metricsdocs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    if not parser.parse_args().check:
        FILE.write_text(page(), encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != page():
        print(f"{FILE} is not up to date: run `make generate` and commit the result", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
