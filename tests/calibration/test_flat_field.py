"""Vignetting and hot pixels of cameras drawn at random, against the sensor's own maps."""

import math

import numpy as np
import pytest

from livemef.calibration.errors import CalibrationError
from livemef.calibration.flat_field import draw as draw_flat
from livemef.calibration.flat_field import interpolated, measure_flat, vignetting_of
from livemef.calibration.source import CameraShots, open_shots
from livemef.capture.cameras.simulation.sensor import vignetting_map
from tests.calibration.random_cameras import CAMERAS, draw

RAW = {"response": "linear", "bits": 16, "fps": 6}


@pytest.mark.parametrize("number", CAMERAS)
def test_vignetting_and_hot_pixels_of_a_random_camera(number: int) -> None:
    drawn = draw(number)
    lit = CameraShots(drawn.open(scene="flat", **RAW)).well_exposed(32)
    covered = drawn.open(scene="dark", **RAW)
    unlit = CameraShots(covered).longest(16)
    section = measure_flat(lit, unlit, None)
    found = vignetting_of(section, *lit.mean.shape[:2])
    true = vignetting_map(drawn.vignetting, *lit.mean.shape[:2])
    assert np.sqrt(np.mean((found - true[..., None]) ** 2, axis=(0, 1))).max() < 0.01
    model = covered._sensor.model
    assert section.dark_level == pytest.approx(model.black_code / 65535, abs=0.0005)
    noise = math.hypot(drawn.read_noise, drawn.row_noise)
    gathered_s = (unlit.exposure.exposure_us + drawn.offset_us) / 1e6
    strength = {
        (pixel.x, pixel.y): min(pixel.electrons_per_s * gathered_s, drawn.full_well) / noise
        for pixel in covered._sensor.hot_pixels
    }
    hot = set(section.hot_pixels)
    assert {place for place, sigmas in strength.items() if sigmas >= 10} <= hot
    assert hot <= {place for place, sigmas in strength.items() if sigmas >= 6}
    assert draw_flat(section, *lit.mean.shape[:2]).std() > 10


def test_without_dark_frames_only_the_light_is_known() -> None:
    lit = CameraShots(draw(1).open(scene="flat", **RAW)).well_exposed(8)
    section = measure_flat(lit, None, None)
    assert (section.dark_level, section.dark_noise, section.hot_pixels) == (None, None, ())


def test_a_grid_is_met_at_its_places_and_straight_between() -> None:
    grid = np.arange(12.0).reshape(3, 4)
    at_places = interpolated(grid, np.linspace(0, 1, 3), np.linspace(0, 1, 4))
    np.testing.assert_allclose(at_places, grid)
    np.testing.assert_allclose(interpolated(grid, np.array([0.25]), np.array([0.5])), [[3.5]])


def test_a_dark_field_a_chart_and_a_lit_dark_frame_are_refused() -> None:
    small = "size=320x240&pace=fast&response=linear&bits=16"
    dark = open_shots(f"sim://?scene=dark&{small}").longest(4)
    flat = open_shots(f"sim://?scene=flat&{small}").well_exposed(4)
    board = open_shots(f"sim://?scene=board&motion=0&{small}").well_exposed(4)
    with pytest.raises(CalibrationError, match="too dark"):
        measure_flat(dark, None, None)
    with pytest.raises(CalibrationError, match="uneven"):
        measure_flat(board, None, None)
    with pytest.raises(CalibrationError, match="cover the lens"):
        measure_flat(flat, flat, None)
