# Everything runs from .venv, made by `make setup`; `make PYTHON=python3.12 setup` chooses another interpreter.
.DEFAULT_GOAL := help
.PHONY: help setup run test lint check chaos described bench sbom clean
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# of `make test`: a third of it is waiting for brokers and processes, so more than two cores' worth are at it at once
WORKERS ?= 3

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv, install everything that is locked, fetch Kafka; a second time it does nothing
	@PYTHON=$(PYTHON) bash scripts/setup.sh

run: setup ## the whole thing on this machine: a real Kafka, a real (tiny) model, a sample of records
	@$(BIN)/genai-spine demo

test: setup ## all tests
	$(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

lint: setup ## lint, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint ## lint, and the tests that need nothing
	$(BIN)/pytest -m "fast and not dear" -n 2 -q

# one seed again: make chaos SEED=7 GROUND=files|kafka DATABASE=sqlite|postgres KILLS=40
MINUTES ?= 10
GROUND ?= files
DATABASE ?= postgres
KILLS ?= 40
chaos: setup ## kill workers for MINUTES (10), judge what is left, and print what was found
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED) --ground $(GROUND) --database $(DATABASE) --kills $(KILLS))

EXAMPLES ?= 100
described: setup ## all of the API against its description, and EXAMPLES (100) bodies made up for each operation
	@$(BIN)/python -m tests.sdks --examples $(EXAMPLES)

bench: setup ## measure, and print the tables of docs/performance.md
	$(BIN)/python -m bench

sbom: setup ## what is shipped, as CycloneDX, into dist/sbom.cdx.json
	$(BIN)/python -m scripts.sbom dist/sbom.cdx.json

clean: ## remove what was made here; the data directory and the user's cache stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist bench/out
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
