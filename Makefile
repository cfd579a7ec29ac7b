# Needs GNU make and Python 3.11 or later; everything else it sets up in .venv.
# PYTHON=/path/to/python chooses the interpreter that .venv is made with; ARGS="--port 9000" goes to the
# command that is run.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
ARGS ?=

# For the build backend too, which `pip install -c` would leave free.
PIP := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip --quiet
NPM_READY := tests/npm/node_modules/.ready
ESLINT := tests/npm/node_modules/.bin/eslint --config tests/npm/eslint.config.mjs
# These wait for other processes, some with a deadline: one that a busy machine made late is tried once more, and the
# summary names it. Unit tests are never tried twice.
RERUN := --reruns 1
# By themselves: a browser leaves the others no processor to be in time with, and has to draw in time itself.
BROWSER_TESTS = $(BIN)/python -m pytest tests/browser --numprocesses 2 $(RERUN)
# By themselves too, and in one process: they share the images that the first of them builds.
CONTAINER_TESTS = scripts/system-packages containers || echo "the tests that need them say so"; \
  $(BIN)/python -m pytest tests/containers $(RERUN)
TREES := $(wildcard src scripts tests examples benchmarks)
SOURCES := $(shell find src -name '*.py' 2>/dev/null)

##@ Use it

.PHONY: run
run: $(VENV)/.ready-run $(VENV)/.ready-bytecode ## start the server on 127.0.0.1:8080
	@exec $(BIN)/tokenfall serve $(ARGS)

.PHONY: bench
bench: $(VENV)/.ready-dev $(VENV)/.ready-bytecode ## measure, into benchmarks/results
	@scripts/system-packages bench || echo "the rows that need them will say so"
	@exec $(BIN)/python -m benchmarks $(ARGS)

.PHONY: image
image: ## build the container images with docker, podman or buildah, into build/image
	@$(shell scripts/find-python) -m scripts.build_image $(ARGS)

.PHONY: base-images
base-images: ## stand-ins for the images' bases from Debian's packages, where no image registry is reached
	@scripts/system-packages image
	@scripts/base-images $(ARGS)

##@ Check it

.PHONY: test
test: $(VENV)/.ready-dev $(VENV)/.ready-bytecode $(NPM_READY) ## everything: what CI runs
	@scripts/system-packages test
	@$(MAKE) --no-print-directory lint
	$(BIN)/coverage run -m pytest tests/unit
	$(BIN)/coverage report
	@scripts/helm > /dev/null || echo "the tests that need it say so"
	$(BIN)/python -m pytest --ignore=tests/unit --ignore=tests/browser --ignore=tests/containers --numprocesses 4 $(RERUN)
	$(BROWSER_TESTS)
	$(CONTAINER_TESTS)

.PHONY: browser
browser: $(VENV)/.ready-dev $(VENV)/.ready-bytecode $(NPM_READY) ## the browser tests alone
	@scripts/system-packages test
	$(BROWSER_TESTS)

.PHONY: containers
containers: $(VENV)/.ready-dev ## build the images and run them for real, a part of `make test`
	@$(CONTAINER_TESTS)

.PHONY: torture
torture: $(VENV)/.ready-fuzz $(VENV)/.ready-bytecode $(NPM_READY) ## fuzz, then every fault with its full count, into docs/reliability.md
	@scripts/system-packages test
	$(BIN)/python -m tests.reliability.torture

.PHONY: check
check: lint ## the quick part, for every commit: static checks and unit tests
	$(BIN)/python -m pytest tests/unit tests/web --numprocesses 2

.PHONY: lint
lint: $(VENV)/.ready-dev $(NPM_READY) ## static checks only
	@scripts/system-packages lint
	$(BIN)/ruff check $(TREES)
	$(BIN)/ruff format --check $(TREES)
	$(BIN)/mypy $(TREES)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/size_guard.py src
	$(ESLINT) --max-warnings 0 src tests

.PHONY: format
format: $(VENV)/.ready-dev ## let ruff put the code in order
	$(BIN)/ruff check --fix $(TREES)
	$(BIN)/ruff format $(TREES)

.PHONY: docs
docs: $(VENV)/.ready-dev ## write the pages that are made from the code
	$(BIN)/python scripts/settings_docs.py

.PHONY: smoke
smoke: $(VENV)/.ready-venv ## build the wheel and try it in an environment of its own
	@rm -rf dist
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@PYTHON="$(PYTHON)" scripts/smoke dist/*.whl

##@ Set it up

# Stamps: each step runs again only when what it is made from has changed.

# An interpreter that has gone (an upgrade does that) takes its environment with it.
ifneq ($(shell test -x $(BIN)/python && echo there),there)
$(shell rm -f $(VENV)/.ready-*)
endif

$(VENV)/.ready-venv:
	@PYTHON="$(PYTHON)" scripts/venv $(VENV)
	@touch $@

$(VENV)/.ready-run: pyproject.toml constraints.txt | $(VENV)/.ready-venv
	@echo "installing what tokenfall needs into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(VENV)/.ready-venv
	@echo "installing what the tests and checks need into $(VENV)"
	@$(PIP) install --editable '.[redis,scripts,bench,test,lint]'
	@touch $@ $(VENV)/.ready-run

# Not a part of what the tests need: its wheels are for few platforms.
$(VENV)/.ready-fuzz: $(VENV)/.ready-dev
	@echo "installing the fuzzer into $(VENV)"
	@$(PIP) install --editable '.[fuzz]'
	@touch $@

# A server that has to compile its own modules starts slower and stays larger.
$(VENV)/.ready-bytecode: $(SOURCES) | $(VENV)/.ready-venv
	@$(BIN)/python -m compileall -q src
	@touch $@

# npm itself may be what is missing.
$(NPM_READY): tests/npm/package.json tests/npm/package-lock.json tests/npm/.npmrc
	@scripts/system-packages lint
	@echo "installing the npm clients and eslint into tests/npm/node_modules"
	@npm --prefix tests/npm ci --loglevel=error
	@touch $@

.PHONY: pin
pin: ## write constraints.txt anew, from the latest versions that fit
	@PYTHON="$(PYTHON)" scripts/pin

.PHONY: clean
clean: ## remove .venv, caches and builds
	rm -rf $(VENV) tests/npm/node_modules artifacts build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(TREES) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
