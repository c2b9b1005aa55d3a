# Everything a newcomer, a developer and the continuous integration need; see README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo docs test lint bench faults wheel models clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(READY) ## Set up .venv with everything that development needs

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or later is needed; call make PYTHON=python3.11 ..." >&2; exit 2; }
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: setup ## Redraw a photo in every bundled style into out/demo
	$(BIN)/python scripts/demo.py out/demo

docs: setup ## Build the site of the documents into out/site, without a network
	$(BIN)/python -m manual -o out/site

test: setup ## Run the unit and recipe tests, one worker a core, four at most
	$(BIN)/python -m pytest -n auto --dist loadgroup --no-loadscope-reorder

lint: setup ## Check style, spelling, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell *.md docs src tests scripts studies benchmarks manual
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## Measure speed, of training by phase too; writes bench.md, recipe_costs.md, translator_costs.md and training_speed.md
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.recipes
	$(BIN)/python -m benchmarks.translators
	$(BIN)/python -m benchmarks.phases

faults: setup ## Kill, fill the disk, feed it broken files, for 8 minutes; writes docs/results/faults.md
	$(BIN)/python scripts/faults.py

wheel: setup ## Build the wheel, try it in a clean environment of each Python that is here, and weigh it
	$(BIN)/python scripts/check_wheel.py

models: setup ## Train the bundled models again from DATA (a folder laid out as docs/models.md says)
	$(BIN)/python scripts/make_models.py --data "$(or $(DATA),../shared/data)" --runs runs/models

clean: ## Remove what can be made again
	rm -rf out build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
