"""Connected regions of a mask, and means over them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.motion.ghost_mask import Mask

APART = 3
"""Half of the cells by which parts of one region may lie apart."""
BELONGS = 0.1
"""Mask from which a cell belongs to a region."""


def region_means(mask: Mask, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each connected region of a mask (0..1) the mean of each of the planes (n x height x width), weighted by the
    mask; 0 outside: n x height x width.
    """
    near = cv2.dilate((mask >= np.float32(BELONGS)).astype(np.uint8), np.ones((2 * APART + 1,) * 2, np.uint8))
    count, found = cv2.connectedComponents(near)
    labels: NDArray[np.int32] = np.asarray(found, np.int32)
    weights = np.bincount(labels.ravel(), mask.ravel(), count)
    sums = [np.bincount(labels.ravel(), (mask * plane).ravel(), count) for plane in planes]
    means = (np.stack(sums) / np.maximum(weights, BELONGS)).astype(np.float32)
    means[:, 0] = 0
    return np.asarray(means[:, labels])
