# PYTHON may be any Python from 3.11 on. One that is named gets an environment of its own:
# `make test PYTHON=python3.13` uses .venv-3.13. Windows: use `python start.py`, without make.
PYTHON ?= python3
ifeq ($(PYTHON),python3)
VENV ?= .venv
else
VENV ?= .venv-$(patsubst python%,%,$(notdir $(PYTHON)))
endif
RUN := $(VENV)/bin/python
TESTS ?= tests

# Two workers a machine with two cores: each computes with one thread, or they fight for the cores.
PYTEST = OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist worksteal $(PYTEST_OPTIONS)

.DEFAULT_GOAL := help
.PHONY: help start install test-install pages test test-all check lessons format docs bench clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

start: ## install, and open the course
	@$(PYTHON) start.py --venv $(VENV)

install: ## install into .venv
	@$(PYTHON) start.py --install-only --venv $(VENV)

test-install: ## install what the tests and checks need as well
	@$(PYTHON) start.py --install-only --dev --venv $(VENV)

test: test-install ## run the tests, without the slow ones
	$(PYTEST) -m "not slow" $(TESTS)

test-all: test-install ## run all tests
	$(PYTEST) $(TESTS)

pages: test-install ## build the course's pages after a change in frontend/
	$(RUN) hatch_build.py

check: test-install ## style, types, the order of the rooms, docs/cli.md, the pages' types
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-logo
	$(RUN) -m nn2llm.cli.reference --check
	$(RUN) hatch_build.py --check

lessons: test-install ## grade and run all of every lesson, two at a time, and name what is wrong
	OMP_NUM_THREADS=1 $(RUN) -m nn2llm lesson lint --jobs 2

format: test-install ## sort imports and format the code
	$(RUN) -m ruff check --fix-only --select I
	$(RUN) -m ruff format

docs: test-install ## write docs/cli.md from each command's --help
	$(RUN) -m nn2llm.cli.reference

bench: test-install ## measure against the peers (a quarter of an hour; NANOGPT=checkout adds that one)
	$(RUN) -m benchmarks $(if $(NANOGPT),--nanogpt $(NANOGPT)) $(BENCH)

clean: ## remove caches and build outputs; .venv and runs stay
	rm -rf build dist frontend/node_modules .bench .whl .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
