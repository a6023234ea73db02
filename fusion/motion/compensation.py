"""Motion compensation: each exposure as it would have been at the moment of the reference exposure.

The camera's move is undone; where the exposures still disagree, beyond noise and clipping, the other exposure is
replaced by what the intensity mapping gives for the reference's pixels. With more than two exposures this goes outward
from the reference: each exposure is compared with its neighbour on that side, as compensated already. The far ends of a
long bracket have nothing in common: one clips where the other is black.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import cv2
import numpy as np

from livemef.fusion.method import downscale
from livemef.fusion.motion import dim_colour, intensity_mapping, temporal_noise
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.ghost_mask import Grid, Mask, allowed_differences
from livemef.fusion.motion.grid_loops import GridLoops
from livemef.fusion.motion.intensity_mapping import ChannelMaps, Curve
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.motion.registration import Move
from livemef.fusion.motion.steadiness import Place, StreamMemory
from livemef.fusion.motion.views import View
from livemef.fusion.settings import MotionMode

GRID_LINES = 180
"""Lines of the motion grid along the shorter side, about: cells of 6 pixels at 1080p."""

STILL_IMPORTANCE = 0.02
"""Of cells where nothing moves, for the choice of the reference, over those where all does."""
DARKEST = 1 / 255
"""Encoded value below which a cell counts as this bright: one code of 8 bits."""
DIM_FROM, DIM_TO, CLIPS_FROM, CLIPPED_COST = 4.0, 8.0, 0.95, 1.25
"""A cell of a possible reference costs 0 where the brightest exposure shows it up to 4 times as bright (encoded), and 1
from 8 times on: its noise is enlarged as much. A clipped cell (from .95 of the range on) costs 1.25: of a dark thing a
noisy picture is left, of a clipped one nothing.
"""


@dataclass(frozen=True)
class Moments:
    """How the exposures of a bracket were taken, as far as it is known.

    lights: exposure time times gain of each, in any unit; None: their ratios are found from the pictures. reference:
    the exposure whose moment the fused picture shows (live, the newest); None: the one that holds most of the scene.
    place: of the bracket in a stream, None for stills; then the newest frame is the reference. response: linear light
    (3 x KNOTS + 1) at equally spaced encoded values, where it was measured; None = not known, then sRGB is presumed,
    and for a stream only where the pictures themselves do not show it.
    """

    lights: tuple[float, ...] | None = None
    reference: int | None = None
    place: Place | None = None
    response: Curve | None = None

    def known_maps(self, dark: int, bright: int) -> ChannelMaps | None:
        """Between two exposures by the ratio of their light; None if that is not known."""
        if self.lights is None:
            return None
        ratio = self.lights[bright] / self.lights[dark]
        if self.response is None:
            return (intensity_mapping.of_light_ratio(ratio),) * 3
        blue, green, red = (intensity_mapping.of_response(ratio, light) for light in self.response)
        return blue, green, red


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
    of the other exposures so, from the neighbour towards the reference (`towards`), in the order of the work.
    """

    reference: int
    compensations: dict[int, Compensation]
    smalls: list[Grid]

    def report(self) -> MotionReport:
        """Summary of the compensations, for headers."""
        compensations = self.compensations.values()
        mask = reduce(np.maximum, [one.mask for one in compensations])
        farthest = max((one.move for one in compensations), key=lambda move: math.hypot(move.dx, move.dy))
        share = cv2.mean(mask)[0]  # a quarter of the time of numpy's
        return MotionReport(self.reference, share, (farthest.dx, farthest.dy), mask)


def towards(reference: int, other: int) -> int:
    """The neighbour of an exposure on the side of the reference."""
    return other + 1 if other < reference else other - 1


def outward(reference: int, exposures: int) -> list[int]:
    """All exposures but the reference, each after its neighbour towards it."""
    return [*range(reference - 1, -1, -1), *range(reference + 1, exposures)]


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
    memory: StreamMemory | None = None,
) -> OneMoment:
    """What is to be done to pictures of size = (height, width), dark to bright, of which the grids are given.

    memory: of the stream that the bracket belongs to, which it then is part of; it needs `moments.place`.
    """
    loops, cell = loops or DefinedLoops(), size[0] / len(grids[0])
    shape = downscale.small_shape(*size, small_lines)
    if memory is not None and moments.place is not None:
        views = [View(grid, memory.small(index, grid, shape, loops)) for index, grid in enumerate(grids)]
        memory.follow(moments.place, size)
        memory.observe(moments.place, views, cell, loops)
        return _of_stream(views, memory, mode, moments, cell, loops)
    views = [View(grid, loops.mean_cells(grid, *shape)) for grid in grids]
    if moments.reference is not None:
        return _of_stills(views, moments.reference, mode, moments, cell, loops)
    found = _of_stills(views, best_exposed(grids), mode, moments, cell, loops)
    better = best_exposed(grids, found.report().mask)
    return found if better == found.reference else _of_stills(views, better, mode, moments, cell, loops)


def _of_stills(
    views: Sequence[View], reference: int, mode: MotionMode, moments: Moments, cell: float, loops: GridLoops
) -> OneMoment:
    """By these pictures alone."""
    chain = _Chain(views, reference, cell, loops)
    for other in outward(reference, len(views)):
        dark, bright = sorted((towards(reference, other), other))
        known = moments.known_maps(dark, bright)
        maps = known or intensity_mapping.of_channels(views[dark].grid, views[bright].grid)
        pair, there = chain.pair(other, maps)
        mask, clear = np.zeros(there.grid.shape[:2], np.float32), dim_colour.MOST_CLEAR
        if mode == "full":
            under, over = pair.dark_first(there)
            allowed = allowed_differences(under, over, maps[1])
            mask, clear = loops.soft_mask(loops.disagreement(under, over, allowed)), dim_colour.clear_from(allowed)
        chain.compensate(other, pair, there, mask, clear)
    return chain.result()


def _of_stream(
    views: Sequence[View], memory: StreamMemory, mode: MotionMode, moments: Moments, cell: float, loops: GridLoops
) -> OneMoment:
    """With what the frames before have shown; the newest frame is the reference."""
    assert moments.place is not None
    reference = memory.newest
    chain = _Chain(views, reference, cell, loops)
    for other in outward(reference, len(views)):
        dark, bright = sorted((towards(reference, other), other))
        maps = memory.maps(dark, bright, moments.known_maps(dark, bright), loops)
        pair, there = chain.pair(other, maps)
        found, clear = None, dim_colour.MOST_CLEAR
        if mode == "full":
            exposures = memory.changes(range(min(reference, other), max(reference, other) + 1), chain.moves)
            found = memory.difference(dark, bright, pair.dark_first(there), exposures, loops)
        if found is None or found.levels is None:
            mask = np.zeros(there.grid.shape[:2], np.float32)
        else:
            mask = found.mask
            pair = replace(pair, maps=memory.moving_maps(dark, bright, found.levels, mask.size, loops))
            if not pair.over_is_reference:
                made = chain.deviations.get(towards(reference, other))
                grids = pair.reference.grid, there.grid
                replacing = memory.replacing(other, grids, found, pair.maps, made, loops)
                mask, clear = replacing.mask, dim_colour.clear_from(found.allowed)
                if not chain.is_end(other):
                    chain.deviations[other] = mask * replacing.deviations
        neighbour, noise = towards(reference, other), 0.0
        if not pair.over_is_reference:
            noise = temporal_noise.of_dark_pixels(memory.noise.get(neighbour), cell)
        chain.compensate(other, pair, there, mask, clear, noise)
    memory.note_step(chain.moves, moments.place.frames)
    return chain.result()


def best_exposed(grids: Sequence[Grid], moving: Mask | None = None) -> int:
    """The exposure with the fewest cells that are clipped or far too dark; if it is known what is `moving`, above all
    there, where the picture will be of that exposure alone.
    """
    importance = np.float32(1) if moving is None else moving + np.float32(STILL_IMPORTANCE)
    lights = [grid.max(axis=2) for grid in grids]
    costs = [_dim(light, lights[-1]) + CLIPPED_COST * (light >= CLIPS_FROM) for light in lights]
    return int(np.argmin([(importance * cost).mean() for cost in costs]))


def _dim(light: Grid, brightest: Grid) -> Grid:
    times = brightest / np.maximum(light, DARKEST)
    return np.clip((times - DIM_FROM) / (DIM_TO - DIM_FROM), 0, 1)


@dataclass(frozen=True)
class _Pair:
    reference: View
    other: View
    over_is_reference: bool
    maps: ChannelMaps

    def dark_first(self, there: View) -> tuple[Grid, Grid]:
        """The grids of the darker and the brighter exposure. there: the other one, without its move."""
        return (there.grid, self.reference.grid) if self.over_is_reference else (self.reference.grid, there.grid)


@dataclass
class _Chain:
    """The exposures compensated so far, outward from the reference. cell: side of a grid's cell, in pixels.

    deviations: of what was made from a darker reference (encoded), else 0.
    """

    views: Sequence[View]
    reference: int
    cell: float
    loops: GridLoops
    moves: dict[int, Move] = field(default_factory=dict)
    compensations: dict[int, Compensation] = field(default_factory=dict)
    remade: dict[int, View] = field(default_factory=dict)
    deviations: dict[int, Mask] = field(default_factory=dict)

    def pair(self, other: int, maps: ChannelMaps) -> tuple[_Pair, View]:
        """An exposure beside its neighbour towards the reference, and the exposure without its move, which is noted."""
        neighbour = towards(self.reference, other)
        view = self.remade.get(neighbour, self.views[neighbour])
        pair = _Pair(view, self.views[other], neighbour > other, maps)
        pair_maps = maps[1], pair.over_is_reference
        self.moves[other], there = self.loops.aligned(pair.reference, pair.other, *pair_maps, self.cell)
        return pair, there

    def is_end(self, other: int) -> bool:
        """Whether no exposure is compared with this one."""
        return other in (0, len(self.views) - 1)

    def compensate(self, other: int, pair: _Pair, there: View, mask: Mask, clear: float, noise: float = 0.0) -> None:
        """Note what is to be done to the exposure, and how it looks then. clear: see dim_colour; noise: of its
        neighbour's dark pixels.
        """
        grain = 0.0
        if pair.over_is_reference:
            curves = np.array([one.darker for one in pair.maps])
        else:
            curves = np.array([one.brighter for one in pair.maps])
            before = self.compensations.get(towards(self.reference, other))
            if before is not None and before.tints is not None:  # what is seen as bright now was as dim
                clear = max(clear, dim_colour.carried(before.clear, before.curves))
            clear = max(clear, min(dim_colour.CLEAR_OF_PIXELS * noise, dim_colour.MOST_CARRIED))
            grain = dim_colour.grain_of(noise, curves, clear)
        move, clips_at = self.moves[other], pair.maps[0].clips_at
        todo = Compensation(move.scaled(self.cell), mask, curves, None, None, clear, grain, clips_at)
        over, whole = pair.over_is_reference, not self.is_end(other)  # the next one is compared with it
        found = self.loops.compensated(pair.reference, there, todo, move, over, whole)
        self.compensations[other], self.remade[other] = found

    def result(self) -> OneMoment:
        """All exposures as of one moment."""
        smalls = [self.remade.get(index, view).small for index, view in enumerate(self.views)]
        return OneMoment(self.reference, self.compensations, smalls)
