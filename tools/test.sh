#!/bin/bash
# Everything that is built, once and before the tests, so that their time limits measure tests; then all tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
export PYTHONPATH=operator:tools:tests
"$python" -m localcluster build
"$python" -m localcluster build prometheus >/dev/null
"$python" -m imagebuild
# Whole files, those that take long first: so all workers end at about the same time. On a node much is waiting, so more
# of them keep two cores busy.
workers="${WORKERS:-2}"
share=(--dist loadfile --no-loadscope-reorder)
# Faults by themselves: their clusters end before those of the others begin, and do not slow them down.
"$python" -m pytest -n "$workers" "${share[@]}" tests/faults "$@"
"$python" -m pytest -n "$workers" "${share[@]}" tests/apiserver tests/localcluster tests/chart tests/observability tests/images \
    tests/unit "$@"
"$python" -m pytest -n "$((workers + 1))" "${share[@]}" tests/e2e "$@"
