"""The simulated target sheet and the faults that spoil a session: places and light against what was drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from livemef.capture.cameras.registry import open_camera
from livemef.capture.cameras.simulation.scene import Radiance, bumped
from livemef.capture.cameras.simulation.target_sheet import MARKS, SIDE_MM, pixels_per_side, target_scene
from livemef.capture.cameras.simulation.targets import CHART_LINEAR_RGB, Lens
from livemef.capture.cameras.simulation.view import Lamps
from livemef.capture.frame import Frame

STRAIGHT = Lens(0.9, 0.0, 0.0, 0.0)


def marks(radiance: Radiance) -> list[tuple[float, float]]:
    """Centroids of the scale bar's round marks, x and y in pixels."""
    height, width = radiance.shape[:2]
    bar = slice(int(height * 0.84), int(height * 0.94))
    dark = np.clip(0.34 - radiance[bar, :, 1], 0, None)  # darker than the sheet
    dark[:, : int(width * 0.25)] = dark[:, int(width * 0.75) :] = 0
    found = []
    for half in (slice(0, width // 2), slice(width // 2, width)):
        y, x = np.mgrid[bar, half]
        found.append((float((dark[:, half] * x).sum()), float((dark[:, half] * y).sum())))
        found[-1] = found[-1][0] / dark[:, half].sum(), found[-1][1] / dark[:, half].sum()
    return found


@pytest.mark.parametrize("blur", [0.0, 0.8])
@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
def test_the_scale_bar_has_its_length(size: tuple[int, int], blur: float) -> None:
    left, right = marks(target_scene(*size, STRAIGHT, blur).radiance)
    length_mm = (MARKS[1][0] - MARKS[0][0]) * SIDE_MM
    assert length_mm == pytest.approx(200)
    assert math.dist(left, right) == pytest.approx(length_mm / SIDE_MM * pixels_per_side(*size), abs=0.05)
    assert left[1] == pytest.approx(right[1], abs=0.02)


def test_patches_have_the_charts_colours() -> None:
    width, height = 640, 360
    radiance = target_scene(width, height, STRAIGHT, 0.0).radiance
    side = pixels_per_side(width, height)
    for number, colour in enumerate(CHART_LINEAR_RGB):
        row, column = divmod(number, 6)
        x = width / 2 + (column * 1.15 + 0.5 - 6.75 / 2) * side
        y = height / 2 + (row * 1.15 + 0.5 - (4.45 + 0.6) / 2) * side
        assert radiance[round(y), round(x)] == pytest.approx(np.array(colour[::-1]) * 0.8, abs=1e-6)


def test_a_roll_turns_it_and_a_lens_bends_it() -> None:
    left, right = marks(target_scene(1280, 720, Lens(0.9, 0.0, 0.0, 1.0), 0.0).radiance)
    assert math.degrees(math.atan2(right[1] - left[1], right[0] - left[0])) == pytest.approx(1.0, abs=0.02)
    straight = marks(target_scene(1280, 720, STRAIGHT, 0.0).radiance)
    barrel = marks(target_scene(1280, 720, Lens(0.9, -0.1, 0.0, 0.0), 0.0).radiance)
    assert math.dist(*barrel) < math.dist(*straight) - 3


def test_a_knock_displaces_the_window_from_its_time_on() -> None:
    scene = bumped(target_scene(320, 180, STRAIGHT, 0.0), 2.0, 5.0)
    assert scene.window.at(1.9) == (0.0, 0.0)
    assert scene.window.at(2.0) == pytest.approx((4.0, 3.0))
    assert scene.radiance.shape[:2] == (182 + 4, 322 + 5)


def frame(uri: str, number: int) -> Frame:
    camera = open_camera(uri)
    camera.start()
    for _ in range(number):
        camera.read(1.0)
    return camera.read(1.0)


def test_faults_reach_the_frames() -> None:
    uri = "sim://?scene=target&size=320x180&pace=fast&bits=16&response=linear&fps=10&prnu=0&row_noise=0&column_noise=0"
    still = frame(uri, 30).pixels.astype(float)
    brighter = frame(uri + "&drift=2", 30)
    rise = (brighter.pixels.astype(float) - brighter.record.black_level).mean() / (still.mean() - 1024)
    assert rise == pytest.approx(3 ** (3.1 / 60), rel=0.01)
    before, after = (frame(uri + "&bump=2s&bump_by=10", number).pixels.astype(float) for number in (15, 30))
    noise = np.abs(before - still).mean()
    assert np.abs(after - still).mean() > 2 * noise
    assert np.abs(after[:-6, :-8] - still[6:, 8:]).mean() < 1.3 * noise


def test_a_lens_that_slips_blurs_from_its_time_on() -> None:
    uri = "sim://?scene=target&size=640x360&pace=fast&bits=16&fps=10"
    sharp, before, after = (
        np.abs(np.diff(frame(uri + slip, number).pixels.astype(float), axis=1)).max()
        for slip, number in (("", 30), ("&defocus=2s", 15), ("&defocus=2s", 30))
    )
    assert before == pytest.approx(sharp, rel=0.05)
    assert after < 0.7 * sharp


def test_light_that_drifts_changes_by_its_share_in_a_minute() -> None:
    lamps = Lamps(0.0, 100.0, -0.1)
    assert lamps.mean(0.0, 0.01) == 1
    assert lamps.mean(60.0, 0.01) == pytest.approx(0.9)
    assert Lamps(0.0, 100.0).mean(1e5, 0.01) == 1
