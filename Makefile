# The commands of the project; CONTRIBUTING.md says what each is for.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help search test gpu-check cuda-table soak bench bench-peers evidence lint format stubs docs wheel clean
SHELL := /bin/bash

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PEERS := build/peers
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := $(shell find csrc cuda python -name '*.[ch]pp' -o -name '*.cu*' -o -name '*.py' -o -name '*.pyi' \
  -o -name '*.csv') CMakeLists.txt pyproject.toml constraints.txt
CXX_FILES := $(shell find csrc cuda tests/cpp tests/emulator -name '*.[ch]pp' -o -name '*.cu*' -o -name '*.h')

help:
	@grep -E '^\| `make' CONTRIBUTING.md

# What a fresh machine may lack, with the line that installs it. The packages of a Python that is
# not the system's are named after it. pip is the last thing that comes into a new environment, so
# one that was stopped half-way is made again.
$(BIN)/pip:
	@if command -v $(PYTHON) >/dev/null && \
	  ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then \
	  echo "nascore needs Python 3.10 or newer; name one: make search PYTHON=python3.12" >&2; exit 1; fi
	@missing=; \
	command -v $(PYTHON) >/dev/null || missing="$$missing $(notdir $(PYTHON))"; \
	command -v g++ >/dev/null || missing="$$missing g++"; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing $(notdir $(PYTHON))-venv"; \
	$(PYTHON) -c 'import os, sysconfig; open(os.path.join(sysconfig.get_paths()["include"], "Python.h"))' \
	  2>/dev/null || missing="$$missing $(notdir $(PYTHON))-dev"; \
	if [ -n "$$missing" ]; then \
	  echo "Missing:$$missing. Install with:  sudo apt-get install$$missing" >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/pip $(SOURCES)
	@echo "Installing nascore into $(VENV) (compiles the core; a few minutes the first time) ..."
	$(PIP) .
	@touch $@

# Naming the installed package brings its extras without compiling it again.
$(VENV)/.tests: $(VENV)/.installed
	$(PIP) 'nascore[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.installed
	$(PIP) 'nascore[test,lint]'
	@touch $@

search: $(VENV)/.installed
	@if $(BIN)/nascore show runs/demo >/dev/null 2>&1; then $(BIN)/nascore resume runs/demo; else \
	  $(BIN)/nascore search blockqnn --preset small --task digits --workers 2 --out runs/demo; fi
	@$(BIN)/nascore retrain runs/demo

# Tests run from the installed package, in an order of cheap to dear: the core alone under
# sanitizers, then everything from Python.
test: $(VENV)/.tests
	$(BIN)/cmake -S . -B build/sanitize -DNASCORE_TESTS=ON -DNASCORE_SANITIZE=ON \
	  -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >/dev/null
	$(BIN)/cmake --build build/sanitize --parallel 2
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure --parallel 2
	$(BIN)/python -m pytest --benchmark-disable --numprocesses 2 --dist loadfile

gpu-check: $(VENV)/.tests
	@$(BIN)/python -c 'import nascore, sys; sys.exit(not nascore.has_cuda())' || \
	  { echo "No CUDA device, or built without nvcc: nothing to check" >&2; exit 1; }
	$(BIN)/python -m pytest -m gpu --benchmark-disable
	$(BIN)/python -m pytest benchmarks/bench_cuda.py -m gpu -s --benchmark-json=build/benchmarks-cuda.json

cuda-table: $(VENV)/.tests
	$(BIN)/python tests/cuda_table.py

soak: $(VENV)/.tests
	$(BIN)/python -m pytest -m slow --benchmark-disable

bench: $(VENV)/.tests
	$(BIN)/python -m pytest benchmarks --ignore=benchmarks/peers --benchmark-only --benchmark-quiet \
	  --benchmark-json=build/benchmarks.json

# Ours and others in one environment, of its own, since nobody needs them to use ours.
$(PEERS)/.installed: $(BIN)/pip $(SOURCES) benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -r benchmarks/peers/requirements.txt '.[test]'
	@touch $@

bench-peers: export OMP_NUM_THREADS = 1
bench-peers: export XLA_FLAGS = --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1
bench-peers: $(PEERS)/.installed
	$(PEERS)/bin/python -m pytest benchmarks/peers benchmarks/bench_graph.py benchmarks/bench_masks.py \
	  --benchmark-only --benchmark-quiet --benchmark-json=build/benchmarks-peers.json

evidence: $(VENV)/.tests
	$(BIN)/python -m nascore.tables.make python/nascore/tables/blocks_digits.csv
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/evidence_digits.py

# The generator writes "whatever makes an int" for an int, and no types for constants' elements.
STUBS := $(patsubst %,build/stubs/nascore/%.pyi,_core $(if $(shell command -v nvcc),_cuda))
$(STUBS): build/stubs/nascore/%.pyi: $(VENV)/.lint
	$(BIN)/pybind11-stubgen nascore.$* -o build/stubs
	sed -i -E -e 's/typing\.Supports(Int|Float) \| typing\.SupportsIndex/\L\1/g' \
	  -e 's/^NET_COLUMNS: .*/NET_COLUMNS: tuple[str, ...]/' \
	  -e 's/^(CELL_OPS|CELL_COMBINES|KERNELS|PROGRAM_COLUMNS): .*/\1: tuple[str, ...]/' \
	  -e 's/^OPS: .*/OPS: dict[str, tuple[int, tuple[int, ...], int]]/' $@
	$(BIN)/ruff format --quiet $@ && $(BIN)/ruff check --quiet --fix $@ && $(BIN)/ruff format --quiet $@

stubs: $(STUBS)
	cp $(STUBS) python/nascore/

lint: $(STUBS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)
	$(BIN)/mypy
	@for stub in $(STUBS); do diff $$stub python/nascore/$$(basename $$stub) || \
	  { echo "$$(basename $$stub) is out of date: make stubs" >&2; exit 1; }; done

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) 'nascore[docs]'
	@touch $@

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --quiet
	@echo "The site is in build/site/index.html"

wheel: $(BIN)/pip
	PYTHON=$(abspath $(BIN))/python .ci/wheel

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

clean:
	rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
