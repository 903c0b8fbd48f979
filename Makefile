# Every target prepares its own virtual environment from a bare Python (>= 3.11).
#
#   make demo                      watch a workflow die and carry on
#   make test                      the whole suite, on SQLite and on a Postgres it starts itself
#   make check                     format, lint, types, layers
#   make test PYTHON=python3.13    the suite on another interpreter, in an environment of its own
#   make test ARGS="-k recovery"   ARGS goes to the tool behind the target
#   make torture MINUTES=60 SEED=7 everything that may happen to it, for about an hour
#   make test WORKERS=0            in one process, for a debugger; 3 processes are the default

PYTHON ?= python3
ARGS ?=
WORKERS ?= 3

# An interpreter asked for by name gets its own environment, so that two versions never mix.
ifeq ($(origin PYTHON),file)
  VENV ?= .venv
else
  VENV ?= .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench mutants torture test-old-sqlalchemy test-all-pythons clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# The library alone is enough for the demo; developing it takes the tools too.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed ## a workflow dies by SIGKILL and carries on exactly once
	@$(BIN)/python examples/demo.py $(ARGS)

test: $(VENV)/.installed-dev ## the whole suite, on SQLite and Postgres
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/.installed-dev ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## rewrite the sources as `check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev ## compare speed with the original release, side by side
	$(BIN)/python benchmarks/run.py $(ARGS)

mutants: $(VENV)/.installed-dev ## plant bugs and expect the suite to find each one
	$(BIN)/python -m tests.mutants $(ARGS)

MINUTES ?= 30
SEED ?=

torture: $(VENV)/.installed-dev ## kill, cut, fill and freeze for MINUTES=30; SEED= repeats a run
	$(BIN)/python -m tests.torture --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

# The environment of `make test` has the newest SQLAlchemy; this one has the oldest that transactions are made for.
OLDEST_SQLALCHEMY := 2.0
SQLALCHEMY_VENV := $(VENV)-sqlalchemy-$(OLDEST_SQLALCHEMY)
TRANSACTIONS := tests/acceptance tests/crash tests/processes tests/userdata -k "transaction or datasource"

$(SQLALCHEMY_VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' \
	  'sqlalchemy[asyncio]==$(OLDEST_SQLALCHEMY).*'
	@touch $@

test-old-sqlalchemy: $(SQLALCHEMY_VENV)/.installed-dev ## transactions and datasources, with SQLAlchemy 2.0
	$(<D)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(TRANSACTIONS) $(ARGS)

test-all-pythons: ## the suite on every supported Python found here
	.ci/test-all-pythons $(ARGS)

clean: ## remove what the other targets made
	rm -rf .venv .venv-* .bench build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
