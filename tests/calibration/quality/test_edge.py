"""The slanted edge against edges whose response is known exactly."""

import math

import numpy as np
import pytest

from livemef.calibration.errors import CalibrationError
from livemef.calibration.quality.edge import crossing, measure_edge


def edge(sigma: float, angle: float, shift: float = 0.0, height: int = 120, width: int = 96) -> np.ndarray:
    """A half plane blurred by a Gaussian and by the pixel's square, sampled: eight by eight points a pixel."""
    fine = 8
    y, x = (np.arange(side * fine) / fine + 0.5 / fine - 0.5 for side in (height, width))
    tilt = math.radians(angle)
    distance = ((x[None] - width / 2 - shift) - math.tan(tilt) * (y[:, None] - height / 2)) * math.cos(tilt)
    sharp = 0.5 * (1 + np.vectorize(math.erf)(distance / (sigma * math.sqrt(2))))
    return 0.05 + 0.55 * sharp.reshape(height, fine, width, fine).mean(axis=(1, 3))


def true_crossing(sigma: float, level: float) -> float:
    frequencies = np.linspace(0, 1.5, 15001)
    return crossing(frequencies, np.exp(-2 * (math.pi * sigma * frequencies) ** 2) * np.sinc(frequencies), level)


def in_colour(plane: np.ndarray) -> np.ndarray:
    return np.stack([plane] * 3, axis=-1)


@pytest.mark.full
def test_fifty_random_edges_are_measured_within_three_percent() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        sigma, angle = rng.uniform(0.35, 1.0), rng.uniform(3, 8) * rng.choice([-1, 1])
        plane = edge(sigma, angle, height=72, width=64)
        plane = plane + rng.normal(0, 0.002, plane.shape)
        found = measure_edge(in_colour(plane if rng.random() < 0.5 else plane.T))
        assert found.mtf50 == pytest.approx(true_crossing(sigma, 0.5), rel=0.03)
        assert found.mtf10 == pytest.approx(true_crossing(sigma, 0.1), rel=0.08)
        assert found.tilt_degrees == pytest.approx(abs(angle), abs=0.2)
        assert found.largest < 1.02


def test_sharpening_shows_above_one() -> None:
    import cv2

    plane = edge(0.5, 5)
    for amount, largest in ((0.3, 1.04), (0.6, 1.18), (1.0, 1.42)):
        sharpened = plane + amount * (plane - cv2.GaussianBlur(plane, (0, 0), 1.5))
        assert measure_edge(in_colour(sharpened)).largest == pytest.approx(largest, abs=0.05)


def test_channels_that_do_not_lie_on_each_other() -> None:
    planes = [edge(0.6, 5, shift) for shift in (0.33, 0.0, -0.2)]
    assert measure_edge(np.stack(planes, axis=-1)).misregistration_px == pytest.approx(0.33, abs=0.01)


@pytest.mark.parametrize(
    ("region", "says"),
    [
        (np.full((50, 50, 3), 0.5), "no clear edge"),
        (in_colour(edge(0.5, 0.2)), "tilted by 0.2"),
        (in_colour(edge(0.5, 5)[:12]), "smaller than"),
    ],
)
def test_what_is_no_slanted_edge_is_refused(region: np.ndarray, says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        measure_edge(region)
