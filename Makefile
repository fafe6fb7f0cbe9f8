# What a person types. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export PYTHONDONTWRITEBYTECODE ?=
.DEFAULT_GOAL := help
.PHONY: help install install-dev run demo test check format faults soak bench docs docs-serve lock clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) scripts/check_python.py
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: requirements/core.lock pyproject.toml | $(BIN)/python
	@echo "Installing Mintage into $(VENV) ..."
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/core.lock
	@$(PIP) install --no-deps --no-build-isolation -e . 
	@touch $@

# torch is no line of the locks: which build is right (CPU, CUDA) is the machine's choice. TORCH="torch==2.13.0 --index-url ..." picks another.
TORCH ?= torch==2.13.0
$(VENV)/.torch: | $(VENV)/.core
	@echo "Installing torch into $(VENV) ..."
	@$(PIP) install --only-binary :all: $(TORCH)
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.core $(VENV)/.torch
	@echo "Installing the tools for tests, checks and docs ..."
	@$(PIP) install --require-hashes --only-binary :all: --no-binary rouge-score -r requirements/dev.lock
	@touch $@

install: $(VENV)/.core ## set everything up that `make run` needs, into .venv
install-dev: $(VENV)/.dev ## also the tools for tests, checks and docs, a browser and Node included
	@bash scripts/setup_browser_and_node.sh

run: install ## pull the model, open the books, serve, and make the first paid request
	@$(BIN)/mintage run

demo: install ## the whole loop without a person: chats, charges, an invoice, verified books
	@$(BIN)/mintage demo

test: install-dev ## every test that is not a soak (<= 20 minutes)
	@$(BIN)/python -m pytest -m "not soak and not faults" -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev ## format, lint, strict types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

faults: install-dev ## kills at every failpoint, 1,000 times; power loss, full disks, redelivery
	@$(BIN)/python -m pytest -m faults $(ARGS)

soak: install-dev ## what is too long for every run; the last result is in docs/reference/soak.md
	@$(BIN)/python -m pytest -m soak $(ARGS)

bench: install-dev ## one ratio table per topic
	@bash benchmarks/run.sh

docs: $(VENV)/.dev ## build the documentation into site/
	@$(BIN)/python -m mkdocs build --strict

docs-serve: $(VENV)/.dev
	@$(BIN)/python -m mkdocs serve

lock: ## re-resolve requirements/*.lock (needs uv)
	@bash scripts/lock.sh

clean: ## remove what was built; your MINTAGE_HOME stays
	rm -rf $(VENV) site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
