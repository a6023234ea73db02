"""`livemef cameras`: what is here, what each camera accepts, and whether its exposure alternates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from capture.frame_json import info_from_dict
from tests.tools.command import ROOT, livemef
from tests.vm.kernel_camera import KernelCamera

SIM = "sim://?scene=bars&motion=0&size=160x120&fps=100&metadata=off"


def tried(uri: str) -> dict[str, object]:
    done = livemef("cameras", "--json", uri)
    (line,) = done.stdout.splitlines()
    camera: dict[str, object] = json.loads(line)
    assert done.returncode == (2 if camera["problem"] else 0)
    return camera


def test_a_camera_that_alternates() -> None:
    camera = tried(f"{SIM}&delay=4")
    assert camera["alternates"] is True
    assert camera["exposure_delay"] == 4
    info = info_from_dict(camera["info"])  # type: ignore[arg-type]
    assert (info.width, info.height, info.fps) == (160, 120, 100.0)


def test_a_camera_that_does_not() -> None:
    camera = tried(f"{SIM}&ignore=1")
    assert camera["alternates"] is False
    assert "does not follow" in str(camera["status"])


def test_cameras_that_cannot_be_used() -> None:
    assert "there is no such device" in str(tried("v4l2:///dev/video77")["problem"])
    assert "unknown kind" in str(tried("webcam://0")["problem"])
    # without libcamera the package is missing, with it the number is
    problem = str(tried("csi://left")["problem"])
    assert "names no camera by its number" in problem or "python3-picamera2" in problem


def test_for_people() -> None:
    done = livemef("cameras", SIM)
    assert done.returncode == 0
    for words in ("160x120 uint8 at 100 fps", "exposure 10 us to 10 ms", "alternate per frame: yes"):
        assert words in done.stdout


@pytest.fixture
def plugged_in() -> Iterator[None]:
    if "LIVEMEF_VM" not in os.environ:
        pytest.skip("runs in the virtual machine: make test-cameras")
    camera = KernelCamera()
    yield
    camera.close()


@pytest.mark.vm
@pytest.mark.usefixtures("plugged_in")
def test_the_kernels_camera_is_found_by_both_ways() -> None:
    command = [sys.executable, "-m", "tools.cli", "cameras", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    cameras = {camera["uri"]: camera for camera in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(cameras) == {"csi://0", "v4l2:///dev/video0"}
    assert all(camera["alternates"] for camera in cameras.values())
    assert "YUYV 160x120 at 20 fps" in cameras["v4l2:///dev/video0"]["modes"]
