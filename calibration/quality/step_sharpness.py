"""How sharp a chart is that has no slanted edge: from how steep the borders of its patches are.

Across a step that is blurred by a Gaussian of width sigma, the mean square difference of values s pixels apart is in
proportion to s erf(s / 2 sigma) - 2 sigma / sqrt(pi) (1 - exp(-s^2 / 4 sigma^2)). Its quotient for two distances gives
sigma whatever the patches' contrast, and sigma the MTF50. An estimate, to compare one camera with itself: a slanted
edge (`edge.py`) needs no assumption about the blur.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from livemef.calibration.errors import CalibrationError
from livemef.calibration.quality.chart import patch_pixels

Values = NDArray[np.float64]

DISTANCES = 1, 6
"""Pixels."""
MARGIN = 0.06
"""Of the chart's size, taken in around it."""
LEAST_SIGMA, MOST_SIGMA = 0.15, 8.0
MTF50_OF_SIGMA = math.sqrt(2 * math.log(2)) / (2 * math.pi)
"""MTF50, in cycles per pixel, times sigma, in pixels, of a Gaussian."""


def chart_mtf50(light: Values, corners: Sequence[tuple[float, float]] | Values) -> float:
    """MTF50 of the green channel in cycles per pixel, estimated from a ColorChecker Classic.

    light: linear, height x width x 3, BGR. corners: as in ChartQuality. On the simulated target, with a blur of .4 to 2
    pixels, within 13 % of the slanted edges; a change of it within 2 % of theirs. Raises CalibrationError for a chart
    that is not wholly in the picture, or too blurred or noisy to say.
    """
    places = np.asarray(corners, np.float64)
    margin = MARGIN * np.ptp(places, axis=0).max()
    left, top = np.maximum(places.min(axis=0) - margin, 0).astype(int)
    right, bottom = np.ceil(places.max(axis=0) + margin).astype(int) + 1
    chart = light[top:bottom, left:right, 1]
    even = [patch[..., 1] for patch in patch_pixels(light, places)]
    if min(min(patch.shape) for patch in even) <= max(DISTANCES):
        raise CalibrationError("the chart is too small in the picture for its sharpness to be measured")
    near, far = (
        _mean_square(chart, distance) - float(np.mean([_mean_square(patch, distance) for patch in even]))
        for distance in DISTANCES
    )
    if not far > 0 or not near / far > _QUOTIENTS[-1]:
        raise CalibrationError("the chart is too blurred, or too noisy, for its sharpness to be measured")
    return MTF50_OF_SIGMA / float(np.interp(near / far, _QUOTIENTS[::-1], _SIGMAS[::-1]))


def _mean_square(plane: Values, distance: int) -> float:
    """Of the differences of values so far apart, across and down."""
    return float(
        np.mean(np.square(plane[distance:] - plane[:-distance]))
        + np.mean(np.square(plane[:, distance:] - plane[:, :-distance]))
    )


def _of_a_step(distance: float, sigma: float) -> float:
    lost = 2 * sigma / math.sqrt(math.pi) * (1 - math.exp(-((distance / (2 * sigma)) ** 2)))
    return distance * math.erf(distance / (2 * sigma)) - lost


_SIGMAS = np.geomspace(LEAST_SIGMA, MOST_SIGMA, 200)
_QUOTIENTS = np.array([_of_a_step(DISTANCES[0], sigma) / _of_a_step(DISTANCES[1], sigma) for sigma in _SIGMAS])
"""Falling."""
