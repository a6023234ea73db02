"""Connected regions of a mask, and means over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.motion.ghost_mask import Mask

APART = 3
"""Half of the cells by which parts of one region may lie apart."""
BELONGS = 0.1
"""Mask from which a cell belongs to a region."""

Means = NDArray[np.float32]
"""Of each region."""


@dataclass(frozen=True)
class Regions:
    """numbers: the number of each cell's region (height x width), 0 outside of regions; means: of planes over each
    region (planes x regions, the first of which is the outside and has 0), weighted by the mask.
    """

    numbers: NDArray[np.int32]
    means: Means


def find_regions(mask: Mask, planes: Sequence[Mask]) -> Regions:
    """The connected regions of a mask (0..1), and the means of planes of its size over each."""
    near = cv2.dilate((mask >= np.float32(BELONGS)).astype(np.uint8), np.ones((2 * APART + 1,) * 2, np.uint8))
    count, found = cv2.connectedComponents(near)
    numbers: NDArray[np.int32] = np.asarray(found, np.int32)
    weights = np.bincount(numbers.ravel(), mask.ravel(), count)
    sums = [np.bincount(numbers.ravel(), (mask * plane).ravel(), count) for plane in planes]
    means = (np.stack(sums) / np.maximum(weights, BELONGS)).astype(np.float32)
    means[:, 0] = 0
    return Regions(numbers, means)


def of_regions(found: Regions, values: Means) -> Mask:
    """A plane that has in each cell the value of its region."""
    return values[found.numbers]
