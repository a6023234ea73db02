"""How has the whole picture moved between two exposures? A shift and a turn, and whether undoing it helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
STEPS = 4
ENOUGH = 0.05
"""Cells; the search ends with a step shorter than this: the next would be shorter by far."""
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


@dataclass(frozen=True)
class Still:
    """A plane (h x w, 0..1) to which another is brought, with its slopes to the right and down, per cell."""

    plane: Plane
    along: Plane
    down: Plane

    @staticmethod
    def of(plane: Plane) -> Still:
        """The plane with its slopes."""
        along, down = (cv2.Sobel(plane, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
        return Still(plane, np.asarray(along, np.float32), np.asarray(down, np.float32))


@dataclass(frozen=True)
class Normal:
    """What one step of the search needs. matrix 3 x 3, side 3: the normal equations of a small further move (dx, dy,
    turn). seen: part of the cells that tell something. loss: their mean robust difference, 0..1.
    """

    matrix: NDArray[np.float64]
    side: NDArray[np.float64]
    seen: float
    loss: float


NormalEquations = Callable[[Still, Plane, Move], Normal]
"""Of the reference, the other exposure's plane, and the move so far."""


def estimate(
    reference: Plane,
    other: Plane,
    exposures: ExposureMap,
    reference_is_over: bool,
    equations: NormalEquations | None = None,
) -> Move:
    """The move of a grid (cells x 3, BGR, encoded 0..1), in cells. NO_MOVE if undoing it is no gain."""
    factor = max(1, round(max(reference.shape) / LARGEST_SIDE))
    still, stirred = (
        _comparable(grid, exposures, is_over, factor)
        for grid, is_over in ((reference, reference_is_over), (other, not reference_is_over))
    )
    return _estimate(still, stirred, equations or normal_equations).scaled(factor)


def _comparable(grid: Plane, exposures: ExposureMap, is_over: bool, factor: int) -> Plane:
    """Luma as the brighter exposure shows it, short of clipping, on fewer cells."""
    size = grid.shape[1] // factor, grid.shape[0] // factor
    luma = cv2.cvtColor(grid[: size[1] * factor, : size[0] * factor], cv2.COLOR_BGR2GRAY)
    small = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.float32)
    return np.minimum(small if is_over else exposure_map.nearest(exposures.brighter, small), np.float32(CEILING))


def _estimate(reference: Plane, other: Plane, equations: NormalEquations) -> Move:
    """From coarse to fine."""
    levels = [(reference, other)]
    while min(levels[-1][0].shape) >= 2 * SMALLEST_SIDE:
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    move = NO_MOVE
    for coarse, stirred in reversed(levels):
        still = Still.of(coarse)
        move = _refined(still, stirred, move.scaled(2.0), equations)
    before, after = equations(still, other, NO_MOVE), equations(still, other, move)
    return move if min(before.seen, after.seen) >= LEAST_SEEN and after.loss <= GAIN * before.loss else NO_MOVE


def _halved(plane: Plane) -> Plane:
    size = plane.shape[1] // 2, plane.shape[0] // 2
    return np.asarray(cv2.resize(plane[: 2 * size[1], : 2 * size[0]], size, interpolation=cv2.INTER_AREA))


def warped(plane: Plane, move: Move) -> Plane:
    """The plane as it would be without the move; beyond its border the nearest cell."""
    height, width = plane.shape[:2]
    return np.asarray(
        cv2.warpAffine(
            plane,
            move.matrix(height, width),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def _refined(still: Still, other: Plane, move: Move, equations: NormalEquations) -> Move:
    """Gauss-Newton on shift and turn, each cell weighted down by its difference (Lucas and Kanade 1981)."""
    for _ in range(STEPS):
        normal = equations(still, other, move)
        if normal.seen < LEAST_SEEN:
            return NO_MOVE
        step = np.linalg.solve(normal.matrix + 1e-6 * np.eye(3), -normal.side)
        move = Move(move.dx + float(step[0]), move.dy + float(step[1]), move.turn + float(step[2]))
        if Move(*step).reach(*other.shape) < ENOUGH:
            break
    return move


def normal_equations(still: Still, other: Plane, move: Move) -> Normal:
    """See Normal. A cell tells something if it clips in neither plane and its place lies in the other."""
    y, x = np.mgrid[0 : other.shape[0], 0 : other.shape[1]].astype(np.float64)
    there = _between(other, *np.tensordot(move.matrix(*other.shape), [x, y, np.ones_like(x)], axes=1))
    usable = (still.plane < CEILING) & (there < CEILING)  # false where NaN
    residual = (there - still.plane)[usable]
    middle_y, middle_x = (other.shape[0] - 1) / 2, (other.shape[1] - 1) / 2
    turning = still.down * (x - middle_x) - still.along * (y - middle_y)
    slopes = np.stack([still.along[usable], still.down[usable], turning[usable]], axis=-1).astype(np.float64)
    weighted = slopes / (1 + np.square(residual / ROBUST))[:, None]
    losses = np.square(residual) / (np.square(residual) + ROBUST**2)
    loss = losses.sum() / max(1, losses.size)
    return Normal(weighted.T @ slopes, weighted.T @ residual, float(usable.mean()), float(loss))


def _between(plane: Plane, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The plane at places between its cells; NaN outside."""
    height, width = plane.shape
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    left, above = np.clip(x, 0, width - 1).astype(int), np.clip(y, 0, height - 1).astype(int)
    right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
    upper = plane[above, left] + (x - left) * (plane[above, right] - plane[above, left])
    lower = plane[below, left] + (x - left) * (plane[below, right] - plane[below, left])
    return np.asarray(np.where(outside, np.nan, upper + (y - above) * (lower - upper)))
