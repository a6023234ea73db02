"""csi:// on a Raspberry Pi, as far as its software can be stood in for: reported exposure, delays, HdrChannel, raw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from livemef.capture.bracketing.controller import ControlStatus
from livemef.capture.cameras.base import ask_for_mosaics
from livemef.capture.cameras.raw_development import develop
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, LabelSource
from livemef.capture.session import CaptureSession
from tests.capture.cameras.pi_stand_in import SENSOR_DELAYS, PiCamera, pi
from tests.quick import quick
from tests.vm import watermark

URI = "csi://0?size=160x120&fps=30"


@pytest.fixture
def camera() -> Iterator[type[PiCamera]]:
    with pi() as standing_in:
        yield standing_in


@pytest.mark.parametrize("sensor", quick(SENSOR_DELAYS, 1))
def test_every_sensor_alternates_behind_its_delay(camera: type[PiCamera], sensor: str) -> None:
    camera.sensor = sensor
    with closing(open_camera(URI)) as source:
        assert source.info.reports_exposure
        session = CaptureSession(source, [Exposure(1000.0, 1.0), Exposure(8000.0, 4.0)])
        source.start()
        kept = 0
        while kept < 24:
            assert session.counters.received < 250
            frame = session.next_frame(5.0)
            if frame is None:
                continue
            kept += session.status is ControlStatus.FOLLOWING
            assert frame.record.label_source is LabelSource.METADATA
            assert frame.record.index is not None
            assert watermark.read(frame.pixels)[1] == session.plan[frame.record.index].exposure_us
            assert frame.record.measured is not None
            assert frame.record.measured.gain == pytest.approx(session.plan[frame.record.index].gain)
            assert frame.record.clock == "boottime"


def test_automatic_functions_are_switched_off(camera: type[PiCamera]) -> None:
    with closing(open_camera(URI)) as source:
        assert source.info.automatic == ()
        assert source.info.fps == pytest.approx(30.0, rel=1e-3)
    tuning = camera.tunings[-1]
    assert tuning["algorithms"][0]["rpi.contrast"]["ce_enable"] == 0
    assert tuning["sensor"] == "imx708.json"


def test_the_driver_alternates_by_itself(camera: type[PiCamera]) -> None:
    with closing(open_camera(f"{URI}&hdr=native")) as source:
        assert not source.info.can_request
        assert [exposure.exposure_us for exposure in source.info.plan] == pytest.approx([1000.0, 16000.0], rel=0.01)
        session = CaptureSession(source)
        source.start()
        frames = [frame for _ in range(12) if (frame := session.next_frame(5.0)) is not None]
    assert len(frames) == 12
    for frame in frames:
        assert frame.record.label_source is LabelSource.NATIVE
        assert frame.record.index == (0 if watermark.read(frame.pixels)[1] < 4000 else 1)


def test_the_raw_stream(camera: type[PiCamera]) -> None:
    with closing(open_camera(f"{URI}&stream=raw&colour_gains=1,1")) as source:
        assert source.info.dtype == "uint16"
        assert ask_for_mosaics(source)
        source.start()
        frame = source.read(5.0)
    assert frame.pixels.shape == (120, 160, 3)
    assert frame.record.white_level == 65535.0
    # bits of the watermark that are 0 stand at the black level, others near white
    corner = frame.pixels[3:6, 3:126]
    assert corner.min() == 0
    assert corner.max() > 60000
    assert frame.mosaic is not None
    assert frame.mosaic.values.shape == (120, 160)
    assert np.array_equal(develop(frame.mosaic), frame.pixels)
    with closing(open_camera(URI)) as source:
        assert not ask_for_mosaics(source)


def test_frames_too_fast_for_the_agc_are_refused_until_it_is_configured(
    camera: type[PiCamera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = "csi://0?size=160x120&fps=60"
    monkeypatch.delenv("LIBCAMERA_RPI_CONFIG_FILE", raising=False)
    with pytest.raises(CaptureError, match="controller_min_frame_duration_us below 16667"):
        open_camera(fast)
    config = tmp_path / "rpi.yaml"
    config.write_text('{"pipeline_handler": {"controller_min_frame_duration_us": 10000}}')
    monkeypatch.setenv("LIBCAMERA_RPI_CONFIG_FILE", str(config))
    with closing(open_camera(fast)) as source:
        assert source.info.fps == pytest.approx(60.0, rel=0.01)


def test_an_error_in_picamera2s_thread_comes_out_of_read(camera: type[PiCamera]) -> None:
    with closing(open_camera(URI)) as source:
        source.start()
        del source._camera.camera_controls["ExposureTime"]  # type: ignore[attr-defined]
        source.request(Exposure(1000.0))
        with pytest.raises(CaptureError, match="not advertised"):  # noqa: PT012
            for _ in range(10):
                source.read(5.0)


def test_stride_padding_is_cut_off(camera: type[PiCamera]) -> None:
    with closing(open_camera("csi://0?size=162x120&fps=30")) as source:
        source.start()
        pixels = source.read(5.0).pixels
    assert pixels.shape == (120, 162, 3)
    assert np.ptp(pixels[60, 150:]) > 0 or pixels[60, 150:].min() > 0
