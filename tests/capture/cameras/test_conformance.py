"""What every camera source must do, whatever is behind it: sim, file, and in the virtual machine v4l2 and csi."""

from __future__ import annotations

import gc
import itertools
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from livemef.capture.cameras.base import WritingCamera, give_room
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CameraStalled, CaptureError
from livemef.capture.frame import Exposure, LabelSource
from livemef.capture.session import CaptureSession
from tests.capture.cameras.camera_rigs import KINDS, Rig, rig
from tests.vm.kernel_camera import NODE

WAIT_S = 20.0
NOBODY = 65534


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with rig(request.param, tmp_path, lambda: request.getfixturevalue("kernel_camera")) as chosen:
        yield chosen


def fails_in_one_line(uri: str) -> str:
    with pytest.raises(CaptureError) as failure:
        open_camera(uri)
    line = str(failure.value)
    assert uri.partition("://")[2] in line
    assert "\n" not in line
    return line


def test_info_has_the_accepted_settings(source: Rig) -> None:
    with closing(open_camera(source.uri)) as camera:
        info = camera.info
        camera.start()
        frames = [camera.read(WAIT_S) for _ in range(5)]
    assert info.uri == source.uri
    assert all(frame.pixels.shape == (info.height, info.width, 3) for frame in frames)
    assert all(frame.pixels.dtype == info.dtype for frame in frames)
    assert all((frame.record.measured is not None) == info.reports_exposure for frame in frames)
    assert len(info.plan) >= 2
    for exposure in info.plan:
        assert info.limits.exposure_min_us <= exposure.exposure_us <= info.limits.exposure_max_us
        assert info.limits.gain_min <= exposure.gain <= info.limits.gain_max
    assert info.limits.exposure_max_us <= 1.01e6 / info.fps
    sequences = [frame.record.sequence for frame in frames]
    stamps = [frame.record.timestamp_ns for frame in frames]
    assert all(after > before for before, after in itertools.pairwise(sequences))
    rates = [1e9 * (n1 - n0) / (t1 - t0) for n0, n1, t0, t1 in zip(sequences, sequences[1:], stamps, stamps[1:])]  # noqa: B905
    assert sorted(rates)[len(rates) // 2] == pytest.approx(info.fps, rel=0.1)


def test_pictures_are_converted_into_given_memory(source: Rig) -> None:
    """What all cameras with a conversion of their own do; those that play files decode into memory of their own."""
    with closing(open_camera(source.uri)) as camera:
        info = camera.info
        memory = np.zeros((info.height, info.width, 3), info.dtype)
        assert give_room(camera, lambda: memory) != source.uri.startswith("file")
        if isinstance(camera, WritingCamera):
            camera.start()
            frame = camera.read(WAIT_S)
            assert frame.pixels.ctypes.data == memory.ctypes.data
            assert memory.any()


def test_all_that_is_automatic_is_off(source: Rig) -> None:
    with closing(open_camera(source.uri)) as camera:
        assert camera.info.automatic == source.automatic
        if source.kernel is not None:
            assert driver_value("auto_exposure") == 1
            if source.uri.startswith("v4l2"):
                assert driver_value("exposure_dynamic_framerate") == driver_value("white_balance_automatic") == 0


def driver_value(name: str) -> int:
    """The kernel driver's value of a control, read through another handle."""
    from linuxpy.video.device import Device

    with Device(NODE) as device:
        return int(getattr(device.controls, name).value)


def test_every_frame_is_labelled_and_none_wrong(source: Rig) -> None:
    with closing(open_camera(source.uri)) as camera:
        session = CaptureSession(camera)
        camera.start()
        labelled: list[int] = []
        while len(labelled) < 24:
            assert session.counters.received < 400  # a starved machine loses its place, and finds it again
            frame = session.next_frame(WAIT_S)
            if frame is None:
                continue
            assert frame.record.index is not None
            assert frame.record.label_source is not LabelSource.NONE
            truth = source.truth_of(camera, frame)
            expected = session.plan[frame.record.index]
            assert abs(math.log2(truth.exposure_us / expected.exposure_us)) < 0.01
            labelled.append(frame.record.index)
    assert labelled.count(0) >= 8
    assert labelled.count(1) >= 8


def test_a_late_reader_sees_a_gap(source: Rig) -> None:
    with closing(open_camera(source.uri)) as camera:
        session = CaptureSession(camera)
        camera.start()
        session.next_frame(WAIT_S)
        time.sleep(16 / camera.info.fps)
        for _ in range(12):
            session.next_frame(WAIT_S)
        assert session.counters.dropped >= 4


def test_a_stall_is_reported_and_ends(source: Rig) -> None:
    if not source.stalling and source.stall is None:
        pytest.skip("pictures from disk do not stall")
    with closing(open_camera(source.stalling or source.uri)) as camera:
        camera.start()
        camera.read(WAIT_S)
        if source.stall is not None:
            source.stall(1.5)
        with pytest.raises(CameraStalled, match=r"no frame within 0\.4 s"):  # noqa: PT012
            for _ in range(200):
                camera.read(0.4)
        camera.read(WAIT_S)


def test_a_stopped_source_says_so(source: Rig) -> None:
    camera = open_camera(source.uri)
    with pytest.raises(CaptureError, match="not started"):
        camera.read(WAIT_S)
    camera.close()
    camera.close()
    with pytest.raises(CaptureError):
        camera.read(WAIT_S)
    with pytest.raises(CaptureError):
        camera.request(Exposure(1000.0))


def test_opening_and_closing_leaves_nothing(source: Rig) -> None:
    def descriptors_after(openings: int) -> int:
        for _ in range(openings):
            open_camera(source.uri).close()
        gc.collect()  # picamera2's objects refer to each other
        return len(os.listdir("/proc/self/fd"))

    first = descriptors_after(3)
    assert descriptors_after(source.openings - 3) <= first


def test_an_exposure_outside_the_range_is_refused(source: Rig) -> None:
    with closing(open_camera(source.uri)) as camera, pytest.raises(CaptureError) as failure:
        CaptureSession(camera, [Exposure(1000.0), Exposure(1e8)])
    assert "\n" not in str(failure.value)


def test_a_camera_that_is_not_here(source: Rig) -> None:
    if not source.missing:
        pytest.skip("a simulated camera is always here")
    fails_in_one_line(source.missing)


def test_an_unknown_setting_is_refused(source: Rig) -> None:
    joint = "&" if "?" in source.uri else "?"
    assert "unknown parameter" in fails_in_one_line(f"{source.uri}{joint}wings=2")


def test_a_busy_camera_is_reported(source: Rig) -> None:
    if not source.other:
        pytest.skip("any number can have it")
    with closing(open_camera(source.uri)) as camera:
        assert "in use by another program" in fails_in_one_line(source.other)
        camera.start()
        camera.read(WAIT_S)


def test_a_lack_of_permission_is_reported(source: Rig) -> None:
    if source.kernel is None:
        pytest.skip("needs no device")
    open_camera(source.uri).close()  # all imported, while it may be read
    gc.collect()
    os.seteuid(NOBODY)
    try:
        line = fails_in_one_line(source.uri)
    finally:
        os.seteuid(0)
    assert "permission" in line
    assert "usermod -aG video" in line


def test_unplugged_while_running(source: Rig) -> None:
    if source.kernel is None:
        pytest.skip("has no plug")
    camera = open_camera(source.uri)
    camera.start()
    camera.read(WAIT_S)
    source.kernel.unplug()
    try:
        with pytest.raises(CaptureError) as failure:  # noqa: PT012
            for _ in range(12):
                camera.request(Exposure(1000.0))
                camera.read(2.0)
        assert "\n" not in str(failure.value)
        fails_in_one_line(source.uri)
    finally:
        camera.close()
        source.kernel.plug()
    with closing(open_camera(source.uri)) as again:
        again.start()
        again.read(WAIT_S)
