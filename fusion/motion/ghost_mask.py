"""Where do two exposures of a scene show different things, beyond what noise and clipping explain?"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.intensity_mapping import Curve, ExposureMap

Grid = NDArray[np.float32]
"""A picture of the motion grid: cells down x cells across x 3, BGR, encoded 0..1."""
Mask = NDArray[np.float32]
"""Cells down x cells across, 0..1."""

CODE = 1 / 255
LEVELS = 16
MOST_SAMPLES = 1500
SURE, CERTAIN = 4.0, 7.0
"""Deviations at which a disagreement begins to count, and counts in full."""
CONTRAST_PART = 0.08
"""Part of the contrast between neighbouring cells that is put down to edges not lying quite the same."""
SPREAD_OF_MAD = 1.4826
LEVEL = np.linspace(0, 1, intensity_mapping.KNOTS + 1)


@dataclass(frozen=True)
class Allowed:
    """What two exposures may differ by. expected: the over-exposed value, noise: the variance of the difference, for
    every level of the under-exposed one (exposure_map's knots).
    """

    expected: Curve
    noise: Curve


def disagreement(under: Grid, over: Grid, allowed: Allowed) -> Mask:
    """How surely the exposures of a grid show different things, 0..1: from SURE to CERTAIN standard deviations, the
    largest over the channels.

    Compared as the brighter exposure shows it: where it clips the darker one may say what it likes from there up, and
    in the dark the darker one's noise, enlarged by the ratio, allows for itself.
    """
    variance = intensity_mapping.nearest(allowed.noise, under) + np.square(np.float32(CONTRAST_PART) * contrast(over))
    squares = (np.square(intensity_mapping.nearest(allowed.expected, under) - over) / variance).max(axis=2)
    return np.asarray(np.clip((np.sqrt(squares) - SURE) / (CERTAIN - SURE), 0, 1), np.float32)


def allowed_differences(under: Grid, over: Grid, exposures: ExposureMap) -> Allowed:
    """Measured in the pictures themselves: median and spread (from the median of deviations) of the difference between
    the expected and the seen over-exposed values at each level of the under-exposed one.

    What moves is taken to be less than half of every level. Both are held within what a sensor's noise, a picture's
    coarse codes and a response not quite known can bring about, so that a level where all has moved does not pass for
    noise.
    """
    step = max(1, int(np.sqrt(under.size / MOST_SAMPLES)))
    levels = under[step // 2 :: step, step // 2 :: step].ravel()
    seen = over[step // 2 :: step, step // 2 :: step].ravel()
    parts = min(LEVELS, len(levels))
    # stable: levels that tie would be grouped in another order on other processors, with other medians
    order = np.argsort(levels, kind="stable")[len(levels) % parts :].reshape(parts, -1)
    middle = order.shape[1] // 2
    difference = (intensity_mapping.nearest(exposures.brighter, levels) - seen)[order]
    medians = np.sort(difference, axis=1)[:, middle]
    spreads = SPREAD_OF_MAD * np.sort(np.abs(difference - medians[:, None]), axis=1)[:, middle]
    centres = levels[order[:, middle]]
    code = CODE * exposures.slope
    most_bias, least_spread, most_spread = 0.05 + code, CODE + 0.25 * code, 0.03 + 2 * code
    bias = np.minimum(np.maximum(np.interp(LEVEL, centres, medians), -most_bias), most_bias)
    spread = np.minimum(np.maximum(np.interp(LEVEL, centres, spreads), least_spread), most_spread)
    return Allowed(np.minimum(np.maximum(exposures.brighter - bias, 0), 1), np.square(spread))


def contrast(grid: Grid) -> Grid:
    """Largest less smallest value among the 3 x 3 cells around each, by channel."""
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(grid, kernel) - cv2.erode(grid, kernel), np.float32)


def soft_mask(disagreement: Mask) -> Mask:
    """Where the reference exposure shall stand alone, 0..1 in 255ths: disagreements, without gaps and a cell wider."""
    codes = cv2.convertScaleAbs(disagreement, alpha=255)  # ten times as quick as floats
    whole = cv2.morphologyEx(codes, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return cv2.dilate(whole, np.ones((3, 3), np.uint8)) * np.float32(1 / 255)
