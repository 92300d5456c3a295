# `make demo` and `make test` set up everything they need on a machine with Python 3.11 to 3.13.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Ray is 200 MB: who wants its tests says make EXTRAS=dev,slurm,ray test.
EXTRAS ?= dev,slurm
STAMP := $(VENV)/.installed-$(EXTRAS)

.PHONY: demo test test-fast properties lint format bench chaos figures clean

demo: $(STAMP)
	$(BIN)/isoflop demo

# Most of a test's time is one thread's, and some of it is waiting: files of tests, and groups in them, are shared out
# among one process more than there are cores. Each takes about a gigabyte.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(6, 1 + (os.cpu_count() or 1)))')
test: $(STAMP)
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(TESTS)

test-fast: $(STAMP)
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -m "not slow" $(TESTS)

# Property tests try EXAMPLES times as many examples as in `make test`, others in each run.
EXAMPLES ?= 20
properties: $(STAMP)
	ISOFLOP_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -n $(WORKERS) -m hypothesis --hypothesis-seed=random $(TESTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# BENCH=--small proves in a few minutes that all of them run; its numbers mean nothing.
bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[$(EXTRAS),bench]'
	$(BIN)/python -m benchmarks $(BENCH)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "isoflop needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d: run make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(STAMP)

# Kills a small real sweep KILLS times in every way known, and compares its tables with an undisturbed one's.
KILLS ?= 30
SEED ?= 0
chaos: $(STAMP)
	$(BIN)/python -m tests.support.chaos --kills $(KILLS) --seed $(SEED)

# The pages' own figures are drawn anew on purpose only: make figures FIGURES=docs/figures
FIGURES ?= outputs/figures
figures: $(STAMP)
	PYTHONPATH=. $(BIN)/python docs/draw.py $(FIGURES)

clean:
	rm -rf $(VENV) dist build
