# One virtual environment, two sets of packages: what runs livemef, and what tests and trains it.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml setup.py $(wildcard fusion/kernels/*.c fusion/kernels/*.h)

VM_TESTS := $(addprefix tests/capture/cameras/,test_conformance.py test_v4l2.py test_argus.py) tests/tools/test_cameras.py

.PHONY: setup live test test-slow test-gpu test-cameras lint format docs kernels clean

setup: .venv/.ready
live: setup
	$(BIN)/livemef run

.venv/bin/python:
	$(PYTHON) -m venv $(VENV_FLAGS) .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/.ready: $(SOURCES) | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e '.[web]'
	@touch $@

.venv/.ready-test: .venv/.ready
	$(BIN)/python -m pip install --quiet -e '.[web,train,v4l2,test]'
	@touch $@

# What checks the GPU path with no GPU: several minutes once, and never needed to use livemef.
.venv/.ready-gpu-tools: tests/install_gpu_tools.py | .venv/.ready-test
	$(BIN)/python tests/install_gpu_tools.py
	@touch $@

test: .venv/.ready-test .venv/.ready-gpu-tools
	$(BIN)/python -m pytest

# The kernel's video driver, linuxpy, libcamera and picamera2 on a USB camera of our own, in a virtual machine (Debian 12).
test-cameras: .venv/.ready-test
	tests/vm/install.sh
	tests/vm/boot.sh .venv/bin/python -m pytest -m vm -p no:cacheprovider --timeout 300 --durations 5 $(VM_TESTS)

test-slow: .venv/.ready-test
	$(BIN)/python -m pytest -m slow

# Needs a CUDA GPU, and the package's extra "cuda".
test-gpu: .venv/.ready-test
	$(BIN)/python -m pip install --quiet -e '.[cuda]'
	$(BIN)/python -m pytest -m gpu -rs tests/gpu
	$(BIN)/python -m tests.gpu.measure

lint: .venv/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.ready-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/.ready-docs: .venv/.ready
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	@touch $@

# The API reference, from the docstrings; a warning is an error.
docs: .venv/.ready-docs
	$(BIN)/python -W error -m pdoc livemef -o build/docs
	@echo build/docs/livemef.html

# The CUDA kernels' binary, after a change of their sources.
kernels: .venv/.ready
	$(BIN)/python -m livemef.fusion.kernels.build

clean:
	rm -rf .venv build *.egg-info tests/vm/cache
