"""How has the whole picture moved between two exposures? A shift and a turn, and whether undoing it helps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion.motion import exposure_map
from fusion.motion.exposure_map import ExposureMap

Plane = NDArray[np.float32]

LARGEST_SIDE = 160
"""Planes are brought to about this many cells across: a hundredth of such a cell is still found."""
CEILING = 0.96
"""Encoded values above are taken for clipped."""
STEPS = 6
ENOUGH = 0.01
"""Cells; the search ends with a step shorter than this."""
ROBUST = 0.04
"""Difference, encoded, at which a cell's say is halved: what moves by itself must not pull the picture along."""
GAIN = 0.9
"""Undoing a move must bring the mean difference down to this part, or it is let be."""
SMALLEST_SIDE = 16
"""Cells; the search begins on planes about so small: a move by a tenth of the picture is a cell or two there."""
LEAST_SEEN = 0.05
"""Part of the cells that must tell something."""


@dataclass(frozen=True)
class Move:
    """Where the reference's point (x, y) lies in the other exposure: turned about the picture's middle, and shifted.

    dx, dy in pixels of the picture that it is meant for; turn in radians, small.
    """

    dx: float = 0.0
    dy: float = 0.0
    turn: float = 0.0

    def scaled(self, factor: float) -> Move:
        """For a picture `factor` times as large."""
        return Move(self.dx * factor, self.dy * factor, self.turn)

    def matrix(self, height: int, width: int) -> NDArray[np.float64]:
        """2 x 3: from (x, y) of the reference to the other exposure's, pixel centres at whole numbers."""
        x, y = (width - 1) / 2, (height - 1) / 2
        return np.array([[1, -self.turn, self.dx + self.turn * y], [self.turn, 1, self.dy - self.turn * x]])

    def reach(self, height: int, width: int) -> float:
        """The largest shift of any pixel, at most."""
        return float(np.hypot(self.dx, self.dy) + abs(self.turn) * np.hypot(height, width) / 2)


NO_MOVE = Move()


def estimate(reference: Plane, other: Plane, exposures: ExposureMap, reference_is_over: bool) -> Move:
    """The move of a grid (cells x 3, BGR, encoded 0..1), in cells. NO_MOVE if small or no gain."""
    factor = max(1, round(max(reference.shape) / LARGEST_SIDE))
    still, stirred = (
        _comparable(grid, exposures, is_over, factor)
        for grid, is_over in ((reference, reference_is_over), (other, not reference_is_over))
    )
    return _estimate(still, stirred).scaled(factor)


def _comparable(grid: Plane, exposures: ExposureMap, is_over: bool, factor: int) -> Plane:
    """Luma as the brighter exposure shows it, short of clipping, on fewer cells."""
    size = grid.shape[1] // factor, grid.shape[0] // factor
    grid = grid[: size[1] * factor, : size[0] * factor]
    small = cv2.resize(grid, size, interpolation=cv2.INTER_AREA)
    luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)
    return np.minimum(luma if is_over else exposure_map.at(exposures.brighter, luma), np.float32(CEILING))


def _estimate(reference: Plane, other: Plane) -> Move:
    """From coarse to fine."""
    levels = [(reference, other)]
    while min(levels[-1][0].shape) >= 2 * SMALLEST_SIDE:
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    move = NO_MOVE
    for still, stirred in reversed(levels):
        move = _refined(still, stirred, move.scaled(2.0))
    before, after = difference(reference, other), difference(reference, warped(other, move))
    return NO_MOVE if after > GAIN * before else move


def _halved(plane: Plane) -> Plane:
    size = plane.shape[1] // 2, plane.shape[0] // 2
    return np.asarray(cv2.resize(plane[: 2 * size[1], : 2 * size[0]], size, interpolation=cv2.INTER_AREA))


def warped(plane: Plane, move: Move) -> Plane:
    """The plane as it would be without the move; NaN where it shows nothing."""
    height, width = plane.shape[:2]
    return np.asarray(
        cv2.warpAffine(
            plane,
            move.matrix(height, width),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(np.nan, np.nan, np.nan, np.nan),
        )
    )


def difference(reference: Plane, other: Plane) -> float:
    """Mean robust difference, 0..1, over cells that both show and that do not clip in both."""
    usable = (reference < CEILING) | (other < CEILING)  # false where NaN meets clipping
    squares = np.square((reference - other)[usable])
    squares = squares[np.isfinite(squares)]
    if len(squares) < LEAST_SEEN * reference.size:
        return 0.0
    return float((squares / (squares + np.float32(ROBUST**2))).mean())


@lru_cache(maxsize=16)
def _from_middle(height: int, width: int) -> tuple[Plane, Plane]:
    """x and y of every cell, from the middle."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x - np.float32((width - 1) / 2), y - np.float32((height - 1) / 2)


def _refined(reference: Plane, other: Plane, move: Move) -> Move:
    """Gauss-Newton on shift and turn, each cell weighted down by its difference (Lucas and Kanade 1981)."""
    height, width = reference.shape
    x, y = _from_middle(height, width)
    along, down = (cv2.Sobel(reference, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    slopes = np.stack([along, down, down * x - along * y], axis=-1).reshape(-1, 3)
    tells = (reference < CEILING).ravel()
    for _ in range(STEPS):
        there = warped(other, move).ravel()
        usable = tells & (there < CEILING)
        if usable.mean() < LEAST_SEEN:
            return NO_MOVE
        residual = np.where(usable, there - reference.ravel(), np.float32(0))
        weight = usable / (1 + np.square(residual * np.float32(1 / ROBUST)))
        weighted = slopes * weight[:, None]
        normal = (weighted.T @ slopes).astype(np.float64)
        step = np.linalg.solve(normal + 1e-6 * np.eye(3), -(weighted.T @ residual).astype(np.float64))
        move = Move(move.dx + float(step[0]), move.dy + float(step[1]), move.turn + float(step[2]))
        if Move(*step).reach(height, width) < ENOUGH:
            break
    return move
