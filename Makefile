# Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow faults bench lint clean

demo: .venv/installed
	$(BIN)/edgefool demo

test: .venv/installed-dev lint
	$(BIN)/python -m pytest -m "not slow and not faults"

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow

faults: .venv/installed-dev
	$(BIN)/python -m pytest -m "faults or kills" --faults-table faults.md tests

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks --out benchmarks.md

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv
