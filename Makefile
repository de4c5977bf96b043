# `make` alone lists what can be made.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
NO_WEIGHTS := "warning: weights could not be fetched; the figures that need them are left out"

TESTS := "not gpu and not scale and (ci or not slow)"
PARALLEL := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults scale bench lint fix ui clean distclean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(INSTALLED)  ## make .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv; the first time takes some minutes"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup  ## run the whole pipeline on the demo videos; what is done already is not redone
	@$(BIN)/cvg weights fetch || echo $(NO_WEIGHTS) >&2
	$(BIN)/dvc repro
	@$(BIN)/cvg figures
	@echo "the report: $(CURDIR)/reports/index.html"

test: setup lint  ## check the style, then run the tests
	@$(BIN)/cvg weights fetch || echo $(NO_WEIGHTS) >&2
	$(BIN)/python -m pytest $(PARALLEL) -m $(TESTS)

faults: setup  ## kill every stage a hundred times, fill its disk, and count what is lost (an hour)
	CVG_KILLS=100 $(BIN)/python -m pytest -m slow tests/faults tests/test_week.py

bench: setup  ## measure everything that has a peer or a bound, one table (half an hour, alone)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,bench]'
	$(BIN)/python -m benchmarks

scale: setup  ## a Ray cluster of two nodes on this machine, one of them killed (needs cvg[ray])
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,ray]'
	$(BIN)/python -m pytest -m scale

lint: setup  ## check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

fix: setup  ## mend what the style checkers can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: setup  ## show the record of runs in a browser
	$(BIN)/cvg ui

clean:  ## remove what stages and tools write; `dvc repro` brings it back from DVC's cache
	rm -rf data/frames data/vqgan data/codes data/transformer/*/ data/critic data/finetuned data/samples
	rm -rf reports/scores reports/vqgan reports/index.html dvc_plots build dist
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	test ! -d .runs || find .runs -mindepth 1 -maxdepth 1 ! -name tracking -exec rm -rf {} +
	find . -path ./.venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## also remove .venv, DVC's cache and the record of runs
	rm -rf .venv *.egg-info .dvc/cache .dvc/tmp .runs mlflow.db* mlartifacts mlruns
