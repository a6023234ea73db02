"""JNBM, a no-reference sharpness metric.

Ferzli, Karam, "A no-reference objective image sharpness metric based on the notion of just noticeable blur (JNB)",
IEEE TIP 18(4), 2009. Edges: Sobel, vertical ones, thinned, threshold as in MATLAB's edge(); widths as Marziliano et al.
(ICIP 2002) measure them, along the row between the neighbouring extrema. The score depends on the size of the picture:
compare pictures of one size only.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.metrics.mef_ssim import grey

Plane = NDArray[np.float64]

_BLOCK = 64
_EDGE_SHARE = 0.002
_BETA = 3.6
_LOW_CONTRAST = 50
_WIDTH_LOW_CONTRAST, _WIDTH_HIGH_CONTRAST = 5.0, 3.0
"""Just noticeable blur: width of an edge, in pixels, at which its blur becomes visible."""


def jnbm(picture: Pixels) -> float:
    """JNBM of an HxWx3 BGR uint8 picture, higher is sharper; NaN if no 64x64 block holds enough edges."""
    plane = grey(picture)
    widths = np.where(vertical_edges(plane), edge_widths(plane), 0)
    blurs = []
    for top in range(0, plane.shape[0] - _BLOCK + 1, _BLOCK):
        for left in range(0, plane.shape[1] - _BLOCK + 1, _BLOCK):
            block = np.s_[top : top + _BLOCK, left : left + _BLOCK]
            found = widths[block][widths[block] > 0]
            if found.size > _EDGE_SHARE * _BLOCK * _BLOCK:
                blurs.append(_block_blur(plane[block], found))
    if not blurs:
        return float("nan")
    return len(blurs) / float((np.array(blurs) ** _BETA).sum() ** (1 / _BETA))


def _block_blur(block: Plane, widths: NDArray[np.int64]) -> float:
    contrast = block.max() - block.min()
    unnoticed = _WIDTH_LOW_CONTRAST if contrast <= _LOW_CONTRAST else _WIDTH_HIGH_CONTRAST
    return float(((widths / unnoticed) ** _BETA).sum() ** (1 / _BETA))


def vertical_edges(plane: Plane) -> NDArray[np.bool_]:
    """Where the horizontal Sobel gradient's square exceeds four times its mean and both neighbours in its row."""
    gradient = cv2.Sobel(plane, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    energy = gradient * gradient
    edges = energy > 4 * energy.mean()
    edges[:, 1:] &= energy[:, 1:] >= energy[:, :-1]
    edges[:, :-1] &= energy[:, :-1] > energy[:, 1:]
    return np.asarray(edges)


def edge_widths(plane: Plane) -> NDArray[np.int64]:
    """For each pixel the distance, in pixels, between the local extrema of its row to the left and right of it."""
    steps = np.diff(plane, axis=1)
    rising, falling = _run_lengths(steps > 0), _run_lengths(steps < 0)
    climbs = np.zeros(plane.shape, bool)
    climbs[:, 1:-1] = plane[:, 2:] > plane[:, :-2]
    return np.where(climbs, rising, falling)


def _run_lengths(holds: NDArray[np.bool_]) -> NDArray[np.int64]:
    """holds[:, i]: the step from pixel i to i + 1 goes the right way. Per pixel the unbroken steps to both sides."""
    height, width = holds.shape[0], holds.shape[1] + 1
    before = np.zeros((height, width), np.int64)
    after = np.zeros((height, width), np.int64)
    for column in range(1, width):
        before[:, column] = (before[:, column - 1] + 1) * holds[:, column - 1]
    for column in range(width - 2, -1, -1):
        after[:, column] = (after[:, column + 1] + 1) * holds[:, column]
    return before + after
