"""Means of the steering planes over a cycle of exposures, where nothing has changed: without anything of its period."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import downscale
from livemef.fusion.motion import registration
from livemef.fusion.motion.ghost_mask import Mask
from livemef.fusion.motion.registration import Move

Planes = NDArray[np.floating[Any]]
"""Small planes, height x width x their number."""

STILL_GAIN = 4.0
"""A window of which a quarter has changed is steered by the newest bracket alone."""


def still(changed: Sequence[Mask], height: int, width: int, radius: int) -> Mask:
    """How far nothing has changed, 0..1, in the window of 2 radius + 1 about each pixel of a small picture.

    changed: how surely each cell of a grid has, by exposure; height x width pixels of as many cells each.
    """
    any_changed = reduce(np.maximum, changed)
    near = cv2.blur(downscale.mean_cells(any_changed, height, width), (2 * radius + 1,) * 2)
    return np.asarray(1 - np.clip(STILL_GAIN * near, 0, 1), np.float32)


def towards_mean(newest: Planes, past: Sequence[Planes], part: Mask) -> Planes:
    """The newest planes; by `part` (height x width) the mean of the past ones, among which they are."""
    mean = reduce(np.add, past)
    mean *= 1 / len(past)
    mean -= newest
    mean *= part[..., None]
    mean += newest
    return mean


def moved_planes(planes: Planes, move: Move) -> Planes:
    """Planes without the camera's move, see registration.moved."""
    return registration.moved(planes.astype(np.float32), move).astype(np.float64)


def mean_lightness(affine: Planes, lights: Sequence[NDArray[np.floating[Any]]]) -> float:
    """Mean of the lightness, held within 0..100, that coefficients A of each L* plane in `lights`, then C, give."""
    light = affine[..., 0] * lights[0]
    for index, own in enumerate(lights[1:], 1):
        light = light + affine[..., index] * own
    return float(np.clip(light + affine[..., -1], 0, 100).mean())
