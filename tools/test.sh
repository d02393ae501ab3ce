#!/bin/bash
# Everything that is built, once and before the tests, so that their time limits measure tests; then all tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
export PYTHONPATH=operator:tools:tests
"$python" -m localcluster build
"$python" -m localcluster build prometheus >/dev/null
"$python" -m imagebuild
# Many small programs of Go share few processors: one thread each at a time wakes nobody, and memory is cheaper than
# collecting garbage. It saves an eighth of what tests at an API server take.
export GOMAXPROCS=1 GOGC=400
# Whole files, in the order of tests/conftest.py.
share=(--dist loadfile --no-loadscope-reorder)
# Faults by themselves: beside all others, a test whose limit is one of time failed in one of three runs.
"$python" -m pytest -n "${WORKERS:-3}" "${share[@]}" tests/faults
# One worker more, since somebody always waits: for the node's preparation, for Airflow, or to be alone with the operator.
"$python" -m pytest -n "${WORKERS:-4}" "${share[@]}" tests --ignore tests/faults
