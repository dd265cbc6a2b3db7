# Two commands on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test test-fast coverage lint bench bench-real clean

demo: $(VENV)/.train
	$(BIN)/genrelab demo --out demo

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not timing"
	$(BIN)/python -m pytest -m timing  # alone: these are about time itself

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m "not slow and not real and not timing"

# Which lines no test runs; the page is htmlcov/index.html.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not timing" --cov --cov-report=term --cov-report=html

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every row of docs/performance.md, in about a quarter of an hour; needs the folder that GENRELAB_DATA names.
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run_all.py "$(GENRELAB_DATA)"

# The main job on real audio; needs the folder that GENRELAB_DATA names (see docs/results.md).
bench-real: $(VENV)/.train
	$(BIN)/python benchmarks/real.py

$(VENV)/.train: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[train]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[train,dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist htmlcov .coverage src/*.egg-info
