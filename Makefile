# `make demo` and `make test` do all their own set-up. Every target is safe to repeat.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8080

# What every branch of is taken by a test: the medicine of staging, and what leads from FHIR to it and back.
empty :=
comma := ,
WHOLE := $(subst $(empty) $(empty),$(comma),$(strip services/staging/* services/note.py services/words.py shared/knowledge/* shared/oncology/* \
  $(patsubst %,shared/fhir/%.py,assertion bundle codes dates derived detected_issue findings outcome r4 reader resources \
  site_observation stage_observation subjects tnm_observation)))

.PHONY: demo test check coverage serve hapi bench format constraints clean
.PHONY: check-format check-lint check-types check-imports check-knowledge check-tests

# What Python compiles is kept, whatever the shell says: else a third of the time in which tests are collected goes into compiling them anew.
unexport PYTHONDONTWRITEBYTECODE

demo: $(VENV)/ready  ## the main job on an embedded FHIR server with synthetic patients
	@$(BIN)/figaro demo

test: $(VENV)/ready  ## everything, the HAPI FHIR server and PostgreSQL included
	@$(BIN)/python -m pytest -n 2 --dist loadfile --durations=15

check:  ## the fast lane: format, lint, types, imports, knowledge, unit and cases; two at a time, the tests last
	@$(MAKE) --no-print-directory --jobs=2 check-format check-lint check-types check-imports check-knowledge check-tests

check-format: $(VENV)/ready
	@$(BIN)/ruff format --check --quiet .

check-lint: $(VENV)/ready
	@$(BIN)/ruff check --quiet .

check-types: $(VENV)/ready
	@$(BIN)/mypy

check-imports: $(VENV)/ready
	@$(BIN)/lint-imports --no-logo > /dev/null || $(BIN)/lint-imports --no-logo

check-knowledge: $(VENV)/ready
	@$(BIN)/figaro knowledge check

check-tests: $(VENV)/ready
	@$(BIN)/python -m pytest -q -n auto -m "not server and not slow and not hapi and not postgres"

coverage: $(VENV)/ready  ## branch coverage by the tests that need no HAPI; refuses a branch of staging that no test takes
	@$(BIN)/python -m pytest -q -m "not slow and not hapi" --cov --cov-report=term
	@$(BIN)/python -m coverage report --fail-under=100 --include="$(WHOLE)"

serve: $(VENV)/ready  ## the three services in one process; settings from FIGARO_…
	@$(BIN)/figaro serve

hapi: $(VENV)/ready  ## a HAPI FHIR R4 server on loopback, in memory, or with DATA=folder on disk
	@$(BIN)/python -m tests.peers.hapi_server --port $(PORT) $(if $(DATA),--data $(DATA))

bench: $(VENV)/ready  ## ratios against peers, in one run
	@$(BIN)/python -m benchmarks.staging
	@$(BIN)/python -m benchmarks.recommend
	@$(BIN)/python -m benchmarks.hooks

format: $(VENV)/ready
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

constraints: $(VENV)/ready  ## resolves pyproject.toml anew: names, versions and hashes, no addresses
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --no-emit-package figaro-fhir --quiet --output-file constraints.txt

clean:
	@rm -rf $(VENV) build dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/peers/hapi/target

# Two steps: what others wrote, by hash; then ourselves, without dependencies.
$(VENV)/ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Figaro needs Python 3.11 or newer; found $$($(PYTHON) --version). Install it, or give PYTHON=…"; exit 1; }
	@echo "Installing into $(VENV) (once) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
