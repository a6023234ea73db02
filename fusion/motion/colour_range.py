"""Colours that a dim reference gives, against those that another exposure shows nearby.

Near black a code more or less in one channel is a colour, and compression leaves whole blocks with a wrong one. What
moves was somewhere near in the other exposure, with the colour that it has: what is outside the range of colours there
can hardly be its own (as in temporal anti-aliasing, Karis, "High-quality temporal supersampling", SIGGRAPH 2014).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import LUMA_WEIGHTS
from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.ghost_mask import Grid, Mask
from livemef.fusion.motion.intensity_mapping import Curve

RANGE_CELLS = 8
"""Cells to each side from which the range of colours is taken."""
DIM = 1 / 16
"""Largest encoded value of a reference's channels to which its colour is doubted for that; half as much at 1.5 DIM."""
NEAR = 2
"""Cells about one that counts of which the strangeness is wanted as well: it is blurred, and widened between cells."""


def strangeness(reference: Grid, there: Grid, curves: Curve, where: Mask | None = None) -> Mask:
    """By how much (encoded) the blue or red less luma, made from the reference, is outside their range in `there`, the
    other exposure, about the cell; weighted by how dim the reference is, 0 from 2 DIM on. h x w.

    curves: the other exposure's values for those of the reference, by channel (3 x KNOTS + 1). where:
    cells that count, above 0; what is farther than NEAR from all of them is 0.
    """
    made, seen = _chroma(intensity_mapping.at_channels(curves, reference)), _chroma(there)
    kernel = np.ones((2 * RANGE_CELLS + 1,) * 2, np.uint8)
    outside = np.maximum(made - cv2.dilate(seen, kernel), cv2.erode(seen, kernel) - made).max(axis=2)
    dim = np.clip(2 - reference.max(axis=2) * np.float32(1 / DIM), 0, 1)
    if where is not None:
        dim = dim * (cv2.dilate(where, np.ones((2 * NEAR + 1,) * 2, np.uint8)) > 0)
    return np.asarray(np.maximum(outside, 0) * dim, np.float32)


def _chroma(grid: Grid) -> NDArray[np.float32]:
    """Blue and red, each less luma: h x w x 2."""
    blue, green, red = (grid[..., channel] for channel in range(3))
    luma = sum(np.float32(weight) * plane for weight, plane in zip(LUMA_WEIGHTS, (blue, green, red), strict=True))
    return np.stack([blue - luma, red - luma], axis=-1)
