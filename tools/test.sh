#!/bin/bash
# Everything that is built, once and before the tests, so that their time limits measure tests; then all tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
export PYTHONPATH=operator:tools:tests
"$python" -m localcluster build
"$python" -m localcluster build prometheus >/dev/null
"$python" -m imagebuild
"$python" -m pytest -n "${WORKERS:-2}" --dist loadgroup --ignore tests/e2e "$@"
"$python" -m pytest tests/e2e "$@"
