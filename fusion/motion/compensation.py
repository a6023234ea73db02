"""Exposures taken at different moments become exposures of one moment: the reference's.

The picture as a whole is moved back; where the exposures still disagree, beyond noise and clipping, the other exposure
is replaced by what the reference says that it would have shown. Whatever fuses them then sees one scene.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np

from livemef.fusion.method import downscale
from livemef.fusion.motion import exposure_synthesis, intensity_mapping, registration
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask, allowed_differences, disagreement, soft_mask
from livemef.fusion.motion.intensity_mapping import ExposureMap
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.saturation_fill import CLIP_START, behind_clipping
from livemef.fusion.settings import MotionMode

GRID_LINES = 180
"""Lines of the motion grid along the shorter side, about: cells of 6 pixels at 1080p."""
LEAST_MOVE_PX, LEAST_TURN_PX = 0.2, 0.8
"""Pixels; a smaller move of the picture, and a turn that moves no corner by more, are let be: none would see it."""

STILL_IMPORTANCE = 0.02
"""Of cells where nothing moves, for the choice of the reference, over those where all does."""


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
class MotionReport:
    """What was done about motion. share: part of the picture, 0..1, that shows the reference alone; shift: pixels,
    the largest move of an exposure; mask: cells down x across, 0..1.
    """

    reference: int
    share: float
    shift: tuple[float, float]
    mask: Mask


@dataclass(frozen=True)
class OneMoment:
    """A bracket as of the moment of the exposure `reference`: its small pictures (encoded 0..1), and what makes each
    of the other exposures so.
    """

    reference: int
    plans: dict[int, Compensation]
    smalls: list[Grid]

    def report(self) -> MotionReport:
        """What the plans amount to."""
        plans = self.plans.values()
        mask = reduce(np.maximum, [plan.mask for plan in plans])
        farthest = max((plan.move for plan in plans), key=lambda move: np.hypot(move.dx, move.dy))
        return MotionReport(self.reference, float(mask.mean()), (farthest.dx, farthest.dy), mask)


class GridLoops(Protocol):
    """The loops over cells, for which a fuser may have faster ones."""

    def disagreement(self, under: Grid, over: Grid, allowed: Allowed) -> Mask:
        """See fusion.motion.disagreement."""
        ...

    def moved(self, picture: Grid, move: Move) -> Grid:
        """See registration.moved."""
        ...

    def remade(self, reference: Grid, there: Grid, todo: Compensation, small: Grid) -> Grid:
        """See exposure_synthesis.small_picture."""
        ...

    def find_move(self, reference: Mask, other: Mask) -> Move:
        """See registration.find_move."""
        ...


class DefinedLoops:
    """The GridLoops as they are defined."""

    disagreement = staticmethod(disagreement)
    moved = staticmethod(registration.moved)
    remade = staticmethod(exposure_synthesis.small_picture)
    find_move = staticmethod(registration.find_move)


def grid_shape(height: int, width: int, small_lines: int) -> tuple[int, int]:
    """Cells down and across: as many to each pixel of the small picture, so that this is the mean of its cells."""
    shape = downscale.small_shape(height, width, small_lines)
    cells = max(1, min(round(GRID_LINES / small_lines), height // shape[0], width // shape[1]))
    return shape[0] * cells, shape[1] * cells


def at_one_moment(
    grids: Sequence[Grid],
    size: tuple[int, int],
    small_lines: int,
    mode: MotionMode,
    moments: Moments,
    loops: GridLoops | None = None,
) -> OneMoment:
    """What is to be done to pictures of size = (height, width), dark to bright, of which the grids are given."""
    shape = downscale.small_shape(*size, small_lines)
    views = [_View(grid, downscale.mean_cells(grid, *shape)) for grid in grids]

    def of(reference: int) -> OneMoment:
        cell, smalls, plans = size[0] / len(grids[reference]), [view.small for view in views], {}
        for other in range(len(grids)):
            if other != reference:
                pair = _pair(views, reference, other, moments)
                plans[other], smalls[other] = _compensated(pair, mode, cell, loops or DefinedLoops())
        return OneMoment(reference, plans, smalls)

    if moments.reference is not None:
        return of(moments.reference)
    found = of(best_exposed(grids))
    better = best_exposed(grids, found.report().mask)
    return found if better == found.reference else of(better)


def best_exposed(grids: Sequence[Grid], moving: Mask | None = None) -> int:
    """The exposure with the fewest cells that are black or clipped; if it is known what is `moving`, above all there,
    where the picture will be of that exposure alone.
    """
    importance = 1.0 if moving is None else moving + np.float32(STILL_IMPORTANCE)
    bad = [importance * ((grid.min(axis=2) <= 0.05) | (grid.max(axis=2) >= CLIP_START)) for grid in grids]
    return int(np.argmin([cells.mean() for cells in bad]))


@dataclass(frozen=True)
class _View:
    """A grid, and the small picture of it."""

    grid: Grid
    small: Grid


@dataclass(frozen=True)
class _Pair:
    reference: _View
    other: _View
    over_is_reference: bool
    maps: ExposureMap


def _pair(views: Sequence[_View], reference: int, other: int, moments: Moments) -> _Pair:
    dark, bright = sorted((reference, other))
    if moments.lights is None:
        maps = intensity_mapping.of_pictures(views[dark].grid, views[bright].grid)
    else:
        maps = intensity_mapping.of_light_ratio(moments.lights[bright] / moments.lights[dark])
    return _Pair(views[reference], views[other], reference == bright, maps)


def _compensated(pair: _Pair, mode: MotionMode, cell: float, loops: GridLoops) -> tuple[Compensation, Grid]:
    """What is to be done to the other exposure, and its small picture when that is done. cell: its side in pixels."""
    maps, reference = pair.maps, pair.reference
    move = _move(pair, cell, loops)
    there = pair.other if move == NO_MOVE else _moved(pair.other, move, loops)
    if mode == "full":
        under, over = (there.grid, reference.grid) if pair.over_is_reference else (reference.grid, there.grid)
        mask = soft_mask(loops.disagreement(under, over, allowed_differences(under, over, maps)))
    else:
        mask = np.zeros(there.grid.shape[:2], np.float32)
    _cover_unseen(mask, move)
    curve, fill = maps.brighter, None
    if pair.over_is_reference:
        curve, fill = maps.darker, behind_clipping(reference.small, there.small, mask)
    todo = Compensation(move.scaled(cell), mask, curve, fill)
    return todo, loops.remade(reference.grid, there.grid, todo, there.small)


def _move(pair: _Pair, cell: float, loops: GridLoops) -> Move:
    """Of the other exposure's grid, in cells; told from the small pictures unless these are very small."""
    enough = max(pair.other.small.shape) >= registration.LARGEST_SIDE / 2
    reference, other = (view.small if enough else view.grid for view in (pair.reference, pair.other))
    move = registration.estimate(reference, other, pair.maps, pair.over_is_reference, loops.find_move)
    return _worthwhile(move.scaled(len(pair.other.grid) / len(other)), cell, pair.other.grid.shape)


def _moved(view: _View, move: Move, loops: GridLoops) -> _View:
    grid = loops.moved(view.grid, move)
    return _View(grid, downscale.mean_cells(grid, *view.small.shape[:2]))


def _cover_unseen(mask: Mask, move: Move) -> None:
    """Set the mask where a grid without the move shows nothing, and the nearest cell stands in: at the borders that
    look beyond the other exposure's anywhere.
    """
    height, width = mask.shape
    across, down = abs(move.turn) * (height - 1) / 2, abs(move.turn) * (width - 1) / 2
    left, right = (max(0, math.ceil(across + shift)) for shift in (-move.dx, move.dx))
    top, bottom = (max(0, math.ceil(down + shift)) for shift in (-move.dy, move.dy))
    mask[:top], mask[max(0, height - bottom) :] = 1, 1
    mask[:, :left], mask[:, max(0, width - right) :] = 1, 1


def _worthwhile(move: Move, cell: float, shape: tuple[int, ...]) -> Move:
    """The move of a grid without what no pixel would notice."""
    turn = Move(turn=move.turn)
    if cell * turn.reach(*shape[:2]) < LEAST_TURN_PX:
        move = Move(move.dx, move.dy)
    return move if cell * move.reach(*shape[:2]) >= LEAST_MOVE_PX else NO_MOVE
