"""Compile the CUDA kernels into one binary for all GPUs in question: `python -m livemef.fusion.kernels.build`.

The binary is shipped, so that a device needs no compiler. A note beside it holds the digest of its sources; a test
compares both. Rebuild it after any change of a source, or where a driver is older than its compiler:
JetPack 6 needs a binary of its own CUDA 12.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from livemef.fusion.errors import FusionError

FOLDER = Path(__file__).parent
SOURCES = ("fusion.cu", "motion.cuh", "small.cuh", "bracket.cuh", "pixels.h")
BINARY, NOTE = FOLDER / "fusion.fatbin", FOLDER / "fusion.json"

TARGETS = (87, 89, 90, 110, 120)
"""Orin; Ada; Hopper; Thor; Blackwell. What an older nvcc does not know is left out."""

PORTABLE = 75
"""The code that a newer driver compiles itself, for every other GPU from Turing on."""

FLAGS = ("-O3", "-std=c++17", "-prec-div=false", "-prec-sqrt=false", "-Xfatbin", "-compress-all")
"""Divisions and roots to two units in the last place: the tables behind them are coarser."""

COMPILE_LIMIT_S = 300


def find_nvcc() -> Path | None:
    """NVIDIA's compiler: of CUDA_HOME, of the path, of /usr/local/cuda, or from PyPI (nvidia-cuda-nvcc)."""
    folders = [Path(os.environ["CUDA_HOME"]) / "bin"] if os.environ.get("CUDA_HOME") else []
    on_path = shutil.which("nvcc")
    folders += [Path(on_path).parent] if on_path else []
    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    folders += [Path("/usr/local/cuda/bin"), packages / "cu13/bin", packages / "cuda_nvcc/bin"]
    return next((folder / "nvcc" for folder in folders if (folder / "nvcc").is_file()), None)


def nvcc_version(nvcc: Path) -> str:
    """Such as "13.0.88"."""
    printed = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    found = re.search(r"V(\d+\.\d+\.\d+)", printed)
    return found[1] if found else "unknown"


def _known_to(nvcc: Path) -> set[int]:
    command = [str(nvcc), "--list-gpu-code"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return {int(number) for number in re.findall(r"sm_(\d+)", printed)}


def sources_sha256() -> str:
    """Of the sources, in order, and of how they are compiled."""
    digest = hashlib.sha256(repr((FLAGS, TARGETS, PORTABLE)).encode())
    for name in SOURCES:
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()


def compile_binary(nvcc: Path, target: Path, architectures: Sequence[int] = TARGETS) -> None:
    """Compile for these compute capabilities, and portable code. Raises FusionError."""
    codes = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in architectures]
    codes.append(f"-gencode=arch=compute_{PORTABLE},code=compute_{PORTABLE}")
    command = [str(nvcc), "-fatbin", *FLAGS, *codes, "-o", str(target), SOURCES[0]]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=COMPILE_LIMIT_S)
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise FusionError(f"nvcc does not compile the kernels: {reason[0]}")


def build(architectures: Sequence[int] = TARGETS) -> str:
    """Make the binary and its note anew, each complete or not at all. Returns the compiler's version."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise FusionError("no nvcc: install NVIDIA's CUDA toolkit, or pip install nvidia-cuda-nvcc nvidia-cuda-crt")
    version, known = nvcc_version(nvcc), _known_to(nvcc)
    wanted, architectures = architectures, [number for number in architectures if number in known]
    if not architectures:
        raise FusionError(f"nvcc {version} knows none of sm_{', sm_'.join(map(str, wanted))}; install a newer toolkit")
    partial = BINARY.with_name(BINARY.name + ".partial")
    compile_binary(nvcc, partial, architectures)
    os.replace(partial, BINARY)
    note = {
        "sources_sha256": sources_sha256(),
        "binary_sha256": hashlib.sha256(BINARY.read_bytes()).hexdigest(),
        "nvcc": version,
        "targets": list(architectures),
        "portable": PORTABLE,
    }
    partial.write_text(json.dumps(note, indent=1) + "\n")
    os.replace(partial, NOTE)
    return version


def main() -> int:
    """Build for the architectures given as arguments (such as 87), else for all, and print the result."""
    try:
        version = build([int(word) for word in sys.argv[1:]] or TARGETS)
    except FusionError as error:
        print(f"livemef: {error}", file=sys.stderr)
        return 2
    print(f"{BINARY}: {BINARY.stat().st_size / 1024:.0f} kB, by nvcc {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
