"""How has the whole picture moved between two exposures? A shift and a turn, and whether undoing it helps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import downscale
from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.intensity_mapping import Curve, ExposureMap

Plane = NDArray[np.float32]

LARGEST_SIDE = 160
"""Planes are brought to about this many cells across: a hundredth of such a cell is still found."""
CEILING = 0.96
"""Encoded values above are taken for clipped."""
STEPS = 4
ENOUGH = 0.05
"""Cells; the search ends with a step shorter than this: the next would be shorter by far."""
ROBUST = 0.04
"""Difference, encoded, at which a cell's weight is halved, so that moving objects have little influence."""
GAIN = 0.9
"""Registration is used only if it reduces the mean difference to this part or less."""
BLOCKS = 6
"""Blocks down, and across, that say whether a move helps there: the camera's helps everywhere, that of a thing, or of
light that flickers, in few of them only."""
HELPED, HELPED_OF = 4, 3
"""Blocks helped by a move of the camera over blocks harmed, at least, and of all blocks that tell it helps one in so
many. Hand-held footage: 4.6 and more, 16 of 36 and more; waves, cars and flames seldom more than 2."""
TELLS = 0.25
"""Part of a block's cells that must be usable for it to say so."""
SMALLEST_SIDE = 16
"""Cells; the search begins on planes about so small: a move by a tenth of the picture is a cell or two there."""
LEAST_SEEN = 0.05
"""Smallest part of the cells that must be usable."""
LEAST_MOVE_PX, LEAST_TURN_PX = 0.2, 0.8
"""Pixels: smaller shifts, and rotations that move no corner by more, are ignored as invisible."""
BLACK = 7 / 255
"""Encoded value of the brighter exposure below which a border is black, as in `surround.BLACK_RAMP`."""
SEEN = 0.5
"""Part of a cell by which a border may look beyond the other exposure: a hand moves nearly every frame by so much, and
what replaces a border's cells also counts in the windows around them."""
REGULAR = 1e-6
"""Added to the diagonal of the normal equations (regularisation): a picture without gradients gives no move."""


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

    def offsets(self, height: int, width: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """(a, b), (c, d): the place of (x, y) in the other exposure is (x + a y + b, y + c x + d), pixel centres at
        whole numbers.
        """
        x, y = (width - 1) / 2, (height - 1) / 2
        return (-self.turn, self.dx + self.turn * y), (self.turn, self.dy - self.turn * x)

    def reach(self, height: int, width: int) -> float:
        """The largest shift of any pixel, at most."""
        return math.hypot(self.dx, self.dy) + abs(self.turn) * math.hypot(height, width) / 2


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
    """The normal equations of one step of the search, for a small further move (dx, dy, turn).

    matrix: 3 x 3, side: 3. seen: part of the cells that are usable, 0..1. loss: their mean robust difference, 0..1.
    """

    matrix: NDArray[np.float64]
    side: NDArray[np.float64]
    seen: float
    loss: float


class SearchLoops(Protocol):
    """The loops of a search, each defined by the function of its name."""

    def comparable(self, picture: Plane, factor: int, brighter: Curve | None = None) -> Plane:
        """See comparable."""
        ...

    def find_move(self, reference: Plane, other: Plane) -> Move:
        """See find_move."""
        ...


def estimate(
    reference: Plane,
    other: Plane,
    exposures: ExposureMap,
    reference_is_over: bool,
    loops: SearchLoops,
) -> Move:
    """The move of a grid (cells x 3, BGR, encoded 0..1), in cells. NO_MOVE if undoing it is no gain."""
    factor = fewer_by(reference)
    still, stirred = (
        loops.comparable(grid, factor, None if is_over else exposures.brighter)
        for grid, is_over in ((reference, reference_is_over), (other, not reference_is_over))
    )
    return loops.find_move(still, stirred).scaled(factor)


def searched(grid: Plane, small: Plane) -> Plane:
    """The picture in which a move is searched: the small one of the grid, unless that is very small."""
    return small if max(small.shape) >= LARGEST_SIDE / 2 else grid


def fewer_by(picture: Plane) -> int:
    """Of how many cells of a picture, down and across, one of the planes is made in which a move is searched."""
    height, width = map(int, picture.shape[:2])
    return max(1, min(round(max(height, width) / LARGEST_SIDE), height, width))  # a line has no fewer rows than one


def comparable(picture: Plane, factor: int, brighter: Curve | None = None) -> Plane:
    """Luma short of clipping, of `factor` times fewer cells down and across, of a picture (h x w x 3, encoded 0..1).

    brighter: the values of a brighter exposure for this one's, if that is to be compared; see `ExposureMap`.
    """
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    fewer = downscale.mean_cells(picture[: height * factor, : width * factor], height, width)
    luma = np.asarray(cv2.cvtColor(fewer, cv2.COLOR_BGR2GRAY), np.float32)
    return np.minimum(luma if brighter is None else intensity_mapping.nearest(brighter, luma), np.float32(CEILING))


def find_move(reference: Plane, other: Plane) -> Move:
    """The move of a plane (h x w, 0..1) in its cells, from coarse to fine. NO_MOVE if undoing it is no gain."""
    levels = [(reference, other)]
    while min(levels[-1][0].shape) >= 2 * SMALLEST_SIDE:
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    move = NO_MOVE
    for coarse, stirred in reversed(levels):
        still = Still.of(coarse)
        move = _refined(still, stirred, move.scaled(2.0))
    before, after = normal_equations(still, other, NO_MOVE), normal_equations(still, other, move)
    helps = min(before.seen, after.seen) >= LEAST_SEEN and after.loss <= GAIN * before.loss
    return move if helps and helps_most(still.plane, other, move) else NO_MOVE


def helps_most(reference: Plane, other: Plane, move: Move) -> bool:
    """Whether undoing the move helps in more than HELPED times as many blocks as it harms, and in one of HELPED_OF.

    It helps where it reduces the mean difference to GAIN, also of that without the opposite move: any move that is no
    whole number of cells makes noise less.
    """
    before, after, opposite = (
        _block_losses(reference, other, one) for one in (NO_MOVE, move, Move(-move.dx, -move.dy, -move.turn))
    )
    better = np.count_nonzero(after < GAIN * np.minimum(before, opposite))  # NaN is neither
    worse, telling = np.count_nonzero(before < GAIN * after), np.count_nonzero(~np.isnan(before))
    return bool(better > HELPED * worse and HELPED_OF * better >= telling)


def _block_losses(reference: Plane, other: Plane, move: Move) -> NDArray[np.float64]:
    """Mean robust difference in each block; NaN where few cells are usable."""
    height, width = other.shape
    usable, residual = _compared(reference, other, move)
    losses = np.square(residual) / (np.square(residual) + ROBUST**2)
    down, across = (np.arange(side) * BLOCKS // side for side in (height, width))
    blocks = (down[:, None] * BLOCKS + across).ravel()
    cells, seen, sums = (
        np.bincount(blocks, weights, BLOCKS**2) for weights in (None, usable.ravel(), (losses * usable).ravel())
    )
    return np.asarray(np.where(seen >= np.maximum(TELLS * cells, 1), sums / np.maximum(seen, 1), np.nan))


def _halved(plane: Plane) -> Plane:
    size = plane.shape[1] // 2, plane.shape[0] // 2
    return np.asarray(cv2.resize(plane[: 2 * size[1], : 2 * size[0]], size, interpolation=cv2.INTER_AREA))


def moved(picture: NDArray[np.float32], move: Move) -> NDArray[np.float32]:
    """The picture (h x w, or h x w x channels) as it would be without the move; beyond its border the nearest cell."""
    height, width = picture.shape[:2]
    x, y = _places(move, height, width)
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, above = x.astype(int), y.astype(int)
    right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
    along, down = (part.reshape(*part.shape, *[1] * (picture.ndim - 2)) for part in (x - left, y - above))
    upper = picture[above, left] + along * (picture[above, right] - picture[above, left])
    lower = picture[below, left] + along * (picture[below, right] - picture[below, left])
    return np.asarray(upper + down * (lower - upper), np.float32)


def _places(move: Move, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y in the other exposure of every cell."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    across, down = move.offsets(height, width)
    return x + across[0] * y + across[1], y + down[0] * x + down[1]


def _refined(still: Still, other: Plane, move: Move) -> Move:
    """Gauss-Newton on shift and turn, each cell weighted down by its difference (Lucas and Kanade 1981)."""
    for _ in range(STEPS):
        normal = normal_equations(still, other, move)
        if normal.seen < LEAST_SEEN:
            return NO_MOVE
        step = Move(*np.linalg.solve(normal.matrix + REGULAR * np.eye(3), -normal.side).tolist())
        move = Move(move.dx + step.dx, move.dy + step.dy, move.turn + step.turn)
        if step.reach(*other.shape) < ENOUGH:
            break
    return move


def normal_equations(still: Still, other: Plane, move: Move) -> Normal:
    """The normal equations at `move`."""
    height, width = other.shape
    usable, difference = _compared(still.plane, other, move)
    residual = difference[usable]
    rows, columns = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    turning = still.down * columns - still.along * rows
    slopes = np.stack([still.along[usable], still.down[usable], turning[usable]], axis=-1).astype(np.float64)
    weighted = slopes / (1 + np.square(residual / ROBUST))[:, None]
    losses = np.square(residual) / (np.square(residual) + ROBUST**2)
    loss = losses.sum() / max(1, losses.size)
    return Normal(weighted.T @ slopes, weighted.T @ residual, float(usable.mean()), float(loss))


def _compared(reference: Plane, other: Plane, move: Move) -> tuple[NDArray[np.bool_], Plane]:
    """Which cells are usable, which clip in neither plane and lie within the other; and the difference of all."""
    height, width = other.shape
    (x, y), there = _places(move, height, width), moved(other, move)
    within = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return within & (reference < CEILING) & (there < CEILING), np.asarray(there - reference)


def cover_unseen(mask: Plane, move: Move, brighter: NDArray[np.float32]) -> None:
    """Set the mask to 1 where a grid without the move shows nothing, and the nearest cell stands in: at the borders
    that look beyond the other exposure's by half a cell or more anywhere.

    Not where `brighter`, the grid of the brighter exposure (h x w x 3, encoded 0..1), is black: bars and other black
    surrounds do not move with the scene, and a darker exposure's noise would be enlarged there.
    """
    height, width = mask.shape
    across, down = abs(move.turn) * (height - 1) / 2, abs(move.turn) * (width - 1) / 2
    left, right = (max(0, math.ceil(across + shift - SEEN)) for shift in (-move.dx, move.dx))
    top, bottom = (max(0, math.ceil(down + shift - SEEN)) for shift in (-move.dy, move.dy))
    for border in np.s_[:top], np.s_[max(0, height - bottom) :], np.s_[:, :left], np.s_[:, max(0, width - right) :]:
        mask[border][brighter[border].max(axis=-1) >= BLACK] = 1


def worthwhile(move: Move, cell: float, shape: tuple[int, ...]) -> Move:
    """The move of a grid without what no pixel would notice."""
    turn = Move(turn=move.turn)
    if cell * turn.reach(*shape[:2]) < LEAST_TURN_PX:
        move = Move(move.dx, move.dy)
    return move if cell * move.reach(*shape[:2]) >= LEAST_MOVE_PX else NO_MOVE
