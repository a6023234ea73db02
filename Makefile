# One virtual environment (.venv), to which each target adds what it needs, and says so.
PYTHON ?= python3
PY := .venv/bin/python
SOURCES := pyproject.toml setup.py $(wildcard */kernels/*.c */kernels/*.h)
QUICK := not slow and not full and not gpu and not vm
# Processes that test beside each other; the tests of a file stay together, since some share a session that they build up.
JOBS ?= 2
BESIDE := -n $(JOBS) --dist loadfile

VM_TESTS := $(addprefix tests/capture/cameras/,test_conformance.py test_v4l2.py test_argus.py) tests/tools/test_cameras.py tests/tools/video/test_vcam.py

# Tests start hundreds of processes: without bytecode files each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup live fuzz soak test test-all test-ci test-slow test-gpu test-cameras test-floors test-newest test-installed test-arm64 \
	lint format docs kernels clean

comma := ,
# install(extras, what for)
define install
@$(PY) -m pip --version >/dev/null 2>&1 || { echo "livemef: making the virtual environment .venv"; \
	$(PYTHON) -m venv --clear $(VENV_FLAGS) .venv; }
@echo "livemef: installing what $(2) into .venv"
$(PY) -m pip install --disable-pip-version-check -e '.[$(1)]'
@touch $@
endef

setup: .venv/.ready
	@echo "livemef: .venv is ready: $(PY) -m livemef --help, or put it on your PATH: . .venv/bin/activate"

live: .venv/.ready
	$(PY) -m livemef run

.venv/.ready: $(SOURCES)
	$(call install,web$(comma)v4l2,runs livemef)

.venv/.ready-test: $(SOURCES)
	$(call install,web$(comma)v4l2$(comma)video$(comma)foxglove$(comma)test,runs and tests livemef)
	@touch .venv/.ready

# All that can be checked on a machine with no GPU: training (torch), and NVIDIA's tools for the GPU path.
.venv/.ready-all: $(SOURCES) tests/install_gpu_tools.py
	$(call install,web$(comma)v4l2$(comma)video$(comma)foxglove$(comma)test$(comma)train$(comma)docs$(comma)raw$(comma)formats,trains and tests livemef: a few hundred MB or more the first time)
	@echo "livemef: installing what checks the GPU path with no GPU: minutes the first time"
	$(PY) tests/install_gpu_tools.py
	$(PY) -m tests.tools.preview.axe
	@touch .venv/.ready .venv/.ready-test

test: .venv/.ready-test
	$(PY) -m pytest -m '$(QUICK)' $(BESIDE)

test-all: .venv/.ready-all
	$(PY) -m pytest $(BESIDE)

# The same for a busy machine: files with a failure are run once more, alone, and what passes then is named.
test-ci: .venv/.ready-all
	$(PY) -m tests.beside $(JOBS)

test-slow: .venv/.ready-all
	$(PY) -m pytest -m slow

# Hostile inputs for every reader: an hour, or FUZZ_SECONDS.
fuzz: .venv/.ready-test
	$(PY) -m tests.fuzz $(FUZZ_KINDS)

# SIGKILL and SIGSTOP at random, hostile subscribers: minutes, on a machine that may be busy.
soak: .venv/.ready-test
	$(PY) -m tests.soak kill
	$(PY) -m tests.soak peers

# The quick tests with the lowest versions of all dependencies that pyproject.toml allows.
test-floors:
	tests/environments/test.sh lowest 3.10 3.11

# The quick tests with the newest dependencies and another Python: make test-newest VERSION=3.13
VERSION ?= 3.13
test-newest:
	tests/environments/test.sh newest $(VERSION)

# The wheel, as users get it, in an environment and a folder of its own.
test-installed:
	tests/environments/installed.sh

# On an emulated aarch64, a Debian made for it. Needs Debian 12, and root or sudo.
test-arm64: .venv/.ready-test
	tests/arm64/install.sh
	tests/arm64/test.sh

# The kernel's video driver, linuxpy, libcamera and picamera2 on a USB camera of our own, in a virtual machine (Debian 12).
test-cameras: .venv/.ready-test
	tests/vm/install.sh
	tests/vm/boot.sh .venv/bin/python -m pytest -m vm -p no:cacheprovider --timeout 300 --durations 5 $(VM_TESTS)

# Needs a CUDA GPU, and the package's extra "cuda".
test-gpu: .venv/.ready-test
	$(PY) -m pip install --quiet -e '.[cuda]'
	$(PY) -m pytest -m gpu -rs tests/gpu
	$(PY) -m tests.gpu.measure

lint: .venv/.ready-test
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: .venv/.ready-test
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

.venv/.ready-docs: $(SOURCES)
	$(call install,web$(comma)v4l2$(comma)docs,makes the documents)
	@touch .venv/.ready

# The API reference, from the docstrings; a warning is an error.
docs: .venv/.ready-docs
	$(PY) -W error -m pdoc livemef -o build/docs
	@echo build/docs/livemef.html

# The CUDA kernels' binary, after a change of their sources.
kernels: .venv/.ready
	$(PY) -m livemef.fusion.kernels.build

clean:
	rm -rf .venv .venvs build *.egg-info tests/vm/cache tests/arm64/cache
