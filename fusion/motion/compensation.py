"""Exposures taken at different moments become exposures of one moment: the reference's.

The picture as a whole is moved back; where the exposures still disagree, beyond noise and clipping, the other exposure
is replaced by what the reference says that it would have shown. Whatever fuses them then sees one scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.frame import Pixels
from fusion import shrink, upsample
from fusion.motion import alignment, exposure_map
from fusion.motion.alignment import NO_MOVE, Move
from fusion.motion.disagreement import Deviations, Grid, Mask, allowed_differences, soft_mask, squared_deviations
from fusion.motion.exposure_map import Curve, ExposureMap

MotionMode = Literal["off", "global", "full"]

GRID_LINES = 180
"""Lines of the motion grid along the shorter side: cells of 6 pixels at 1080p."""
CLIP_START, CLIP_END = 0.95, 0.99
"""Encoded values between which a pixel of the brighter exposure comes to be taken for clipped."""
LEAST_MOVE_PX, LEAST_TURN_PX = 0.2, 0.8
"""Pixels; a smaller move of the picture, and a turn that moves no corner by more, are let be."""
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
    fill: what the other exposure shows where the reference clips, cells; None where the reference is the darker one.
    """

    move: Move
    mask: Mask
    curve: Curve
    fill: Grid | None

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


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """Cells down and across."""
    return shrink.small_shape(height, width, GRID_LINES)


def compensations(
    grids: Sequence[Grid],
    height: int,
    mode: MotionMode,
    moments: Moments,
    deviations: Deviations = squared_deviations,
) -> tuple[int, dict[int, Compensation]]:
    """The reference's index, and for every other exposure (grids dark to bright) what is to be done."""
    reference = best_exposed(grids) if moments.reference is None else moments.reference
    cell = height / grids[0].shape[0]
    others = [index for index in range(len(grids)) if index != reference]
    return reference, {other: _plan(grids, reference, other, mode, moments, cell, deviations) for other in others}


def report(reference: int, plans: dict[int, Compensation]) -> MotionReport:
    """What the plans amount to."""
    mask = np.max([plan.mask for plan in plans.values()], axis=0)
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
    deviations: Deviations,
) -> Compensation:
    over_is_reference = reference > other
    maps = _exposure_map(grids, min(reference, other), max(reference, other), moments)
    move = alignment.estimate(grids[reference], grids[other], maps, over_is_reference)
    move = _worthwhile(move, cell, grids[other].shape)
    there = alignment.warped(grids[other], move) if move != NO_MOVE else grids[other]
    unseen = np.isnan(there[..., 0])
    there = np.where(unseen[..., None], grids[reference], there)
    mask = unseen.astype(np.float32)
    if mode == "full":
        under, over = (there, grids[reference]) if over_is_reference else (grids[reference], there)
        mask = np.maximum(mask, soft_mask(deviations(under, over, allowed_differences(under, over, maps))))
    fill = behind_clipping(grids[reference], there, mask) if over_is_reference and mask.any() else None
    curve = maps.darker if over_is_reference else maps.brighter
    return Compensation(move.scaled(cell), mask, curve, fill)


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


def behind_clipping(reference: Grid, other: Grid, mask: Mask) -> Grid:
    """What the darker exposure shows nearby where the brighter one clips and nothing moved.

    It stands for what has come into view there: the brighter exposure does not tell.
    """
    brightest = np.maximum(np.maximum(reference[..., 0], reference[..., 1]), reference[..., 2])
    known = ((brightest >= CLIP_START) * (1 - mask)).astype(np.float32)
    height, width = known.shape
    size = max(1, width // FILL_CELLS), max(1, height // FILL_CELLS)
    shown = np.dstack([other * known[..., None], known])
    seen = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), np.float32)
    total = np.zeros(seen.shape, np.float32)
    for step, radius in enumerate(FILL_RADII):
        window = (2 * radius + 1, 2 * radius + 1)
        near = np.asarray(cv2.boxFilter(seen, -1, window, borderType=cv2.BORDER_REPLICATE), np.float32)
        total += np.float32(FARTHER**step) * near
    fill = total[..., :3] / np.maximum(total[..., 3:], 1e-6)
    return np.asarray(cv2.resize(fill, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def compensate(reference: Pixels, other: Pixels, todo: Compensation, top: int = 0, bottom: int | None = None) -> Pixels:
    """Rows top..bottom of the other exposure at the reference's moment; both H x W x 3, one dtype."""
    height, width = other.shape[:2]
    bottom = height if bottom is None else bottom
    white = float(np.iinfo(other.dtype).max)
    seen = reference[top:bottom]
    there = moved(other, todo.move, top, bottom)
    made = exposure_map.code_table(todo.curve, other.dtype)[seen].astype(np.float64)
    if todo.fill is not None:
        clipped = np.clip((seen / white - CLIP_START) / (CLIP_END - CLIP_START), 0, 1)
        fill = upsample.bilinear_rows(todo.fill.astype(np.float64), height, width, top, bottom) * white
        made += clipped * np.maximum(fill - made, 0)
    share = upsample.bilinear_rows(todo.mask[..., None].astype(np.float64), height, width, top, bottom)
    return np.asarray(np.floor(there + share * (made - there) + 0.5).astype(other.dtype))


def moved(pixels: Pixels, move: Move, top: int, bottom: int) -> NDArray[np.float64]:
    """Rows top..bottom of the picture without the move, interpolated; beyond its border the nearest pixel."""
    if move == NO_MOVE:
        return pixels[top:bottom].astype(np.float64)
    height, width = pixels.shape[:2]
    matrix = move.matrix(height, width)
    y, x = np.mgrid[top:bottom, 0:width]
    across = np.clip(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2], 0, width - 1)
    down = np.clip(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2], 0, height - 1)
    left, above = across.astype(int), down.astype(int)
    right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
    part_x, part_y = (across - left)[..., None], (down - above)[..., None]
    upper = pixels[above, left] + part_x * (pixels[above, right].astype(np.float64) - pixels[above, left])
    lower = pixels[below, left] + part_x * (pixels[below, right].astype(np.float64) - pixels[below, left])
    return np.asarray(upper + part_y * (lower - upper))
