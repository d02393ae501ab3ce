#!/bin/bash
# Everything that is built, once and before the tests, so that their time limits measure tests; then all tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
export PYTHONPATH=operator:tools:tests
"$python" -m localcluster build
"$python" -m localcluster build prometheus >/dev/null
"$python" -m imagebuild
# Whole files, those that take long first, so that all workers end at about the same time; one worker more than there are
# cores, since there is always somebody who waits for something.
share=(-n "${WORKERS:-3}" --dist loadfile --no-loadscope-reorder)
# Faults by themselves: their clusters end before those of the others begin, and do not slow them down.
"$python" -m pytest "${share[@]}" tests/faults
"$python" -m pytest "${share[@]}" tests --ignore tests/faults --ignore tests/e2e --ignore tests/images --ignore tests/unit
# What needs no cluster is there for the other workers while one prepares the node, and while one replaces the operator,
# which it must do alone.
"$python" -m pytest "${share[@]}" tests/e2e/test_1* tests/unit/[a-d]* tests/e2e/test_[!1]* tests/images tests/unit/[!a-d]*
