"""How much do a still scene's cells scatter from frame to frame of one exposure? By level, followed over time."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.ghost_mask import CODE, LEVEL, LEVELS, SPREAD_OF_MAD, Grid
from livemef.fusion.motion.intensity_mapping import Curve, ExposureMap

NoiseLevels = NDArray[np.float32]
"""Deviation of one frame's cells, encoded, at LEVELS equal intervals of the encoded value."""

LEAST, MOST, FIRST = 0.6 * CODE, 0.06, 2 * CODE
DARK_LEVELS = 3
FALLING, RISING = 1 / 4, 1 / 24
"""Part of a lower, and of a higher measurement that is taken on: what moves can only make the noise seem larger."""
MOST_SAMPLES, FEWEST_OF_LEVEL = 6000, 40
OF_MEDIAN = SPREAD_OF_MAD / np.sqrt(2)
"""A frame's deviation over the median difference of two frames."""


def measured_noise(grid: Grid, old: Grid) -> NDArray[np.float64]:
    """Deviation of one frame's cells at each level, from the median difference of two; NaN for a level that too few
    cells have."""
    step = sampling_step(grid)
    new, former = (picture[step // 2 :: step, step // 2 :: step].ravel() for picture in (grid, old))
    levels = np.minimum((np.maximum(new, former) * np.float32(LEVELS)).astype(np.uint8), LEVELS - 1)
    order = np.argsort(levels, kind="stable")
    differences = np.abs(new - former)[order]
    edges = np.searchsorted(levels[order], np.arange(LEVELS + 1))
    measured = np.full(LEVELS, np.nan)
    for level in range(LEVELS):
        seen = differences[edges[level] : edges[level + 1]]
        if seen.size >= FEWEST_OF_LEVEL:
            measured[level] = OF_MEDIAN * np.partition(seen, seen.size // 2)[seen.size // 2]
    return measured


def sampling_step(grid: Grid) -> int:
    """Every so many cells of a grid are measured."""
    return max(1, int(np.sqrt(grid.size / MOST_SAMPLES)))


def followed(
    before: NoiseLevels | None,
    grid: Grid,
    old: Grid,
    measure: Callable[[Grid, Grid], NDArray[np.float64]] = measured_noise,
) -> NoiseLevels:
    """The noise after another frame, `grid`, whose predecessor of the same exposure is `old` (without the camera's
    move). before: the noise so far, None at first. measure: what does as `measured_noise`.
    """
    measured = measure(grid, old)
    if before is None:
        found = np.where(np.isnan(measured), FIRST, np.minimum(measured, 2 * FIRST))
    else:
        rate = np.where(measured < before, FALLING, RISING)
        found = np.where(np.isnan(measured), before, before + rate * (measured - before))
    return np.clip(found, 0, MOST).astype(np.float32)


def judged_by(noise: NoiseLevels) -> NoiseLevels:
    """The noise by which changes are judged: never less than what coarse codes and rounded moves bring about."""
    return np.maximum(noise, np.float32(LEAST))


def of_dark_pixels(noise: NoiseLevels | None, cell: float) -> float:
    """Deviation (encoded) of a dark pixel, if neighbours' noise is independent; 0 if nothing has been measured. cell:
    side of a grid's cell in pixels.
    """
    return 0.0 if noise is None else min(statistics.median(noise[:DARK_LEVELS].tolist()) * max(cell, 1.0), MOST)


def at(noise: NoiseLevels | None, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Deviation of a cell at encoded values; FIRST if nothing has been measured."""
    if noise is None:
        return np.full(np.shape(values), FIRST)
    return noise[np.minimum((values * LEVELS).astype(np.int32), LEVELS - 1)].astype(np.float64)


def least_variance(exposures: ExposureMap, dark: NoiseLevels | None, bright: NoiseLevels | None) -> Curve:
    """What the noise of two exposures brings about between them: variance at the knots of the darker one's values."""
    enlarged = intensity_mapping.smooth(exposures.slope) * at(dark, LEVEL)
    return np.asarray(np.square(enlarged) + np.square(at(bright, exposures.brighter)), np.float64)
