"""v4l2:// on the virtual machine's kernel camera: every format, the gain, and what it refuses."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure
from tests.vm import watermark

URI = "v4l2:///dev/video0"


@pytest.mark.parametrize("uri", ["v4l2://video0", "v4l2://", "v4l2:///dev/null", "v4l2:///etc/hosts", "v4l2:///dev"])
def test_what_is_no_camera(uri: str) -> None:
    with pytest.raises(CaptureError) as failure:
        open_camera(uri)
    assert uri in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("name", ["nv12", "yuyv", "mjpeg", "y16"])
@pytest.mark.vm
@pytest.mark.usefixtures("kernel_camera")
def test_every_format_shows_the_same(name: str) -> None:
    with closing(open_camera(f"{URI}?format={name}")) as camera:
        assert camera.info.dtype == ("uint16" if name == "y16" else "uint8")
        camera.start()
        seen = []
        for _ in range(12):
            frame = camera.read(5.0)
            camera.request(Exposure(4000.0))
            seen.append(watermark.read(frame.pixels))
    assert seen[-1][1] == 4000.0
    numbers = [number for number, _ in seen]
    assert numbers == list(range(numbers[0], numbers[0] + 12))


@pytest.mark.vm
@pytest.mark.usefixtures("kernel_camera")
def test_the_gain_in_the_drivers_units() -> None:
    from linuxpy.video.device import Device

    with closing(open_camera(f"{URI}?gain=77")) as camera, Device("/dev/video0") as device:
        assert device.controls.gain.value == 77
        assert (camera.info.limits.gain_min, camera.info.limits.gain_max) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("size=640x480", "it offers"),
        ("format=grey", "it offers"),
        ("gain=300", "takes 0 to 255"),
        ("format=png", "format=png"),
    ],
)
@pytest.mark.vm
@pytest.mark.usefixtures("kernel_camera")
def test_what_the_camera_refuses(query: str, words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        open_camera(f"{URI}?{query}")


@pytest.mark.vm
@pytest.mark.usefixtures("kernel_camera")
def test_a_device_without_pictures() -> None:
    assert Path("/dev/video1").exists()
    with pytest.raises(CaptureError, match="delivers no pictures"):
        open_camera("v4l2:///dev/video1")
