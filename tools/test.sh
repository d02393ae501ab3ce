#!/bin/bash
# Everything that is built, once and before the tests, so that their time limits measure tests; then all tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
export PYTHONPATH=operator:tools:tests
# What runs in the background is deaf to Ctrl-C.
trap 'trap - TERM; kill 0' INT
# The smallest: it tells at once when there is no Go to build all others with.
"$python" -m localcluster build pause >/dev/null
# In a new clone nothing is compiled, and each worker would compile all of it at the same moment.
"$python" -m pytest --collect-only --quiet tests >/dev/null &
# Images beside programs: each leaves processors idle, while something is downloaded or linked.
{ "$python" -m imagebuild && "$python" -m localcluster build traefik; } >/dev/null &
beside=$!
built=0
{ "$python" -m localcluster build && "$python" -m localcluster build prometheus; } >/dev/null || built=$?
wait "$beside" || built=$?
wait
if [ "$built" != 0 ]; then
    echo "not everything could be built: see above" >&2
    exit 1
fi
trap - INT
# Many small programs of Go share few processors: one thread each at a time wakes nobody, and memory is cheaper than
# collecting garbage. It saves an eighth of what tests at an API server take.
export GOMAXPROCS=1 GOGC=400
# Whole files, in the order of tests/conftest.py; more workers than processors, since somebody always waits: for the
# node's preparation, for Airflow, or to be alone with the operator.
"$python" -m pytest -n "${WORKERS:-4}" --dist loadfile --no-loadscope-reorder tests
