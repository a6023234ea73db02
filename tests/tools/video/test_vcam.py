"""`livemef vcam`: what OpenCV and linuxpy see on a device of v4l2loopback, in the virtual machine."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from tests.tools.video.pictures_source import HEIGHT, LEFT, RIGHT, WIDTH, Source, picture

DEVICE = "/dev/video9"
LIMIT_S = 240  # the emulated machine takes a minute to start a process where the host is busy


def vcam(*words):
    command = [sys.executable, "-m", "livemef.tools.cli", "vcam", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def sending(tmp_path):
    """The source, and `livemef vcam` with it, once the device has a picture."""
    with Source(f"ipc://{tmp_path}/s") as source, vcam(DEVICE, f"ipc://{tmp_path}/s") as process:
        try:
            yield source, process
        finally:
            process.kill()


def newest_frame():
    """A picture as OpenCV reads it from the camera."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        camera = cv2.VideoCapture(DEVICE, cv2.CAP_V4L2)
        for _ in range(3):
            read, frame = camera.read()
        camera.release()
        if read:
            return frame
        time.sleep(0.5)
    raise AssertionError("no picture came")


@pytest.mark.vm
def test_opencv_and_linuxpy_see_a_camera_with_the_pictures(tmp_path):
    from linuxpy.video.device import Capability, Device

    with sending(tmp_path) as (_, process):
        frame = newest_frame()
        with Device(DEVICE) as device:
            assert Capability.VIDEO_CAPTURE in device.info.device_capabilities
            assert device.info.card == "livemef"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
    assert frame.shape == (HEIGHT - 1, WIDTH, 3)
    np.testing.assert_allclose(frame[60, 20], LEFT, atol=4)
    np.testing.assert_allclose(frame[60, -20], RIGHT, atol=4)
    assert (process.returncode, err) == (0, "")
    assert out.startswith(f"{DEVICE}: ")


@pytest.mark.vm
def test_another_size_ends_it(tmp_path):
    with sending(tmp_path) as (source, process):
        newest_frame()
        source.picture = picture(80, 60)
        _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "80x60" in err


@pytest.mark.parametrize("device", ["/dev/video99", "/dev/null", "nonsense"])
def test_without_a_device_it_says_how_to_make_one(device, tmp_path):
    with Source(f"ipc://{tmp_path}/s"), vcam(device, f"ipc://{tmp_path}/s") as process:
        _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "modprobe v4l2loopback" in err
