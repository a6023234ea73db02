"""From a simulated camera to a master file: colours, tones and noise against what is known of chart and sensor."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from livemef.calibration.colour_chart import measure_colour
from livemef.calibration.correction import correction_of
from livemef.calibration.profile import new_profile
from livemef.calibration.response import measure_response
from livemef.calibration.source import open_shots
from livemef.capture.cameras.registry import open_camera
from livemef.capture.files.archival_tiff import TiffMetadata, write_archival_tiff
from livemef.capture.files.colour_space import LSTAR_RGB, light_in
from livemef.capture.files.icc import icc_profile
from livemef.capture.files.image_io import read_light
from livemef.capture.frame import Exposure
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.merge import LinearMerge, Merged
from livemef.tools.cli import main
from livemef.tools.field.products import master_codes
from livemef.tools.field.project import Target
from livemef.tools.field.target import measure_target
from tests.chart_finder import needs_chart_finder
from tests.quick import quick

METADATA = TiffMetadata("chart master", "livemef", "2026:01:02 03:04:05", "+00:00", icc=icc_profile(LSTAR_RGB))


def merged(uri: str, times_us: tuple[float, ...], frames: int, correction: CameraCorrection) -> Merged:
    """So many frames of each exposure of a simulated camera, merged."""
    running = LinearMerge(times_us, correction)
    with closing(open_camera(uri)) as camera:
        camera.start()
        for index, time_us in enumerate(times_us):
            for _ in range(5):
                camera.request(Exposure(time_us))
                camera.read(1.0)
            for _ in range(frames):
                frame = camera.read(1.0)
                assert frame.record.measured == Exposure(time_us)
                running.add(index, frame.pixels)
    return running.result()


@pytest.mark.parametrize("response", quick(["linear", "srgb"], 1))
@needs_chart_finder
def test_the_charts_colours_are_in_the_master_file(
    response: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cyan too: a camera whose filters overlap sees it, and the master's colour space holds it."""
    uri = f"sim://?scene=chart&bits=16&size=320x240&pace=fast&fps=10&crosstalk=0.15&response={response}"
    measured, _ = measure_response(open_shots(uri).sweep(4))
    colour, _ = measure_colour(open_shots(uri).well_exposed(16), measured, None)
    profile = new_profile(open_shots(uri).identity).with_section(response=measured, colour=colour)
    light = merged(uri, (2000.0, 16000.0, 64000.0), 8, correction_of(profile)).light
    shot = measure_target(light, Target())
    path = tmp_path / "master.tif"
    write_archival_tiff(path, master_codes(light * np.float32(shot.scale)), METADATA)
    corners = ",".join(f"{value:.3f}" for corner in shot.quality["chart"]["corners"] for value in corner)
    assert main(["quality", str(path), "--corners", corners, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measured"]["colour_mean"] < 0.3
    assert found["measured"]["colour_max"] < 1
    assert max(map(abs, found["chart"]["tone_dl"])) < 0.3


def test_light_is_read_beyond_srgb(tmp_path: Path) -> None:
    codes = np.random.default_rng(1).integers(0, 65536, (20, 30, 3), np.uint16)
    path = tmp_path / "wide.tif"
    write_archival_tiff(path, codes, METADATA)
    light = read_light(path)
    assert light.min() < 0
    assert light.max() > 1
    assert light == pytest.approx(light_in(codes, LSTAR_RGB), abs=1e-3)


@pytest.mark.parametrize(("times_us", "frames"), [((1000.0, 4000.0, 16000.0), 8), ((500.0, 8000.0), 3)])
def test_the_signal_to_noise_ratio_is_that_of_the_electrons(times_us: tuple[float, ...], frames: int) -> None:
    """Of a flat field at the pixels that the sensor measured, against shot, read and quantisation noise."""
    full_well, read_noise, radiance = 9000.0, 6.0, 0.5
    uri = (
        f"sim://?scene=flat&bits=16&response=linear&size=320x240&pace=fast&prnu=0&row_noise=0&column_noise=0"
        f"&full_well={full_well:g}&read_noise={read_noise:g}"
    )
    black = 64 / 4095
    correction = CameraCorrection(response=np.array([[-black / (1 - black), 1.0]] * 3))
    light = merged(uri, times_us, frames, correction).light[..., 1]
    green = np.concatenate([light[0::2, 1::2].ravel(), light[1::2, 0::2].ravel()]).astype(float)
    electrons = [full_well * radiance * time_us / 16000 for time_us in times_us]
    step = full_well / (4095 - 64)
    noise = math.sqrt(frames * sum(signal + read_noise**2 + step**2 / 12 for signal in electrons))
    predicted = frames * sum(electrons) / noise
    assert green.mean() / green.std() == pytest.approx(predicted, rel=0.1)
