"""The shipped binary of the kernels: made from these sources, for all GPUs in question, and lean on each."""

import hashlib
import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from livemef.fusion.kernels import build
from tests.gpu_tools import lacking

MOST_REGISTERS = {
    **{"fuse8": 48, "fuse16": 48, "tone8": 64, "tone16": 64, "solve_windows_3": 64, "solve_windows_4": 80},
    **{f"fuse{bits}_{count}": 80 for bits in (8, 16) for count in (3, 4)},
    **{"tone8_3": 128, "tone16_3": 128, "tone8_4": 255, "tone16_4": 255},
}
"""More than 40 only where memory would have to take the rest: see the kernels."""


def cuobjdump() -> str:
    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia/cu13/bin"
    found = shutil.which("cuobjdump", path=f"{packages}:/usr/local/cuda/bin") or shutil.which("cuobjdump")
    return found or lacking("no cuobjdump (pip install nvidia-cuda-cuobjdump): registers are not looked at")


def test_the_note_tells_of_these_sources_and_this_binary():
    note = json.loads(build.NOTE.read_text())
    assert note["sources_sha256"] == build.sources_sha256(), "run: python -m livemef.fusion.kernels.build"
    assert note["binary_sha256"] == hashlib.sha256(build.BINARY.read_bytes()).hexdigest()
    assert tuple(note["targets"]) == build.TARGETS


@pytest.mark.full
def test_the_compiler_makes_this_binary_of_these_sources(tmp_path):
    nvcc = build.find_nvcc() or lacking("no nvcc: the kernels are not compiled anew")
    build.compile_binary(nvcc, tmp_path / "fusion.fatbin")
    if build.nvcc_version(nvcc) != json.loads(build.NOTE.read_text())["nvcc"]:
        lacking(f"nvcc {build.nvcc_version(nvcc)} is not the one of the shipped binary: bytes are not compared")
    assert (tmp_path / "fusion.fatbin").read_bytes() == build.BINARY.read_bytes()


@pytest.mark.full
def test_every_target_is_in_it():
    printed = subprocess.run([cuobjdump(), "--list-elf", "--list-ptx", build.BINARY], capture_output=True, text=True)
    assert {int(number) for number in re.findall(r"sm_(\d+)\.cubin", printed.stdout)} == set(build.TARGETS)
    assert re.findall(r"sm_(\d+)\.ptx", printed.stdout) == [str(build.PORTABLE)]


@pytest.mark.full
def test_no_kernel_spills_or_takes_too_many_registers():
    printed = subprocess.run([cuobjdump(), "-res-usage", build.BINARY], capture_output=True, text=True).stdout
    used = re.findall(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", printed)
    kernels = {name for name, *_ in used}
    assert len(used) == len(build.TARGETS) * len(kernels)
    assert {"fuse8", "fuse16", "sum_rows8", "small_lab", "smooth_columns"} <= kernels
    for name, registers, stack, local in used:
        assert (int(stack), int(local)) == (0, 0), name
        assert int(registers) <= MOST_REGISTERS.get(name, 40), name


def test_a_compiler_s_complaint_is_one_line(tmp_path):
    broken = tmp_path / "nvcc"
    broken.write_text("#!/bin/sh\necho 'fusion.cu(1): error: nonsense' >&2\nexit 2\n")
    broken.chmod(0o755)
    with pytest.raises(Exception, match="nonsense"):
        build.compile_binary(broken, tmp_path / "out")
