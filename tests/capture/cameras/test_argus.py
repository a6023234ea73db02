"""argus://, as far as it goes without a Jetson.

Its element does not exist elsewhere. GStreamer's test source stands in its place for all that comes after it (in the
virtual machine, with Debian's GStreamer); the element's own text is only read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CameraStalled, CaptureError

CAPS = "video/x-raw,format=BGRx,width=320,height=240,framerate=20/1"

vm = pytest.mark.vm


@pytest.fixture
def camera() -> Callable[[str], Any]:
    if "LIVEMEF_VM" not in os.environ:
        pytest.skip("runs in the virtual machine: make test-cameras")
    from livemef.capture.cameras.argus import ArgusCamera, ArgusSettings, Gst

    Gst.init(None)
    return lambda source: ArgusCamera("argus://0", source, ArgusSettings(size=(320, 240), fps=20.0))


@vm
def test_frames_from_a_pipeline(camera: Callable[[str], Any]) -> None:
    with closing(camera(f"videotestsrc name=source is-live=true pattern=red ! {CAPS}")) as source:
        with pytest.raises(CaptureError, match="not started"):
            source.read(1.0)
        source.start()
        frames = [source.read(2.0) for _ in range(5)]
        assert frames[0].pixels.shape == (240, 320, 3)
        assert frames[0].pixels[100, 100].tolist() == [0, 0, 255]
        assert [frame.record.sequence for frame in frames] == sorted({frame.record.sequence for frame in frames})
        time.sleep(0.5)
        late = [source.read(2.0).record.sequence for _ in range(4)]
        assert late[-1] - frames[-1].record.sequence > 4
    with pytest.raises(CaptureError, match="closed"):
        source.read(1.0)


@vm
def test_a_pipeline_that_ends_or_fails_is_reported(camera: Callable[[str], Any]) -> None:
    with closing(camera(f"videotestsrc num-buffers=3 is-live=true ! {CAPS}")) as source:
        source.start()
        with pytest.raises(CaptureError, match="the stream has ended"):  # noqa: PT012
            for _ in range(4):
                source.read(2.0)
    with pytest.raises(CaptureError, match="no element"):
        camera("nosuchsource")


@vm
def test_a_silent_pipeline_is_a_stall(camera: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livemef.capture.cameras.argus.FIRST_FRAME_LIMIT_S", 0.5)
    with pytest.raises(CameraStalled, match="no frame within"):
        camera(f"videotestsrc is-live=true ! {CAPS} ! valve drop=true")


@vm
def test_without_a_jetson_the_error_names_what_is_missing() -> None:
    with pytest.raises(CaptureError, match="no nvarguscamerasrc: it comes with JetPack"):
        open_camera("argus://0")
    with pytest.raises(CaptureError, match="write argus://0"):
        open_camera("argus://left")


@vm
def test_the_source_is_switched_to_manual() -> None:
    from livemef.capture.cameras.argus import ArgusSettings, following_number, source_text

    text = source_text(1, ArgusSettings(gain=2.0), 1000.0)
    for part in (
        "sensor-id=1",
        'exposuretimerange="1000000 1000000"',
        'gainrange="2 2"',
        'ispdigitalgainrange="1 1"',
        "aelock=true",
        "awblock=true",
        "tnr-mode=0",
        "framerate=30000/1000",
    ):
        assert part in text
    assert following_number(7, 1_000_000_000, 1_031_000_000, 1e9 / 30) == 8
    assert following_number(7, 1_000_000_000, 1_133_000_000, 1e9 / 30) == 11
    assert following_number(7, 1_000_000_000, 1_001_000_000, 1e9 / 30) == 8
