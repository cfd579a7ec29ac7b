# Needs GNU make and Python 3.11 or later; everything else is installed into .venv.
# PYTHON=/path/to/python selects the interpreter of a new .venv; ARGS="--port 9000" passes arguments to the command.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
ARGS ?=

# Without it each process would compile all modules, and rewrite the assertions of the tests, which takes 10 s.
unexport PYTHONDONTWRITEBYTECODE

# An environment variable, because `pip install -c` does not constrain the build backend.
PIP := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip --quiet
# uv installs in seconds where pip takes a minute; both apply constraints.txt to the build backend too.
UV := $(shell command -v uv 2> /dev/null)
INSTALL := $(if $(UV),UV_CONSTRAINT=constraints.txt UV_BUILD_CONSTRAINT=constraints.txt $(UV) pip install --quiet --python $(BIN)/python,$(PIP) install)
NPM_READY := tests/npm/node_modules/.ready
ESLINT := tests/npm/node_modules/.bin/eslint --config tests/npm/eslint.config.mjs
# For tests that wait for other processes, some with a deadline: a test that fails on a busy machine is run once more, and
# the summary lists it. Unit tests are never repeated.
RERUN := --reruns 1
# A process takes tests from another when it has none left, so that no long test is waited for at the end.
SHARED := --dist worksteal
# Importing it takes half a second in each process; only tests/openapi needs it.
NO_SCHEMATHESIS := -p no:schemathesis
# Tests that use the processor most of the time, or import large libraries, which take seconds in each process.
LIBRARY_TESTS := tests/web tests/testing tests/packaging tests/sdk tests/npm tests/static tests/deploy \
  tests/benchmarks tests/reliability/test_input.py examples
# Run separately: a browser needs so much processor time that other tests would miss their deadlines, and vice versa.
BROWSER_TESTS = $(BIN)/python -m pytest tests/browser $(NO_SCHEMATHESIS) --numprocesses 3 $(SHARED) $(RERUN)
# In one process, because they share the images that the first test builds.
CONTAINER_TESTS = $(BIN)/python -m pytest tests/containers $(NO_SCHEMATHESIS) $(RERUN)
CONTAINER_PACKAGES = scripts/system-packages containers || echo "tests that need the missing packages are skipped"
# Unit tests run in two processes, each of which collects only its own part. With pytest-xdist each of its processes
# would collect all of them, and another would distribute them.
# The first part has what covers the pure modules.
COVERING_TESTS := $(addprefix tests/unit/,limits metrics recording simulator slicing wire) $(wildcard tests/unit/test_*.py)
COVERING_UNITS := $(COVERING_TESTS) $(NO_SCHEMATHESIS) -p no:xdist
OTHER_UNITS := tests/unit $(addprefix --ignore=,$(COVERING_TESTS)) $(NO_SCHEMATHESIS) -p no:xdist
QUICK := -m "not slow" --hypothesis-profile check
TREES := $(wildcard src scripts tests examples benchmarks)
SOURCES := $(shell find src -name '*.py' 2>/dev/null)

##@ Run

.PHONY: run
run: $(VENV)/.ready-run $(VENV)/.ready-bytecode ## start the server on 127.0.0.1:8080
	@exec $(BIN)/tokenfall serve $(ARGS)

.PHONY: bench
bench: $(VENV)/.ready-dev $(VENV)/.ready-bytecode ## run the benchmarks; write benchmarks/results and docs/performance.md
	@scripts/system-packages bench || echo "rows that need the missing packages are not measured"
	@exec $(BIN)/python -m benchmarks $(ARGS)

.PHONY: image
image: ## build the container images with docker, podman or buildah, into build/image
	@$(shell scripts/find-python) -m scripts.build_image $(ARGS)

.PHONY: base-images
base-images: ## build substitute base images from Debian packages, without an image registry
	@scripts/system-packages image
	@scripts/base-images $(ARGS)

##@ Check

.PHONY: test
test: $(VENV)/.ready-dev $(VENV)/.ready-bytecode $(NPM_READY) ## all checks and tests, as in CI
	@scripts/system-packages test
	@$(CONTAINER_PACKAGES)
	@scripts/helm > /dev/null || echo "tests that need helm are skipped"
	@$(MAKE) --no-print-directory --jobs --output-sync lint test-units
	@$(MAKE) --no-print-directory --jobs --output-sync test-servers test-libraries test-alone
	$(BROWSER_TESTS)

# Parts of `make test`. Those that wait run beside those that use the processor; each prints its output when it ends.
.PHONY: test-units test-covering-units test-other-units test-servers test-libraries test-alone
test-units: test-covering-units test-other-units

test-covering-units:
	$(BIN)/coverage run -m pytest $(COVERING_UNITS) -m "not slow"
	$(BIN)/coverage report

# Slow tests try what is covered with large or many inputs, which takes twice as long under coverage.
test-other-units:
	$(BIN)/python -m pytest $(OTHER_UNITS)
	$(BIN)/python -m pytest $(COVERING_UNITS) -m slow

test-servers:
	$(BIN)/python -m pytest tests $(addprefix --ignore=,tests/unit tests/browser tests/containers tests/openapi $(LIBRARY_TESTS)) \
	  $(NO_SCHEMATHESIS) --numprocesses 3 $(SHARED) $(RERUN)

test-libraries:
	$(BIN)/python -m pytest $(LIBRARY_TESTS) $(NO_SCHEMATHESIS) --numprocesses 2 $(SHARED) $(RERUN)

test-alone:
	$(CONTAINER_TESTS)
	$(BIN)/python -m pytest tests/openapi $(RERUN)

.PHONY: browser
browser: $(VENV)/.ready-dev $(VENV)/.ready-bytecode $(NPM_READY) ## only the browser tests
	@scripts/system-packages test
	$(BROWSER_TESTS)

.PHONY: containers
containers: $(VENV)/.ready-dev ## only the container tests of `make test`: build the images and run them
	@$(CONTAINER_PACKAGES)
	$(CONTAINER_TESTS)

.PHONY: torture
torture: $(VENV)/.ready-fuzz $(VENV)/.ready-bytecode $(NPM_READY) ## fuzzing, then all fault injection tests with full counts; update docs/reliability.md
	@scripts/system-packages test
	@scripts/system-packages torture
	$(BIN)/python -m tests.reliability.torture

# Without bytecode: a patched file may have the size, and within a second the time, of the file before.
.PHONY: mutants
mutants: $(VENV)/.ready-dev $(VENV)/.ready-bytecode $(NPM_READY) ## mutation tests: apply each patch of tests/mutants and check that its test fails
	@scripts/system-packages test
	PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m tests.mutants $(ARGS)

.PHONY: check
check: $(VENV)/.ready-dev $(NPM_READY) ## the fast subset, for every commit: static checks and unit tests
	@scripts/system-packages lint
	@$(MAKE) --no-print-directory --jobs --output-sync lint check-tests

# Run in parallel with the static checks: many tests wait, so together they take less time.
.PHONY: check-tests check-covering-units check-other-tests
check-tests: check-covering-units check-other-tests

check-covering-units:
	$(BIN)/python -m pytest $(COVERING_UNITS) $(QUICK)

check-other-tests:
	$(BIN)/python -m pytest $(OTHER_UNITS) tests/web $(QUICK)

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
format: $(VENV)/.ready-dev ## format the code with ruff
	$(BIN)/ruff check --fix $(TREES)
	$(BIN)/ruff format $(TREES)

.PHONY: docs
docs: $(VENV)/.ready-dev ## update the generated documentation
	$(BIN)/python scripts/settings_docs.py

.PHONY: dist
dist: $(VENV)/.ready-venv ## build the wheel and the source distribution
	@rm -rf dist
	@$(PIP) install hatchling
	@$(BIN)/python -m hatchling build --directory dist

.PHONY: smoke
smoke: dist ## build the wheel and test it in a separate environment
	@PYTHON="$(PYTHON)" scripts/smoke dist/*.whl

##@ Set up

# Stamp files: each step runs again only when its prerequisites have changed.

# If the interpreter of .venv was removed, for example by an upgrade, rebuild .venv.
ifneq ($(shell test -x $(BIN)/python && echo there),there)
$(shell rm -f $(VENV)/.ready-*)
endif

$(VENV)/.ready-venv:
	@PYTHON="$(PYTHON)" scripts/venv $(VENV)
	@touch $@

$(VENV)/.ready-run: pyproject.toml constraints.txt | $(VENV)/.ready-venv
	@echo "installing tokenfall and its dependencies into $(VENV)"
	@$(INSTALL) --editable '.[scripts]' # for scenario files in YAML
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(VENV)/.ready-venv
	@echo "installing the dependencies of tests and checks into $(VENV)"
	@$(INSTALL) --editable '.[redis,scripts,bench,test,lint]'
	@touch $@ $(VENV)/.ready-run

# Installed separately, because the fuzzer has wheels for few platforms only.
$(VENV)/.ready-fuzz: $(VENV)/.ready-dev
	@echo "installing the fuzzer into $(VENV)"
	@$(INSTALL) --editable '.[fuzz]'
	@touch $@

# Without compiled bytecode the server starts more slowly and uses more memory.
$(VENV)/.ready-bytecode: $(SOURCES) | $(VENV)/.ready-venv
	@$(BIN)/python -m compileall -q src
	@touch $@

# npm itself may be missing.
$(NPM_READY): tests/npm/package.json tests/npm/package-lock.json tests/npm/.npmrc
	@scripts/system-packages lint
	@echo "installing the npm clients and eslint into tests/npm/node_modules"
	@npm --prefix tests/npm ci --loglevel=error
	@touch $@

.PHONY: pin
pin: ## update constraints.txt to the latest compatible versions
	@PYTHON="$(PYTHON)" scripts/pin

.PHONY: clean
clean: ## remove .venv, caches and builds
	rm -rf $(VENV) tests/npm/node_modules artifacts build dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(TREES) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
