# Two commands take a fresh machine with Python 3.11+, make and a package index to a result: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test long check reference notebooks notebooks-open benchmark clean

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "minibert needs Python 3.11 or newer; run: make PYTHON=python3.11 <target>")'
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of extras: pip runs again only when pyproject.toml changed.
$(VENV)/installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

demo: $(VENV)/installed
	$(BIN)/minibert fetch minilm-l6
	$(BIN)/minibert verify minilm-l6
	$(BIN)/minibert embed --model minilm-l6 \
		"That movie was absolutely fantastic." \
		"This film is creative and surprising." \
		"Ford is an American multinational automaker." \
		"The Volkswagen Group builds cars in Wolfsburg, Germany."

# One thread for the products of NumPy and torch: several processes share the cores, and threads that wait for each other take
# longer.
test long reference notebooks: export OPENBLAS_NUM_THREADS = 1
test long reference notebooks: export OMP_NUM_THREADS = 1

# The tests compile thousands of small programs, which takes a third of the time with less optimisation, and each process
# compiles with one thread as it computes with one. `make reference` and `make notebooks` optimise as users do. XLA ends a process
# that names a flag it does not have.
flag_if_known = $(shell XLA_FLAGS=$(1) $(BIN)/python -c "import jax; jax.devices()" 2> /dev/null && echo $(1))
ONE_THREAD = $(call flag_if_known,--xla_cpu_parallel_codegen_split_count=1)
QUICK = --xla_backend_optimization_level=0 $(call flag_if_known,--xla_cpu_use_fusion_emitters=false) $(ONE_THREAD)

# Without a network the tests that need the default checkpoint are skipped, and say so.
test: $(VENV)/installed-test
	-$(BIN)/minibert fetch minilm-l6
	XLA_FLAGS="$(QUICK)" $(BIN)/python -m pytest --numprocesses auto --dist worksteal

long: $(VENV)/installed-reference
	$(BIN)/minibert fetch minilm-l6
	XLA_FLAGS="$(QUICK)" $(BIN)/python -m pytest -m "long and not reference" --numprocesses auto --dist worksteal
	XLA_FLAGS="$(ONE_THREAD) $(XLA_FLAGS)" $(BIN)/python -m pytest -m "long and reference" --numprocesses auto --dist worksteal

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

reference: $(VENV)/installed-reference
	$(BIN)/minibert fetch minilm-l6
	XLA_FLAGS="$(ONE_THREAD) $(XLA_FLAGS)" $(BIN)/python -m pytest -m "reference and not long" --numprocesses auto --dist worksteal

# Every notebook from the first cell to the last, as a test.
notebooks: $(VENV)/installed-notebooks
	$(BIN)/minibert fetch minilm-l6
	XLA_FLAGS="$(ONE_THREAD) $(XLA_FLAGS)" $(BIN)/python -m pytest -o addopts= --nbmake --nbmake-timeout=300 --numprocesses auto --dist worksteal notebooks

notebooks-open: $(VENV)/installed-notebooks
	$(BIN)/python -m pip install --quiet jupyterlab
	$(BIN)/minibert fetch minilm-l6
	$(BIN)/jupyter lab notebooks

benchmark: $(VENV)/installed-reference
	$(BIN)/minibert fetch minilm-l6
	$(BIN)/python benchmarks/encoder.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/full_batches.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/lab.py
	$(BIN)/python benchmarks/trajectory.py
	$(BIN)/python benchmarks/verification.py
	$(BIN)/python benchmarks/tokenizer.py
	$(BIN)/python benchmarks/start_up.py

clean:
	rm -rf $(VENV)
