# Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

FAST := -m "not slow and not faults and not registry"
# One thread each; tests/conftest.py says how many processes. Ray's tests stay together.
PARALLEL := -n auto --maxprocesses 6 --dist loadgroup
# The tests start Python by the hundred: its bytecode is kept, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test fast test-slow faults cover wheel wheels lowest bench docs linkcheck test-gpu bench-gpu lint pins clean

demo: .venv/installed
	$(BIN)/edgefool demo

# mypy has one process: beside the tests it costs half the time.
test: .venv/installed-dev
	$(MAKE) --no-print-directory --jobs 2 lint fast

fast: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(FAST) $(PARALLEL)

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile thorough

faults: .venv/installed-dev
	$(BIN)/python -m pytest -m "faults or kills" --faults-table faults.md tests

# A GPU beside the CPU, by a Python with torch and what `make wheels` brings: no .venv is made.
test-gpu:
	PYTHONPATH="src:$$PYTHONPATH" $(PYTHON) -m pytest -m gpu -W default tests/gpu

# The same tests, then the table gpu.md: under eight minutes.
bench-gpu: test-gpu
	PYTHONPATH="src:$$PYTHONPATH" $(PYTHON) -m benchmarks.gpu

# The packages for it, at most 60 MB, for a machine without a network: WHEELS='--out .whl --python-version 3.12'.
wheels: .venv/installed-dev
	$(BIN)/python -m benchmarks.gpu_wheels $(WHEELS)

# Line coverage of src/ by the tests of `make test`; fails below the share in pyproject.toml.
cover: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(FAST) $(PARALLEL) --cov --cov-report=term-missing:skip-covered

# The wheel with its dependencies in an empty environment.
wheel: .venv/installed-dev
	$(BIN)/python -m pytest -m registry tests/test_wheel.py

# The tests with the lowest versions that pyproject.toml allows, in an environment of their own (.lowest, several GB).
lowest: .venv/installed-dev
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .lowest
	$(BIN)/uv pip compile --quiet --python .lowest/bin/python --resolution lowest-direct --extra dev \
	    --output-file .lowest/requirements.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python .lowest/bin/python pip --requirement .lowest/requirements.txt
	$(BIN)/uv pip install --quiet --python .lowest/bin/python --no-deps --editable .
	OMP_NUM_THREADS=1 .lowest/bin/python -m pytest $(FAST) $(PARALLEL)

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks --out benchmarks.md

# The site in docs/_build/html, without a network; a warning is an error. The gallery's examples run, but for GALLERY=False.
GALLERY ?= True
docs: .venv/installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going -D sphinx_gallery_conf.plot_gallery=$(GALLERY) docs docs/_build/html

linkcheck: .venv/installed-docs
	$(BIN)/python -m sphinx -q -b linkcheck -D sphinx_gallery_conf.plot_gallery=False docs docs/_build/linkcheck

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Remakes constraints.txt. Pins that still fit stay; PINS=--upgrade takes the newest of everything,
# PINS='--upgrade-package ruff' of one package.
pins: .venv/installed-dev
	$(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform linux --extra dev --extra docs --no-annotate \
	    --custom-compile-command "make pins" $(PINS) --output-file constraints.txt pyproject.toml

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf .venv .lowest
