"""What a machine is, as far as times depend on it."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from livemef.fusion.cpu.fuser import usable_cores

LEVELS = ("avx512_bf16", "avx512_vnni", "avx512vbmi", "avx512f", "avx2", "asimddp", "asimd")
"""Instruction sets that the loops use or could use, as the kernel names them."""


def machine_lines() -> list[str]:
    """Lines of text: date, processor, cores and their load, system, versions."""
    load, sets = os.getloadavg(), ", ".join(instruction_sets()) or "none known"
    packages = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "opencv-python-headless", "onnxruntime"))
    return [
        f"livemef {_version('livemef')}, {date.today().isoformat()}",
        f"processor: {processor()}; {usable_cores()} of {os.cpu_count()} cores; {sets}",
        f"clock: {_clock()}; load {load[0]:.1f}, {load[1]:.1f}, {load[2]:.1f} over 1, 5, 15 minutes",
        f"memory: {psutil.virtual_memory().total / 2**30:.1f} GiB",
        f"system: {platform.platform()}, Python {platform.python_version()}",
        f"packages: {packages}",
    ]


def processor(cpuinfo: Path = Path("/proc/cpuinfo"), model: Path = Path("/proc/device-tree/model")) -> str:
    """Name of the processor, or of the board where that names none."""
    if model.is_file():
        return model.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    names = _of_cpuinfo("model name", cpuinfo)
    return names or platform.processor() or platform.machine()


def instruction_sets(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Those of LEVELS that the processor has."""
    flags = (_of_cpuinfo("flags", cpuinfo) or _of_cpuinfo("Features", cpuinfo)).split()
    return [level for level in LEVELS if level in flags]


def _of_cpuinfo(name: str, cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def _clock() -> str:
    try:
        found = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        found = None
    if found is None:
        return "unknown"
    return f"{found.current:.0f} MHz" + (f" of {found.max:.0f}" if found.max else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"
