#!/usr/bin/env bash
# livemef on an emulated aarch64: the wheel is built by a cross compiler and installed; doctor, the fusion (against the
# definition, and against this machine's pictures), the ring (also with pages of 16 KiB), the bracketing, the wire, leases.
set -euo pipefail
cd "$(dirname "$0")/../.."
packages=tests/arm64/cache/root/usr/local/lib/python3.11/dist-packages
run=$PWD/tests/arm64/run.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

echo "livemef: building the wheel for aarch64"
mkdir "$folder/source" "$folder/tree"
git ls-files -coz --exclude-standard | xargs -0 cp -d --parents -t "$folder/source"
python=$(tests/environments/find_python.sh 3.11)
CC=aarch64-linux-gnu-gcc LDSHARED="aarch64-linux-gnu-gcc -shared" _PYTHON_HOST_PLATFORM=linux-aarch64 \
  SETUPTOOLS_EXT_SUFFIX=.cpython-311-aarch64-linux-gnu.so \
  "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$folder" "$folder/source"
rm -rf "$packages"/livemef* "$packages/bin"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: --platform linux_aarch64 \
  --implementation cp --python-version 311 --target "$packages" "$folder"/livemef-*_aarch64.whl
[ -e "$packages"/livemef/fusion/_pixels.cpython-311-aarch64-linux-gnu.so ] ||
  { echo "test.sh: the compiled loops are not in the wheel" >&2; exit 1; }

git ls-files -coz --exclude-standard tests examples docs pyproject.toml | xargs -0 cp -d --parents -t "$folder/tree"
.venv/bin/python -m tests.arm64.pictures "$folder/tree/here.npz"
echo "livemef: on aarch64, under emulation"
"$run" "$folder/tree" python3 -c 'import platform; print(platform.machine(), "Python", platform.python_version())'
"$run" "$folder/tree" python3 -m tests.arm64.doctor
"$run" "$folder/tree" python3 -m tests.arm64.pictures there.npz
.venv/bin/python -m tests.arm64.pictures --compare "$folder/tree/here.npz" "$folder/tree/there.npz"
tests() { "$run" "$folder/tree" python3 -m pytest -p no:cacheprovider -m 'not slow and not full and not gpu and not vm' --timeout 600 "$@"; }
tests tests/fusion/cpu tests/fusion/motion/test_compiled_evidence.py tests/fusion/stream/test_wire.py \
  tests/fusion/stream/test_leases.py tests/fusion/stream/test_shared_pictures.py tests/capture/transport tests/capture/bracketing \
  tests/engine/test_compiled_network.py tests/engine/test_processor.py tests/engine/test_runtime.py
QEMU_PAGESIZE=16384 tests tests/capture/transport
