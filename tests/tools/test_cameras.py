"""`livemef cameras`: what is here, what each camera accepts, and whether its exposure alternates."""

from __future__ import annotations

import json

import pytest

from livemef.capture.transport.frame_json import info_from_dict
from livemef.tools.doctor.cameras import attempt, find
from tests.tools.command import livemef

SIM = "sim://?scene=bars&motion=0&size=160x120&fps=100&pace=fast&metadata=off"


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


@pytest.mark.vm
@pytest.mark.usefixtures("kernel_camera")
def test_the_kernels_camera_is_found_and_tried_both_ways() -> None:
    (usb,) = find("v4l2")["cameras"]
    (seen_by_libcamera,) = find("csi")["cameras"]
    assert (usb["uri"], seen_by_libcamera["uri"]) == ("v4l2:///dev/video0", "csi://0")
    assert usb["name"].startswith(seen_by_libcamera["name"])
    assert "YUYV 160x120 at 10 fps" in usb["modes"]
    assert seen_by_libcamera["modes"] == ("up to 160x120",)
    for camera in (usb, seen_by_libcamera):
        answer = attempt(camera["uri"])
        assert answer["alternates"] is True
        assert 2 <= answer["exposure_delay"] <= 9
