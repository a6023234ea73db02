"""Exposures taken at different moments become exposures of one moment: the reference's.

The picture as a whole is moved back; where the exposures still disagree, beyond noise and clipping, the other exposure
is replaced by what the reference says that it would have shown. Whatever fuses them then sees one scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion import shrink
from fusion.motion import alignment, exposure_map
from fusion.motion.alignment import NO_MOVE, Move, Normal, Still
from fusion.motion.disagreement import Allowed, Grid, Mask, allowed_differences, disagreement, soft_mask
from fusion.motion.exposure_map import Curve, ExposureMap

MotionMode = Literal["off", "global", "full"]

GRID_LINES = 180
"""Lines of the motion grid along the shorter side, about: cells of 6 pixels at 1080p."""
CLIP_START, CLIP_END = 0.95, 0.99
"""Encoded values between which a pixel of the brighter exposure comes to be taken for clipped."""
LEAST_MOVE_PX, LEAST_TURN_PX = 0.2, 0.8
"""Pixels; a smaller move of the picture, and a turn that moves no corner by more, are let be."""
LEAST_FILL = 1e-3
FILL_CELLS = 4
FILL_RADII = (1, 3, 9)
FARTHER = 0.02
"""Weight of each radius of the fill over the one before."""


@dataclass(frozen=True)
class Moments:
    """How the exposures of a bracket were taken, as far as it is known.

    lights: exposure time times gain of each, in any unit; None: their ratios are told from the pictures. reference: the
    exposure whose moment the fused picture shows (live, the newest); None: the one that holds most of the scene.
    """

    lights: tuple[float, ...] | None = None
    reference: int | None = None


UNKNOWN = Moments()


@dataclass(frozen=True)
class Compensation:
    """What makes the other exposure one of the reference's moment.

    move: pixels. mask: part of the reference, cells. curve: encoded values of the other for those of the reference.
    fill: what the other exposure shows where the reference clips, FILL_CELLS cells each; None where the reference is
    the darker one. grid: the other exposure as it becomes, cells.
    """

    move: Move
    mask: Mask
    curve: Curve
    fill: Grid | None
    grid: Grid

    @property
    def idle(self) -> bool:
        """Nothing has to be done."""
        return self.move == NO_MOVE and not self.mask.any()


@dataclass(frozen=True)
class MotionReport:
    """What was done about motion. share: part of the picture, 0..1, that shows the reference alone; shift: pixels,
    the largest move of an exposure; mask: cells down x across, 0..1.
    """

    reference: int
    share: float
    shift: tuple[float, float]
    mask: Mask


class GridLoops(Protocol):
    """The loops over cells, for which a fuser may have faster ones."""

    def disagreement(self, under: Grid, over: Grid, allowed: Allowed) -> Mask:
        """See fusion.motion.disagreement."""
        ...

    def normal_equations(self, still: Still, other: Mask, move: Move) -> Normal:
        """See alignment.normal_equations."""
        ...


class DefinedLoops:
    """The GridLoops as they are defined."""

    disagreement = staticmethod(disagreement)
    normal_equations = staticmethod(alignment.normal_equations)


def grid_shape(height: int, width: int, small_lines: int) -> tuple[int, int]:
    """Cells down and across: as many to each pixel of the small picture, so that this is the mean of its cells."""
    shape = shrink.small_shape(height, width, small_lines)
    cells = max(1, min(round(GRID_LINES / small_lines), height // shape[0], width // shape[1]))
    return shape[0] * cells, shape[1] * cells


def small_picture(grid: Grid, height: int, width: int, small_lines: int) -> Grid:
    """The small picture, of the grid of a picture of height x width."""
    down, across = shrink.small_shape(height, width, small_lines)
    if grid.shape[:2] == (down, across):
        return grid
    return np.asarray(cv2.resize(grid, (across, down), interpolation=cv2.INTER_AREA), np.float32)


def compensations(
    grids: Sequence[Grid], height: int, mode: MotionMode, moments: Moments, loops: GridLoops | None = None
) -> tuple[int, dict[int, Compensation]]:
    """The reference's index, and for every other exposure (grids dark to bright) what is to be done."""
    reference = best_exposed(grids) if moments.reference is None else moments.reference
    cell = height / grids[0].shape[0]
    others = [index for index in range(len(grids)) if index != reference]
    loops = loops or DefinedLoops()
    return reference, {other: _plan(grids, reference, other, mode, moments, cell, loops) for other in others}


def report(reference: int, plans: dict[int, Compensation]) -> MotionReport:
    """What the plans amount to."""
    mask = reduce(np.maximum, [plan.mask for plan in plans.values()])
    farthest = max((plan.move for plan in plans.values()), key=lambda move: np.hypot(move.dx, move.dy))
    return MotionReport(reference, float(mask.mean()), (farthest.dx, farthest.dy), mask)


def best_exposed(grids: Sequence[Grid]) -> int:
    """The exposure with the fewest cells that are black or clipped."""
    return int(np.argmax([np.mean((grid.min(axis=2) > 0.05) & (grid.max(axis=2) < CLIP_START)) for grid in grids]))


def _plan(
    grids: Sequence[Grid],
    reference: int,
    other: int,
    mode: MotionMode,
    moments: Moments,
    cell: float,
    loops: GridLoops,
) -> Compensation:
    over_is_reference = reference > other
    maps = _exposure_map(grids, min(reference, other), max(reference, other), moments)
    move = alignment.estimate(grids[reference], grids[other], maps, over_is_reference, loops.normal_equations)
    move = _worthwhile(move, cell, grids[other].shape)
    there, unseen = _moved(grids[other], move)
    mask = unseen
    if mode == "full":
        under, over = (there, grids[reference]) if over_is_reference else (grids[reference], there)
        differs = loops.disagreement(under, over, allowed_differences(under, over, maps))
        mask = np.maximum(unseen, soft_mask(differs))
    fill = behind_clipping(grids[reference], there, mask) if over_is_reference else None
    curve = maps.darker if over_is_reference else maps.brighter
    return Compensation(move.scaled(cell), mask, curve, fill, _remade(grids[reference], there, mask, curve, fill))


def _moved(other: Grid, move: Move) -> tuple[Grid, Mask]:
    """The other grid without the move; and 1 where it shows nothing, and the nearest cell stands in: at the borders
    that look beyond the other's anywhere.
    """
    height, width = other.shape[:2]
    if move == NO_MOVE:
        return other, np.zeros((height, width), np.float32)
    corners = move.matrix(height, width) @ [[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1, 1, 1, 1]]
    shifts = corners - [[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1]]
    (right, down), (left, up) = np.ceil(np.maximum(0, shifts.max(axis=1))), np.ceil(np.maximum(0, -shifts.min(axis=1)))
    unseen = np.ones((height, width), np.float32)
    unseen[int(up) : max(0, height - int(down)), int(left) : max(0, width - int(right))] = 0
    return alignment.warped(other, move), unseen


def _remade(reference: Grid, there: Grid, mask: Mask, curve: Curve, fill: Grid | None) -> Grid:
    """The other grid as its picture becomes: see remake.exposure."""
    cells = np.flatnonzero(mask > 0)
    result, seen = there.copy(), reference.reshape(-1, 3)[cells]
    made = exposure_map.at(curve, seen)
    if fill is not None:
        down, across = np.divmod(cells, mask.shape[1])
        nearest = down * fill.shape[0] // mask.shape[0], across * fill.shape[1] // mask.shape[1]
        made = with_fill(made, fill[nearest], seen)
    flat = result.reshape(-1, 3)
    flat[cells] += mask.reshape(-1, 1)[cells] * (made - flat[cells])
    return result


def with_fill(
    made: NDArray[np.floating[Any]], fill: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Values ... x 3 of the darker exposure, encoded 0..1, where the reference, the brighter one, may clip.

    A channel that clips there is at least what the fill says, as far as the other channels let the fill be so bright.
    """
    clips = np.clip((reference - CLIP_START) / (CLIP_END - CLIP_START), 0, 1)
    bright = np.min(clips + (1 - clips) * made / np.maximum(fill, LEAST_FILL), axis=-1, keepdims=True)
    return np.asarray(made + clips * np.maximum(np.minimum(bright, 1) * fill - made, 0))


def _worthwhile(move: Move, cell: float, shape: tuple[int, ...]) -> Move:
    """The move of a grid without what no pixel would notice: a turn costs far more to undo than a shift."""
    turn = Move(turn=move.turn)
    if cell * turn.reach(*shape[:2]) < LEAST_TURN_PX:
        move = Move(move.dx, move.dy)
    return move if cell * move.reach(*shape[:2]) >= LEAST_MOVE_PX else NO_MOVE


def _exposure_map(grids: Sequence[Grid], dark: int, bright: int, moments: Moments) -> ExposureMap:
    if moments.lights is None:
        return exposure_map.of_pictures(grids[dark], grids[bright])
    return exposure_map.of_light_ratio(moments.lights[bright] / moments.lights[dark])


def behind_clipping(reference: Grid, other: Grid, mask: Mask) -> Grid | None:
    """What the darker exposure shows nearby where the brighter one clips and nothing moved; None if not needed.

    It stands for what has come into view there: the brighter exposure does not tell.
    """
    clips = cv2.inRange(reference, (0.0, 0.0, 0.0), (CLIP_START,) * 3) == 0
    replaced = mask > 0
    if not (clips & replaced).any():
        return None
    known = (clips & ~replaced).view(np.uint8)
    size = max(1, known.shape[1] // FILL_CELLS), max(1, known.shape[0] // FILL_CELLS)
    shown = cv2.resize(cv2.copyTo(other, known), size, interpolation=cv2.INTER_AREA)
    part = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    seen = np.dstack([shown, part])
    total = np.zeros(seen.shape, np.float32)
    for step, radius in enumerate(FILL_RADII):
        window = (2 * radius + 1, 2 * radius + 1)
        near = np.asarray(cv2.boxFilter(seen, -1, window, borderType=cv2.BORDER_REPLICATE), np.float32)
        total += np.float32(FARTHER**step) * near
    return np.asarray(total[..., :3] / np.maximum(total[..., 3:], 1e-6), np.float32)
