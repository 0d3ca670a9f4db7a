# Every target makes and reuses .venv by itself: nothing to activate, nothing to install first but Python 3.10+.

PYTHON ?= python3
ARGS   ?=
BIN    := .venv/bin
BENCH  ?= collector rules hot_path fold import_time integrations outcomes resources server
RUN    := $(BIN)/python -m
# what needs more than one environment holds: sessions of test-matrix have it
ELSEWHERE := backends frameworks scoring serving

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz test-matrix check bench telemetry rules dashboards picture clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.demo  ## watch a real model drift, live (ARGS="--headless --json --seconds 30")
	@$(RUN) mlobs demo $(ARGS)

test: .venv/.dev  ## run the tests of one environment (ARGS="-k drift"); those with servers, frameworks and backends are of test-matrix
	@$(RUN) pytest $(ELSEWHERE:%=--ignore=tests/%) $(ARGS)

fuzz: .venv/.dev  ## hand 100,000 new kinds of hostile input to observed functions (MLOBS_FUZZ=1000000 for more)
	@MLOBS_FUZZ=$${MLOBS_FUZZ:-100000} $(RUN) pytest tests/safety/test_fuzz.py $(ARGS)

test-matrix: .venv/.dev  ## run the tests on every supported Python, lowest and newest versions, the wheel, torch, and scikit-learn's own
	@$(RUN) nox $(ARGS)

check: .venv/.dev  ## lint, format, types, generated docs
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(BIN)/python docs/make_telemetry.py --check
	@$(BIN)/python prometheus/make_rules.py --check
	@$(BIN)/python -c "import sys; sys.version_info < (3, 11) and print('the dashboards are not checked: their SDK needs Python 3.11') or sys.exit(sys.version_info >= (3, 11))" \
		|| $(BIN)/python grafana/make_dashboards.py --check

bench: .venv/.dev  ## run the benchmarks, each printing a table (BENCH="fold" ARGS="--json")
	@set -e; for name in $(BENCH); do $(BIN)/python "benchmarks/$$name.py" $(ARGS); done

telemetry: .venv/.dev  ## rewrite docs/telemetry.md from src/mlobs/otel/names.py
	@$(BIN)/python docs/make_telemetry.py

rules: .venv/.dev  ## rewrite the rules and alerts of prometheus/
	@$(BIN)/python prometheus/make_rules.py

dashboards: .venv/.dev  ## rewrite the dashboards of grafana/
	@$(BIN)/python grafana/make_dashboards.py

picture: .venv/.dev  ## draw docs/demo.svg anew from a run of the demo
	@$(BIN)/python docs/make_demo_svg.py

clean:  ## remove the environments and what tools left
	rm -rf .venv .nox build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .cache
	find src integrations tests benchmarks examples docs -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# A stamp newer than pyproject.toml says that an environment is as it should be.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("mlobs needs Python 3.10 or newer. Try: make PYTHON=python3.12" if sys.version_info < (3, 10) else 0)'
	@echo "making .venv with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml | $(BIN)/python
	@echo "installing mlobs and what the demo needs (once)" >&2
	@$(RUN) pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(RUN) pip install --quiet --editable '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml | $(BIN)/python
	@echo "installing mlobs, its extras and the tools (once)" >&2
	@$(RUN) pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(RUN) pip install --quiet --editable '.[demo,pandas,profile,prometheus]' --group test --group backends --group check --group matrix
	@touch .venv/.demo $@
