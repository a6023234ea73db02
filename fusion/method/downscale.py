"""The small picture: what the network and the regional statistics see of a large one."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def small_shape(height: int, width: int, lines: int) -> tuple[int, int]:
    """Height and width of the small picture: `lines` along the shorter side, aspect kept, never enlarged."""
    shorter = min(height, width)
    if shorter <= lines:
        return height, width
    return max(1, round(height * lines / shorter)), max(1, round(width * lines / shorter))


def mean_cells(plane: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Average a plane (h x w, or h x w x channels) over height x width equal rectangles."""
    if plane.shape[:2] == (height, width):
        return plane
    halved = plane.shape[:2] == (2 * height, 2 * width)  # then both ways give the mean of four, and this one is quicker
    way = cv2.INTER_LINEAR if halved else cv2.INTER_AREA
    return np.asarray(cv2.resize(plane, (width, height), interpolation=way), np.float32)


def area_average(
    pixels: NDArray[Any], height: int, width: int, top: int = 0, bottom: int | None = None
) -> NDArray[np.float64]:
    """Average the codes of a picture (H x W x 3) over height x width equal rectangles, fractions of pixels included.

    Returns rows top..bottom of the averages, in code units.
    """
    across = _averages(pixels.shape[1], width, 0, width)[0]
    rows = []
    for row in range(top, height if bottom is None else bottom):
        down, cells = _averages(pixels.shape[0], height, row, row + 1)
        rows.append(across @ np.tensordot(down[0], pixels[cells].astype(np.float64), axes=(0, 0)))
    return np.stack(rows)


def _averages(size: int, parts: int, first: int, last: int) -> tuple[NDArray[np.float64], slice]:
    """Weights (last - first) x cells that average the parts first..last of `parts` equal intervals, and those cells."""
    edges = np.arange(first, last + 1) * (size / parts)
    cells = slice(int(edges[0]), min(size, math.ceil(edges[-1])))
    index = np.arange(cells.start, cells.stop)
    overlap = np.minimum(edges[1:, None], index + 1.0) - np.maximum(edges[:-1, None], index)
    return np.clip(overlap, 0, 1) * (parts / size), cells
