from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.motion import Pan, Sway
from livemef.capture.cameras.simulation.scene import Mover, Scene, flat_scene
from livemef.capture.cameras.simulation.view import Lamps, Shutter, View, window_taps

HEIGHT, WIDTH = 96, 128
STEADY = Lamps(0.0, 100.0)


@dataclass(frozen=True)
class Line:
    """Uniform motion from (x, y) at time 0."""

    start: tuple[float, float]
    speed: tuple[float, float] = (0.0, 0.0)

    def at(self, time_s: float) -> tuple[float, float]:
        return self.start[0] + self.speed[0] * time_s, self.start[1] + self.speed[1] * time_s


def electrons(scene: Scene, shutter: Shutter, lamps: Lamps = STEADY) -> NDArray[np.float32]:
    view = View(scene, HEIGHT, WIDTH, 10000.0, lamps)
    return np.concatenate([band.copy() for _, band in view.bands(shutter)])


def edge_scene(speed: float) -> Scene:
    """Black on the left, white on the right of column 400; the camera moves to the right at `speed` pixels a second."""
    radiance = np.zeros((HEIGHT + 4, 800, 3), np.float32)
    radiance[:, 400:] = 1.0
    return Scene(radiance, Line((340.0, 1.0), (speed, 0.0)))


def edge_column(row: NDArray[np.float32]) -> float:
    """Where a row goes from black to white, in pixels: white pixels counted from the right."""
    return WIDTH - float(row.sum() / row.max())


@pytest.mark.parametrize("exposure_us", [100.0, 1000.0, 16000.0])
def test_light_is_proportional_to_the_exposure(exposure_us: float) -> None:
    collected = electrons(flat_scene(WIDTH, HEIGHT), Shutter(0.01, exposure_us / 1e6, 0.02))
    assert collected.shape == (HEIGHT, WIDTH)
    assert collected == pytest.approx(0.5 * 10000 * exposure_us / 16000, rel=1e-4)


def test_each_pixel_sees_its_own_colour_whatever_the_window() -> None:
    radiance = np.zeros((HEIGHT + 8, WIDTH + 8, 3), np.float32)
    radiance[:] = (0.1, 0.2, 0.3)
    for x in range(3):
        for y in range(3):
            seen = electrons(Scene(radiance, Line((x, y))), Shutter(0, 0.016, 0)) / 10000
            assert seen[0::2, 0::2] == pytest.approx(0.3, rel=1e-4)
            assert seen[0::2, 1::2] == pytest.approx(0.2, rel=1e-4)
            assert seen[1::2, 0::2] == pytest.approx(0.2, rel=1e-4)
            assert seen[1::2, 1::2] == pytest.approx(0.1, rel=1e-4)


def test_the_rolling_shutter_skews_what_moves() -> None:
    speed, readout = 1000.0, 0.020
    rolling = electrons(edge_scene(speed), Shutter(0.0, 0.0005, readout))
    skew = edge_column(rolling[4]) - edge_column(rolling[HEIGHT - 5])
    # between rows 4 and 91 of 96, but for the bands that share one moment
    assert skew == pytest.approx(speed * readout * 87 / 96, abs=speed * readout * 24 / 96)
    whole = electrons(edge_scene(speed), Shutter(0.0, 0.0005, 0.0))
    assert edge_column(whole[4]) == pytest.approx(edge_column(whole[HEIGHT - 5]), abs=1e-3)


@pytest.mark.parametrize(("speed", "exposure_s"), [(0.0, 0.016), (500.0, 0.016), (1000.0, 0.016), (1000.0, 0.004)])
def test_motion_blurs_over_the_exposure(speed: float, exposure_s: float) -> None:
    row = electrons(edge_scene(speed), Shutter(0.0, exposure_s, 0.0))[10]
    white = row.max()
    between = np.count_nonzero((row > 0.02 * white) & (row < 0.98 * white))
    assert between == pytest.approx(speed * exposure_s, abs=2.0)
    assert edge_column(row) == pytest.approx(60 - speed * exposure_s / 2, abs=0.6)


@given(
    x=st.floats(2, 60),
    y=st.floats(2, 60),
    vx=st.floats(-900, 900),
    vy=st.floats(-900, 900),
    exposure=st.floats(1e-5, 0.03),
)
def test_window_taps_have_the_mean_place_and_weight_one(
    x: float, y: float, vx: float, vy: float, exposure: float
) -> None:
    path = Line((x, y), (vx, vy))
    taps = window_taps(path, 0.0, exposure)
    assert sum(weight for _, _, weight in taps) == pytest.approx(1.0)
    middle = path.at(exposure / 2)
    assert sum(column * weight for _, column, weight in taps) == pytest.approx(middle[0], abs=0.2)
    assert sum(row * weight for row, _, weight in taps) == pytest.approx(middle[1], abs=0.2)


@given(
    depth=st.floats(0, 1),
    frequency=st.sampled_from([100.0, 120.0]),
    start=st.floats(0, 10),
    length=st.floats(1e-5, 0.04),
)
def test_flicker_is_the_integral_of_the_lamps(depth: float, frequency: float, start: float, length: float) -> None:
    times = start + (np.arange(2000) + 0.5) / 2000 * length
    expected = np.mean(1 + depth * np.cos(2 * math.pi * frequency * times))
    assert Lamps(depth, frequency).mean(start, length) == pytest.approx(expected, abs=1e-4)


def test_flicker_bands_the_picture_unless_the_exposure_spans_whole_periods() -> None:
    lamps = Lamps(0.5, 100.0)
    banded = electrons(flat_scene(WIDTH, HEIGHT), Shutter(0.0, 0.001, 0.02), lamps)
    even = electrons(flat_scene(WIDTH, HEIGHT), Shutter(0.0, 0.010, 0.02), lamps)
    assert banded.mean(axis=1).std() / banded.mean() > 0.1
    assert even.mean(axis=1).std() / even.mean() < 1e-4


def mover_scene(speed: float) -> Scene:
    coverage = np.zeros((30, 30), np.float32)
    coverage[5:25, 5:25] = 1.0
    square = Mover(np.repeat((2.0 * coverage)[..., None], 3, axis=2), coverage, Line((40.0, 30.0), (speed, 0.0)))
    still = flat_scene(WIDTH, HEIGHT)
    return Scene(still.radiance, Line((0.0, 0.0)), (square,))


def test_a_mover_covers_what_is_behind_it_and_nothing_else() -> None:
    seen = electrons(mover_scene(0.0), Shutter(0.0, 0.008, 0.02)) / 5000
    assert seen[36:54, 46:64] == pytest.approx(2.0, rel=1e-3)
    seen[34:56, 44:66] = 0.5
    assert seen == pytest.approx(0.5, rel=1e-3)


def test_a_mover_is_blurred_and_skewed_without_losing_light() -> None:
    still = electrons(mover_scene(0.0), Shutter(0.0, 0.008, 0.02)).sum(dtype=float)
    moving = electrons(mover_scene(1000.0), Shutter(0.0, 0.008, 0.02))
    assert moving.sum(dtype=float) == pytest.approx(still, rel=1e-3)
    columns = np.arange(WIDTH)
    excess = moving - 0.25 * 10000
    centre = [float((excess[row] * columns).sum() / excess[row].sum()) for row in (38, 52)]
    assert centre[1] - centre[0] == pytest.approx(1000 * 0.02 * 14 / 96, abs=0.3)


def test_a_mover_may_be_partly_or_wholly_outside() -> None:
    for start in ((-15.0, -15.0), (WIDTH - 10.0, HEIGHT - 10.0), (-500.0, 20.0), (20.0, 900.0)):
        scene = mover_scene(0.0)
        moved = Scene(
            scene.radiance, scene.window, (Mover(scene.movers[0].radiance, scene.movers[0].coverage, Line(start)),)
        )
        seen = electrons(moved, Shutter(0.0, 0.008, 0.02)) / 5000
        assert seen.min() >= 0.49
        assert seen[HEIGHT // 2, WIDTH // 2] == pytest.approx(0.5, rel=1e-3)


@given(time_s=st.floats(0, 1e5), speed=st.floats(0, 100))
def test_paths_stay_within_their_bounds(time_s: float, speed: float) -> None:
    x, y = Sway((30, 20), (28, 10), (19.0, 13.0), speed).at(time_s)
    assert 2 <= x <= 58
    assert 10 <= y <= 30
    x, y = Pan((5, 3), 40.0 * speed, 700.0).at(time_s)
    assert 0 <= x < 700
    assert y == 3
