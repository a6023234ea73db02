"""The loops over the cells of motion grids as they are defined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from livemef.fusion.method import downscale
from livemef.fusion.motion import (
    blinking,
    cycle_means,
    dim_colour,
    exposure_synthesis,
    ghost_mask,
    information,
    intensity_mapping,
    moving_maps,
    regions,
    registration,
    saturation_fill,
    temporal_noise,
)
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.grid_loops import GridLoops
from livemef.fusion.motion.intensity_mapping import ChannelMaps, Curve, ExposureMap
from livemef.fusion.motion.moving_maps import Moving
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.temporal_noise import NoiseLevels
from livemef.fusion.motion.views import Changed, Difference, Former, Observed, Replacing, View


class ComposedLoops:
    """GridLoops that are made of others: here one after the other."""

    def aligned(
        self: GridLoops, reference: View, other: View, one: ExposureMap, reference_is_over: bool, cell: float
    ) -> tuple[Move, View]:
        """The move of an exposure's grid from the reference's, in cells of so many pixels, and the exposure without it.

        one: of the green channel, by which their lightness is compared. The move is found in the small pictures unless
        these are very small.
        """
        planes = [registration.searched(view.grid, view.small) for view in (reference, other)]
        found = registration.estimate(planes[0], planes[1], one, reference_is_over, self)
        move = registration.worthwhile(found.scaled(len(other.grid) / len(planes[1])), cell, other.grid.shape)
        if move == NO_MOVE:
            return move, other
        there = self.moved(other.grid, move)
        return move, View(there, self.mean_cells(there, *other.small.shape[:2]))

    def observed(self: GridLoops, view: View, before: Former, cell: float) -> Observed:
        """What a new frame shows beside the one before of its exposure. cell: side of a grid's cell in pixels."""
        grid, searched = view.grid, registration.searched(view.grid, view.small)
        factor, old, blinks, other_blinks = registration.fewer_by(searched), before.seen.grid, before.blinks, None
        luma = self.comparable(searched, factor)
        move = self.find_move(luma, before.seen.luma).scaled(factor * len(grid) / len(searched))
        move = registration.worthwhile(move, cell, grid.shape)
        if move != NO_MOVE:
            old = self.moved(old, move)
            blinks = None if blinks is None else self.moved(blinks[..., None], move)[..., 0]
        noise = temporal_noise.followed(before.noise, grid, old, self.measured_noise)
        changed = self.changes(grid, old, temporal_noise.judged_by(noise))
        changed = self.without_lights_out(changed, grid, old)
        if before.other is not None:
            seen = self.seen_by_other(changed, before.other.changed)
            other_blinks = self.follow_blinking(before.other.blinks, before.other.changed, seen)
        histograms = self.histograms(grid) + (1 - intensity_mapping.FORGET) * before.histograms
        return Observed(luma, move, noise, changed, histograms, blinks, other_blinks)

    def gate(self: GridLoops, exposures: Sequence[Changed]) -> Mask:
        """Where any of the exposures has changed since its last frame, 0..1, a little wider, but not by a lamp."""
        there = []
        for one in exposures:
            changed = one.changed if one.blinks is None else self.without_blinking(one.changed, one.blinks)
            there.append(changed if one.move == NO_MOVE else self.moved(changed[..., None], one.move)[..., 0])
        return self.wider_mask(there, ghost_mask.GATE_CELLS // 2)

    def difference(
        self: GridLoops,
        exposures: Sequence[Changed],
        grids: tuple[Grid, Grid],
        maps: ChannelMaps,
        least: Curve,
    ) -> Difference | None:
        """Where two grids, of the darker and the brighter exposure, disagree and the exposures have changed; None: they
        have not. least: see ghost_mask.allowed_by_channel.
        """
        gate = self.gate(exposures)
        if not gate.any():
            return None
        allowed = self.allowed_by_channel(*grids, maps, least, gate)
        mask = self.soft_mask(self.disagreement(*grids, allowed, gate), gate)
        return Difference(mask, allowed, self.moving_levels(grids, mask))

    def moving_levels(self: GridLoops, grids: tuple[Grid, Grid], mask: Mask) -> tuple[Curve, Curve] | None:
        """The histograms of the cells of two grids that move; None: nothing is masked."""
        if not mask.any():
            return None
        under, over = (self.histograms(grid, mask, ghost_mask.MOVES) for grid in grids)
        return under, over

    def learned_pair(
        self: GridLoops,
        histograms: Sequence[Curve],
        noises: Sequence[NoiseLevels | None],
        known: Sequence[ExposureMap] | None,
        cells: int,
        clips_at: float,
    ) -> tuple[ChannelMaps, Curve]:
        """The maps between two exposures, and the least variance by channel (3 x KNOTS + 1), by the running histograms
        of both and the noise by which changes are judged; the rest as for intensity_mapping.learned.
        """
        dark, bright = histograms
        maps = self.learned(dark, bright, known, cells, clips_at)
        return maps, np.stack([self.least_variance(one, noises[0], noises[1]) for one in maps])

    def moving_maps(
        self: GridLoops,
        moving: Moving,
        levels: tuple[Curve, Curve],
        of_all: ChannelMaps | None,
        cells: int,
        clips_at: float,
    ) -> tuple[ChannelMaps, ChannelMaps] | None:
        """The maps of what moves, and the same with the light by which this bracket shows it; None if nothing moves.

        moving: its histograms go on by `levels`, those of this bracket. of_all: the maps of the whole picture, by which
        those of what moves are learned anew; None: they are not. cells: of a grid.
        """
        under, over = levels
        if not under.any():
            return None
        for known, seen in ((moving.dark, under), (moving.bright, over)):
            known *= 1 - moving_maps.FORGET
            known += seen
        maps = moving.maps
        if of_all is not None:
            found = self.learned(moving.dark, moving.bright, of_all, moving_maps.PRIOR * cells, clips_at)
            blue, green, red = map(intensity_mapping.near, found, of_all, [moving_maps.MOST_ASTRAY] * 3)
            maps = blue, green, red
        return maps, self.balanced(maps, under, over, cells)

    def replacing(
        self: GridLoops,
        grids: tuple[Grid, Grid],
        mask: Mask,
        of_still: Allowed,
        maps: ChannelMaps,
        made: Mask | None,
        before: Mask | None,
    ) -> Replacing:
        """What the darker of two grids, the reference, replaces of the other one where the mask is: region by region.

        of_still: what they may differ by where nothing moves. made: the deviation of the reference, where it was made
        itself; before: the share of the bracket before with the same newest exposure.
        """
        deviations = information.deviation(grids[0], mask, of_still, self, made, maps)
        differences = self.green_difference(*grids, maps[1].brighter, mask)
        share = information.replaced(mask, deviations, differences, before, self)
        return Replacing(mask * share, share, deviations)

    def compensated(
        self: GridLoops,
        reference: View,
        there: View,
        todo: Compensation,
        move: Move,
        over_is_reference: bool,
        whole: bool,
    ) -> tuple[Compensation, View]:
        """What makes an exposure one of the reference's moment, and how it looks then.

        there: the exposure without its move, which is given in cells. todo: what is to be done to it, without a fill or
        tints; its mask is changed: it covers what `there` does not show. whole: whether the grid is wanted too.
        """
        registration.cover_unseen(todo.mask, move, reference.grid if over_is_reference else there.grid)
        if not todo.mask.any():
            return todo, there
        smalls = reference.small, there.small
        if over_is_reference:
            todo = replace(todo, fill=self.behind_clipping(*smalls, todo.mask, todo.clips_at))
        else:
            todo = replace(todo, tints=self.tints(*smalls, todo.mask, todo.curves, todo.clear))
        small, grid = self.remade(reference.grid, there.grid, todo, there.small), there.grid
        if whole:
            grid = self.remade(reference.grid, there.grid, todo, there.grid)
        return todo, View(grid, small)


class DefinedLoops(ComposedLoops):
    """The GridLoops as they are defined."""

    disagreement = staticmethod(ghost_mask.disagreement)
    changes = staticmethod(ghost_mask.changes)
    histograms = staticmethod(intensity_mapping.histograms)
    median_level = staticmethod(intensity_mapping.median_level)
    green_difference = staticmethod(intensity_mapping.green_difference)
    moved = staticmethod(registration.moved)
    remade = staticmethod(exposure_synthesis.small_picture)
    soft_mask = staticmethod(ghost_mask.soft_mask)
    wider_mask = staticmethod(ghost_mask.wider_mask)
    tints = staticmethod(dim_colour.tints)
    behind_clipping = staticmethod(saturation_fill.behind_clipping)
    find_regions = staticmethod(regions.find_regions)
    of_regions = staticmethod(regions.of_regions)
    mean_cells = staticmethod(downscale.mean_cells)
    measured_noise = staticmethod(temporal_noise.measured_noise)
    least_variance = staticmethod(temporal_noise.least_variance)
    learned = staticmethod(intensity_mapping.learned)
    allowed_by_channel = staticmethod(ghost_mask.allowed_by_channel)
    balanced = staticmethod(intensity_mapping.balanced)
    seen_by_other = staticmethod(blinking.seen_by_other)
    follow_blinking = staticmethod(blinking.followed)
    without_blinking = staticmethod(blinking.without)
    without_lights_out = staticmethod(blinking.without_lights_out)
    comparable = staticmethod(registration.comparable)
    find_move = staticmethod(registration.find_move)
    moved_planes = staticmethod(cycle_means.moved_planes)
    still = staticmethod(cycle_means.still)
    towards_mean = staticmethod(cycle_means.towards_mean)
    mean_lightness = staticmethod(cycle_means.mean_lightness)
