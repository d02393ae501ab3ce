# Each target prepares what it needs, on a fresh machine too. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
export PYTHONPATH := operator:tools:tests
# Shared by all clones on a machine, like everything else that is made; Hypothesis keeps examples that failed there, too.
CACHE := $(or $(AIRFIELD_CACHE),$(HOME)/.cache/airfield)
export MYPY_CACHE_DIR := $(CACHE)/mypy
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis
# Wherever somebody wants none: a hundred processes would each compile the same sources again.
export PYTHONDONTWRITEBYTECODE :=
FAST := tests/unit tests/chart --ignore tests/chart/test_apiserver.py
WORKERS ?= 3

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Prepare .venv from uv.lock
	@tools/bootstrap.sh $(if $(AIRFIELD_PYTHON),'$(AIRFIELD_PYTHON)')

.PHONY: demo
demo: setup ## A cluster, the operator, an environment, and a DAG that succeeds (CLUSTER=current: on your cluster)
	@$(PYTHON) -m demo up

.PHONY: demo-down
demo-down: setup ## Remove everything that `make demo` made
	@$(PYTHON) -m demo down

.PHONY: test
test: lint ## All tests: unit, property, chart, API server, end to end on a real node
	@tools/test.sh

.PHONY: test-long
test-long: setup ## The long campaigns: a crash at every write, every property mutated, long random stories (hours)
	$(PYTHON) -m localcluster build
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile -m "long and not node" tests
	$(MAKE) test-reliability

.PHONY: test-reliability
test-reliability: setup ## Faults on a real node, each in the middle of something; writes docs/reliability.md
	$(PYTHON) -m imagebuild
	$(PYTHON) -m pytest -m "long and node" tests/reliability

.PHONY: test-fast
test-fast: setup ## Only the tests that need no cluster
	$(PYTHON) -m pytest -n $(WORKERS) $(FAST)

.PHONY: lint
lint: setup ## Lint, types, import contracts, generated files
	.venv/bin/ruff check operator tools tests examples charts images
	.venv/bin/ruff format --check operator tools tests examples charts images
	.venv/bin/mypy operator tools tests charts/airflow/files images/airflow
	.venv/bin/lint-imports
	$(PYTHON) -m airfield.api.generate --check
	$(PYTHON) -m chartdocs --check
	$(PYTHON) -m metricsdocs --check

.PHONY: generate
generate: setup ## Write crds/ and docs/reference.md from the models, the operator chart's table of values, docs/metrics.md
	$(PYTHON) -m airfield.api.generate
	$(PYTHON) -m chartdocs
	$(PYTHON) -m metricsdocs

.PHONY: bench
bench: setup ## Measure fleets of 100 to 1,000 environments (an hour); writes docs/benchmarks.md
	$(PYTHON) -m bench fleet

.PHONY: bench-ready
bench-ready: setup ## Measure seconds from apply to serving; writes docs/benchmarks.md
	$(PYTHON) -m bench ready
