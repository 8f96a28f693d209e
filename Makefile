.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-bench
ARGS ?=
KILLS ?= 200
SEED ?= 1
EVENTS ?= 1000000
DAMAGES ?= 8

# Set-up speaks on standard error only: with --json in ARGS, standard output holds the JSON and nothing else.
say = printf '%s\n' $(1) >&2
sync = $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes
define install
	@$(call say,"Installing $(1)")
	@$(sync) --python $(BIN)/python $(1) >&2
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable . >&2
	@touch $@
endef

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: venv
venv: $(VENV)/.core ## Set up .venv with what the project needs to run (PYTHON= chooses the interpreter)

.PHONY: dev-venv
dev-venv: $(VENV)/.dev ## Add what tests, linters and docs need

.PHONY: bench-venv
bench-venv: $(PEERS)/.bench ## Set up .venv-bench with the peers that benchmarks measure against

.PHONY: demo
demo: venv ## Simulate a lender, train, stream and decide, live in the terminal
	@$(BIN)/streamgauge demo $(ARGS)

.PHONY: taiwan
taiwan: venv ## Score 30,000 real clients month by month (ARGS="--data DIR" says where their data is)
	@OMP_NUM_THREADS=1 $(BIN)/python examples/taiwan/run.py $(ARGS)

.PHONY: churn
churn: venv ## Learn who lets a simulated subscription lapse, and compare groups (ARGS="--customers 1000")
	@OMP_NUM_THREADS=1 $(BIN)/python examples/churn/run.py $(ARGS)

.PHONY: fraud
fraud: venv ## Learn which simulated card payments are fraud, and decide new ones (ARGS="--cards 1000")
	@OMP_NUM_THREADS=1 $(BIN)/python examples/fraud/run.py $(ARGS)

.PHONY: test
test: dev-venv ## Run every test, documents and doctests included
	@OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

.PHONY: lint
lint: dev-venv ## Check style, format, types and import contracts
	@failed=0; \
	$(BIN)/ruff check . || failed=1; \
	$(BIN)/ruff format --check . || failed=1; \
	$(BIN)/mypy || failed=1; \
	$(BIN)/basedpyright || failed=1; \
	$(BIN)/lint-imports --no-logo || failed=1; \
	exit $$failed

.PHONY: faults
faults: dev-venv ## Break it on purpose: kill -9, damage, a full disk, races (KILLS=, DAMAGES=)
	@OMP_NUM_THREADS=1 FAULTS_KILLS=$(KILLS) FAULTS_DAMAGES=$(DAMAGES) $(BIN)/pytest --numprocesses 2 --dist load \
		tests/faults $(ARGS)

.PHONY: soak
soak: dev-venv ## Run a million events in trouble, a tenth payments, through every host; compare all (SEED=, EVENTS=)
	@OMP_NUM_THREADS=1 SOAK_SEED=$(SEED) SOAK_EVENTS=$(EVENTS) $(BIN)/python -m tests.properties.soak $(ARGS)

.PHONY: gate
gate: dev-venv ## Compare every host with the oracle on thousands of random streams (make test does so on dozens)
	@OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist load --hypothesis-profile=soak tests/properties/test_gate.py \
		tests/properties/test_hosts.py tests/properties/test_role_hosts.py $(ARGS)

.PHONY: fuzz
fuzz: dev-venv ## Send thousands of broken bodies to the API and to the door of the log (make test sends hundreds)
	@OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist load --hypothesis-profile=fuzz \
		tests/app/api/test_fuzz.py tests/events/test_validate.py $(ARGS)

.PHONY: bench
bench: dev-venv ## Measure against peers and write the results (ARGS="--only p3"; bench-venv adds peers)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.run $(ARGS)

.PHONY: bench-quick
bench-quick: dev-venv ## Measure at small sizes, under 30 s each
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.run --quick $(ARGS)

.PHONY: bench-truth
bench-truth: dev-venv bench-venv ## Ask others for the same feature of the same stream in disorder, and count wrong values
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.truth.run --keep $(ARGS)

.PHONY: format
format: dev-venv ## Mend style and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: docs
docs: dev-venv ## Build the documentation into site/
	@$(BIN)/zensical build --clean --strict --config-file mkdocs.yml

.PHONY: reference
reference: dev-venv ## Write the reference pages that are made from the code anew
	@$(BIN)/python -m tests.docs.reference

.PHONY: requirements
requirements: ## Pin the requirements anew (UPGRADE=--upgrade takes newer versions)
	@cd requirements && for set in uv core dev bench; do \
		../$(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make requirements' $(UPGRADE) \
			--output-file $$set.txt $$([[ $$set == core ]] && echo ../pyproject.toml || echo $$set.in); \
	done

.PHONY: clean
clean: ## Remove caches and what the targets wrote; .venv stays
	@rm -rf .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .schemathesis build dist site
	@find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV)/.uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		$(call say,"$(PYTHON) is older than Python 3.11: name a newer one with make PYTHON=python3.12"); exit 1; }
	@$(call say,"Setting up $(VENV) with $$($(PYTHON) --version)")
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt >&2
	@touch $@

# What an earlier dev-venv added stays.
$(VENV)/.core: $(VENV)/.uv requirements/core.txt pyproject.toml
	$(call install,requirements/core.txt $(if $(wildcard $(VENV)/.dev),requirements/dev.txt))

$(VENV)/.dev: $(VENV)/.core requirements/dev.txt
	$(call install,requirements/core.txt requirements/dev.txt)

$(PEERS)/.bench: $(VENV)/.uv requirements/bench.txt
	@$(call say,"Installing requirements/bench.txt into $(PEERS)")
	@test -x $(PEERS)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(PEERS) >&2
	@$(sync) --python $(PEERS)/bin/python requirements/bench.txt >&2
	@touch $@
