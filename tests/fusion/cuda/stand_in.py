"""Builds the stand-in driver library and runs Python on it."""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fusion.cuda.host_kernels import HERE, ROOT, folder_until_exit, host_library_path
from tests.gpu_tools import lacking

LIMIT_S = 110


@functools.cache
def stand_in_folder() -> Path:
    """A folder with the stand-in as libcuda.so.1; skips the test where it cannot be built or pycuda is not here."""
    if importlib.util.find_spec("pycuda") is None:
        lacking("no pycuda: the GPU path's host side is not run")
    if not shutil.which("gcc") or not shutil.which("nm"):
        lacking("no gcc: the stand-in driver is not built")
    folder = folder_until_exit("livemef-stand-in-")
    rest = folder / "rest.c"
    known = set(re.findall(r"\b(cu[A-Z]\w+)\(", (HERE / "stand_in.c").read_text()))
    missing = sorted(_wanted() - known)
    rest.write_text("".join(f"int {name}(void) {{ return 801; }}\n" for name in missing))  # CUDA_ERROR_NOT_SUPPORTED
    library = folder / "libcuda.so.1"
    command = ["gcc", "-O2", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, HERE / "stand_in.c", rest]
    subprocess.run([*map(str, command), "-ldl"], check=True, timeout=LIMIT_S)
    return folder


def _wanted() -> set[str]:
    """All functions of the driver that pycuda refers to: they must exist for it to load."""
    spec = importlib.util.find_spec("pycuda")
    assert spec is not None
    assert spec.submodule_search_locations
    driver = next(Path(spec.submodule_search_locations[0]).glob("_driver*.so"))
    listed = subprocess.run(["nm", "-D", "--undefined-only", str(driver)], capture_output=True, text=True, check=True)
    return set(re.findall(r"\b(cu[A-Z]\w+)", listed.stdout))


def run_on_stand_in(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` where libcuda.so.1 is the stand-in; it finds the host's kernels in STAND_IN_KERNELS."""
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(stand_in_folder()),
        "PYTHONPATH": str(ROOT),
        "STAND_IN_KERNELS": str(host_library_path()),
    }
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=LIMIT_S
    )
