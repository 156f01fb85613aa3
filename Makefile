# KotobaMichi: `make` alone prints this help.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# The linters of the deployment need other versions of what developers have.
LINT_VENV := .venv-deployment
# The newest Python from 3.11 on that is here; `make PYTHON=/path/to/python run` chooses another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
# Left-over settings of a person's shell that would slow every start or change what is tested.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONSTARTUP

PIP := PYTHONUNBUFFERED=1 $(BIN)/python -m pip --disable-pip-version-check --no-input
# pip's chatter as one line that counts, on a terminal; its errors as they are.
COUNTED := | awk '/^ *Downloading|^ *Using cached/ { n++; if (tty) { printf "\r\033[K  %d: %s", n, $$0 ~ /cached/ ? $$3 : $$2; fflush() } } \
	/^Installing collected/ { if (tty) { printf "\r\033[K  unpacking %d packages", n; fflush() } } END { if (tty) printf "\r\033[K" }' tty="$$(test -t 2 && echo 1)"
RING_unit := tests/unit
RING_db := tests/db
RING_api := tests/api
RING_michi := tests/michi
RING_containers := tests/containers

.PHONY: help
help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/app ## Start everything: PostgreSQL, migrations, vocabulary, the API on http://localhost:3000
	@exec $(BIN)/kotobamichi up

.PHONY: test
test: test-unit test-db test-michi test-api ## Run all tests that need no container engine

# Processes that share the tests of a ring, each with a PostgreSQL of its own; 0 runs them in one, as a debugger needs it.
PYTEST_WORKERS ?= auto
.PHONY: test-unit test-db test-michi test-api test-containers
test-unit: ## Run one ring: pure rules
test-db: ## Run one ring: schema and queries on PostgreSQL
test-michi: ## Run one ring: the migration engine on PostgreSQL
test-api: ## Run one ring: the API over HTTP
test-containers: ## Run one ring: images and compose, on a Docker engine
test-unit test-db test-michi test-api test-containers: test-%: $(VENV)/dev
	@echo "== $* =="
	@$(BIN)/python -m pytest $(RING_$*) $(if $(filter-out containers,$*),--numprocesses=$(PYTEST_WORKERS)) $(PYTEST_OPTIONS)

# Every run has its own random numbers, made of the seed and its number: `make chaos SEED=7 RUNS=500 RACES=30`.
RUNS ?= 500
RACES ?= 30
.PHONY: chaos
chaos: $(VENV)/dev ## Kill deploys at random moments, 500 times, and race 20 at once; SEED= RUNS=
	@$(BIN)/python -m tests.michi.chaos --runs $(RUNS) --races $(RACES) $(if $(SEED),--seed $(SEED))

# The app is killed under load; what was acknowledged must be in the database. And everything that is served is abused.
KILLS ?= 50
CASES ?= 2000
.PHONY: losses abuse
losses: $(VENV)/dev ## Kill the app under a load of submissions, 50 times; SEED= KILLS=
	@$(BIN)/python -m tests.api.losses --runs $(KILLS) $(if $(SEED),--seed $(SEED))
abuse: $(VENV)/dev ## Send whatever the OpenAPI document allows and forbids, 2,000 requests; SEED= CASES=
	@$(BIN)/python -m tests.api.abuse --cases $(CASES) $(if $(SEED),--seed $(SEED))

# Labels cannot be computed inside a Dockerfile, so what they say comes from the code here, and the build checks it.
IMAGE_TAG ?= dev
.PHONY: images
images: ## Build both container images, as kotobamichi:dev and kotobamichi-migration:dev
	@facts=$$(PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 $(PYTHON) scripts/image_facts.py src/kotobamichi/migrations); \
	revision=$$(git rev-parse --verify --quiet HEAD || echo unknown); \
	for fact in $$facts "REVISION=$$revision"; do set -- "$$@" --build-arg "$$fact"; done; \
	docker build "$$@" --tag "kotobamichi:$(IMAGE_TAG)" . && \
	docker build "$$@" --file Dockerfile.migration --tag "kotobamichi-migration:$(IMAGE_TAG)" .

.PHONY: test-arm64
test-arm64: ## Build both images for arm64 and try them, under emulation where need be (ten minutes)
	@scripts/test-arm64.sh

.PHONY: up down
up: ## Build and start the development stack in containers, in the background
	@docker compose up --build --detach --wait --wait-timeout 120 app
down: ## Stop the development stack; its data stays
	@docker compose down

.PHONY: bench
bench: $(VENV)/dev ## Measure speed against peers; BENCH="http start" for some of it
	@$(BIN)/python -m benchmarks.run $(BENCH)

# Without a database: what a table holds here says nothing of those it will be deployed to.
.PHONY: lint-migrations
lint-migrations: $(VENV)/dev ## Check what the migrations would lock and break
	@env -u DATABASE_URL -u DATABASE_URL_FILE -u MIGRATION_DATABASE_URL -u MIGRATION_DATABASE_URL_FILE $(BIN)/michi lint --all

.PHONY: verify
verify: $(VENV)/dev ## Prove that our migrations equal the models and can be taken back
	@$(BIN)/python scripts/with_postgresql.py $(BIN)/michi verify

.PHONY: reference
reference: $(VENV)/dev ## Write docs/reference/michi.md anew from the commands
	@$(BIN)/python scripts/michi_reference.py

.PHONY: lint
lint: lint-migrations $(VENV)/dev ## Check style, types, layers, scripts, migrations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/shellcheck $$(git ls-files '*.sh' .ci/run)
	@$(BIN)/python scripts/michi_reference.py --check

.PHONY: lint-deployment
lint-deployment: $(LINT_VENV)/deployment $(VENV)/dev ## Check Dockerfiles, Compose files, manifests, workflows
	@PATH="$(CURDIR)/$(LINT_VENV)/bin:$(CURDIR)/$(BIN):$$PATH" scripts/lint-deployment.sh

.PHONY: format
format: $(VENV)/dev ## Rewrite the code in the house's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: dev
dev: $(VENV)/dev ## Install what developers need

.PHONY: lock
lock: $(VENV)/dev ## Lock all requirements anew, with hashes
	@scripts/lock.sh

.PHONY: clean
clean: ## Remove the virtual environment and caches; the data in .kotobamichi stays
	@rm -rf $(VENV) $(LINT_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The stamp of each set of requirements: made again when its lock changes.
$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "KotobaMichi needs Python 3.11 or newer with venv (on Debian and Ubuntu: apt install python3 python3-venv)." >&2; exit 2; fi
	@echo "Creating the virtual environment with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/app: requirements/app.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the locked requirements (a minute the first time) ..."
	@$(PIP) install --progress-bar off --require-hashes --only-binary :all: -r requirements/app.txt -r requirements/build.txt $(COUNTED)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/app
	@echo "Installing the developers' requirements ..."
	@$(PIP) install --progress-bar off --require-hashes --only-binary :all: -r requirements/dev.txt $(COUNTED)
	@touch $@

$(LINT_VENV)/deployment: requirements/deployment.txt $(VENV)/bin/python
	@echo "Installing the linters of the deployment ..."
	@test -x $(LINT_VENV)/bin/python || $(PYTHON) -m venv $(LINT_VENV)
	@PYTHONUNBUFFERED=1 $(LINT_VENV)/bin/python -m pip --disable-pip-version-check --no-input install --progress-bar off \
		--require-hashes --only-binary :all: -r requirements/deployment.txt $(COUNTED)
	@touch $@
