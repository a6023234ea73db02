"""Checks of the machine that load no foreign code: devices, memory, cores, clocks, packages."""

from __future__ import annotations

import mmap
import os
import shutil
import time
from pathlib import Path

import psutil

from livemef.tools.doctor.finding import Finding, package


def v4l2_devices(classes: Path = Path("/sys/class/video4linux"), devices: Path = Path("/dev")) -> list[Finding]:
    """V4L2 devices, and whether this user may open them."""
    area = "Cameras"
    nodes = sorted(classes.glob("video*")) if classes.is_dir() else []
    if not nodes:
        return [Finding(area, "V4L2", "missing", "no /dev/video* device", "plug in a camera; modprobe uvcvideo")]
    findings = []
    for node in nodes:
        device = devices / node.name
        label = (node / "name").read_text(encoding="utf-8", errors="replace").strip()
        if os.access(device, os.R_OK | os.W_OK):
            findings.append(Finding(area, str(device), "ok", label))
        else:
            remedy = "sudo usermod -aG video $USER, then log in again"
            findings.append(Finding(area, str(device), "broken", f"{label}: no permission to open it", remedy))
    return findings


def camera_packages() -> list[Finding]:
    """Packages for cameras."""
    return [
        package("Cameras", "linuxpy", "linuxpy", "USB and other V4L2 cameras", "pip install 'livemef[v4l2]'"),
        package(
            "Cameras", "libcamera", "libcamera", "needed by picamera2", "on a Pi: sudo apt install python3-libcamera"
        ),
        package(
            "Cameras",
            "picamera2",
            "picamera2",
            "Raspberry Pi cameras",
            "on a Pi: sudo apt install python3-picamera2, and make the environment with --system-site-packages",
        ),
    ]


def other_packages() -> list[Finding]:
    """Packages of the preview page, of file formats, of field capture and of training."""
    web, train, formats, field = (f"pip install 'livemef[{extra}]'" for extra in ("web", "train", "formats", "field"))
    return [
        package("Preview", "aiohttp", "aiohttp", "the preview page", web),
        package("Preview", "prometheus_client", "prometheus-client", "/metrics of the preview", web),
        package("Pictures", "rawpy", "rawpy", "camera raw files and DNG", "pip install 'livemef[raw]'"),
        package(
            "Pictures",
            "imagecodecs",
            "imagecodecs",
            "12-bit JPEG, rarer compressions of TIFF, 16-bit colour tables",
            formats,
        ),
        package("Pictures", "pillow_heif", "pillow-heif", "HEIC", formats),
        package("Pictures", "OpenEXR", "OpenEXR", "OpenEXR output of livemef merge", "pip install 'livemef[exr]'"),
        package("Pictures", "bagit", "bagit", "livemef shoot", field),
        package("Training", "torch", "torch", "training and labelling; not needed to run", train),
        package("Training", "onnx", "onnx", "export of a trained network; not needed to run", train),
    ]


def shared_memory() -> list[Finding]:
    """memfd, in which frames are shared between processes."""
    area, name = "System", "memfd"
    remedy = "livemef needs Linux 3.17 or later, and a container that permits memfd_create"
    if not hasattr(os, "memfd_create"):
        return [Finding(area, name, "missing", "this Python has no os.memfd_create", remedy, needed=True)]
    try:
        descriptor = os.memfd_create("livemef-doctor")
        try:
            os.ftruncate(descriptor, 1 << 20)
            with mmap.mmap(descriptor, 1 << 20) as memory:
                memory[:4] = b"ping"
        finally:
            os.close(descriptor)
    except OSError as error:
        return [Finding(area, name, "broken", str(error), remedy, needed=True)]
    return [Finding(area, name, "ok", "frames can be shared between processes", needed=True)]


def dev_shm(folder: Path = Path("/dev/shm")) -> list[Finding]:
    """/dev/shm, which livemef does not use, but torch's data loading and other programs that receive frames do."""
    if not folder.is_dir():
        remedy = "mount -t tmpfs tmpfs /dev/shm; livemef itself does without"
        return [Finding("System", "/dev/shm", "missing", "no such folder", remedy)]
    usage = shutil.disk_usage(folder)
    detail = f"{usage.free / 2**20:.0f} of {usage.total / 2**20:.0f} MiB free; livemef itself does not use it"
    return [Finding("System", "/dev/shm", "ok", detail)]


def cores_and_memory() -> list[Finding]:
    """CPU cores and memory."""
    usable, total = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    free = psutil.virtual_memory().available
    enough = free > 1 << 30
    return [
        Finding("System", "cores", "ok", f"{usable} usable of {total}"),
        Finding(
            "System",
            "memory",
            "ok" if enough else "broken",
            f"{free / 2**30:.1f} GiB available",
            "" if enough else "less than 1 GiB: close other programs, or fuse smaller pictures",
        ),
    ]


def clocks(source: Path = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")) -> list[Finding]:
    """The clocks of time stamps."""
    findings = []
    for name, clock in (("monotonic", time.CLOCK_MONOTONIC), ("boottime", time.CLOCK_BOOTTIME)):
        findings.append(Finding("Clocks", name, "ok", f"resolution {time.clock_getres(clock) * 1e9:.0f} ns"))
    if source.is_file():
        findings.append(Finding("Clocks", "clock source", "ok", source.read_text().strip()))
    return findings
