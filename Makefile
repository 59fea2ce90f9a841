# Two commands on a machine with Rust and Python 3.11 or newer: `make demo` and `make test`.
# Everything is installed into .venv from hashed locks; nothing outside this folder is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= examples
# More words for pytest, e.g. `make test-python ARGS='-k sarif -n0'`.
ARGS ?=

# pyo3 asks an interpreter for its version; without this it would ask whichever is first on PATH.
export PYO3_PYTHON := $(abspath $(BIN)/python)

DEPENDENCIES := $(VENV)/.dependencies
NODE := $(VENV)/.node
NODE_MODULES := action/node_modules/.package-lock.json
PAGE_MODULES := report/node_modules/.package-lock.json
EXTENSION := $(VENV)/.extension
# Only these can change the extension or its metadata; Python files are used where they stand.
EXTENSION_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find rust -name '*.rs' -o -name Cargo.toml)

.PHONY: help setup demo run test test-rust test-python test-action test-page action page lint format bench docs lock distributions libraries hub wheel release clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(EXTENSION) ## Create .venv, install the locked tools and build the extension

demo: setup ## Check the example packages (or DEMO=path)
	@$(BIN)/explint check $(DEMO) --isolated --exit-zero

run: demo ## The same as demo

test: lint test-rust test-action test-page test-python ## Everything a change must pass

test-rust: $(DEPENDENCIES) ## Rust unit tests
	cargo test --locked --package explint-core

test-python: setup ## Python tests (ARGS='…' is handed to pytest)
	$(BIN)/python -m pytest -n auto $(ARGS)

test-action: $(NODE_MODULES) setup ## Tests of the GitHub Action, its types and its workflows
	cd action && PATH="$(abspath $(BIN)):$$PATH" npm run --silent check
	cd action && PATH="$(abspath $(BIN)):$$PATH" EXPLINT="$(abspath $(BIN))/explint" npm run --silent test
	$(BIN)/zizmor --offline --quiet --no-progress --pedantic action.yml post/action.yml docs/workflows/*.yml

action: $(NODE_MODULES) ## Bundle the action's sources into action/dist
	cd action && PATH="$(abspath $(BIN)):$$PATH" npm run --silent build

test-page: $(PAGE_MODULES) ## Tests of the page of an audit, its types and its bundle
	cd report && PATH="$(abspath $(BIN)):$$PATH" npm run --silent check
	cd report && PATH="$(abspath $(BIN)):$$PATH" npm run --silent test

page: $(PAGE_MODULES) ## Bundle the page of an audit into python/explint/audit/page
	cd report && PATH="$(abspath $(BIN)):$$PATH" npm run --silent build

lint: setup ## Formatting, clippy, ruff and mypy
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(DEPENDENCIES) $(NODE_MODULES) ## Rewrite all code in the house style
	cargo fmt --all
	cd action && PATH="$(abspath $(BIN)):$$PATH" npm run --silent format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Print a table of speed and memory ratios (ARGS='…' is handed to benches/run.py)
	$(BIN)/python benches/run.py $(ARGS)

docs: setup ## Write the rule pages and JSON schemas from what they describe
	$(BIN)/python scripts/rule_pages.py
	$(BIN)/python -m explint.report.schema docs/schemas
	$(BIN)/explint profile schema > docs/schemas/profile.schema.json
	$(BIN)/explint config schema > docs/schemas/config.schema.json

lock: $(DEPENDENCIES) ## Resolve requirements/dev.txt and Cargo.lock anew
	$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	    --all-extras --quiet --output-file requirements/dev.txt pyproject.toml requirements/dev.in
	$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	    --quiet --output-file requirements/action.txt requirements/action.in
	$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	    --constraint requirements/dev.txt --quiet --output-file action/requirements.txt pyproject.toml
	cargo update

distributions: setup ## Look up anew which distributions need which others
	$(BIN)/python scripts/refresh_distributions.py

libraries: setup ## Read anew what the releases of libraries offer (ARGS='torch --wheels FOLDER')
	$(BIN)/python scripts/refresh_libraries.py $(ARGS)

hub: setup ## Look up anew which ids the hub has (ARGS='--hub ADDRESS --datasets-git FOLDER')
	$(BIN)/python scripts/refresh_hub.py $(ARGS)

wheel: $(DEPENDENCIES) ## Build a wheel into dist/
	$(BIN)/maturin build --release --locked --out dist --interpreter $(BIN)/python

release: $(DEPENDENCIES) ## Write the sums of the wheels in dist/ into action/release.json
	$(BIN)/python scripts/release_hashes.py dist

clean: ## Remove everything that make creates
	cargo clean
	rm -rf $(VENV) action/node_modules report/node_modules dist benches/out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find python -name '_core*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "explint needs Python 3.11 or newer, but \`$(PYTHON)\` is not: run make with PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DEPENDENCIES): requirements/dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@touch $@

# GitHub runs the action on Node 24, which few machines have: it comes from the locked wheel.
$(NODE): requirements/action.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/action.txt
	@touch $@

# Not `npm ci`: it refuses a lock without the binaries of platforms that the resolving machine has not.
$(NODE_MODULES): $(NODE) action/package.json action/package-lock.json
	cd action && PATH="$(abspath $(BIN)):$$PATH" npm install --no-save --silent
	@touch $@

$(PAGE_MODULES): $(NODE) report/package.json report/package-lock.json
	cd report && PATH="$(abspath $(BIN)):$$PATH" npm install --no-save --silent
	@touch $@

$(EXTENSION): $(DEPENDENCIES) $(EXTENSION_SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked --quiet
	@touch $@
