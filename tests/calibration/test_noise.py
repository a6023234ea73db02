"""Photon transfer of cameras drawn at random, against the sensor's own numbers."""

import math

import numpy as np
import pytest

from livemef.calibration.errors import CalibrationError
from livemef.calibration.mosaic import native_sites
from livemef.calibration.noise import draw as draw_noise
from livemef.calibration.noise import measure_noise
from livemef.calibration.source import CameraShots
from tests.calibration.random_cameras import CAMERAS, draw

RAW = {"scene": "flat", "response": "linear", "bits": 16, "fps": 6}


@pytest.mark.parametrize("number", CAMERAS)
def test_gain_read_noise_and_full_well_of_a_random_camera(number: int) -> None:
    drawn = draw(number)
    camera = drawn.open(**RAW)
    model = camera._sensor.model
    section, points = measure_noise(CameraShots(camera).sweep(16), None)
    codes_per_electron = model.dn_per_electron * 2 ** (model.bits - model.adc)
    # rows that change from frame to frame are noise as well
    read_noise = math.hypot(drawn.read_noise, drawn.row_noise)
    assert section.codes_per_electron == pytest.approx([codes_per_electron] * 3, rel=0.05)
    assert section.read_noise_e == pytest.approx([read_noise] * 3, rel=0.05)
    assert section.full_well_e == pytest.approx([drawn.full_well] * 3, rel=0.05)
    assert section.dynamic_range_stops == pytest.approx([math.log2(drawn.full_well / read_noise)] * 3, abs=0.15)
    assert draw_noise(section, points).std() > 10


def test_interpolated_pixels_are_distinguished_from_measured_ones() -> None:
    stack = CameraShots(draw(3).open(**RAW)).well_exposed(32)
    blue, green, red = np.moveaxis(native_sites(stack.variance), -1, 0)
    assert red.tolist() == [[True, False], [False, False]]
    assert green.tolist() == [[False, True], [True, False]]
    assert blue.tolist() == [[False, False], [False, True]]
    assert native_sites(np.random.default_rng(1).uniform(0.9, 1, (64, 64, 3))).all()


def test_single_frames_are_refused_for_noise() -> None:
    with pytest.raises(CalibrationError, match="two frames or more"):
        measure_noise(CameraShots(draw(3).open(**RAW)).sweep(1), None)
