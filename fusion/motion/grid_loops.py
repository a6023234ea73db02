"""What loops over the cells of motion grids there are: a fuser may have faster ones than the definition's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.motion.cycle_means import Planes
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.intensity_mapping import ChannelMaps, Curve, ExposureMap
from livemef.fusion.motion.moving_maps import Moving
from livemef.fusion.motion.regions import Means, Regions
from livemef.fusion.motion.registration import Move
from livemef.fusion.motion.temporal_noise import NoiseLevels
from livemef.fusion.motion.views import Changed, Difference, Former, Observed, Replacing, View


class GridLoops(Protocol):
    """The loops; each is defined by a function of its name."""

    def disagreement(self, under: Grid, over: Grid, allowed: Allowed, gate: Mask | None = None) -> Mask:
        """See ghost_mask.disagreement."""
        ...

    def changes(self, grid: Grid, before: Grid, noise: NDArray[np.float32]) -> Mask:
        """See ghost_mask.changes."""
        ...

    def histograms(self, grid: Grid, mask: Mask | None = None, least: float = 0.0) -> Curve:
        """See intensity_mapping.histograms."""
        ...

    def median_level(self, values: Grid, curves: Curve, mask: Mask | None = None) -> Mask:
        """See intensity_mapping.median_level."""
        ...

    def green_difference(self, under: Grid, over: Grid, brighter: Curve, mask: Mask) -> Mask:
        """See intensity_mapping.green_difference."""
        ...

    def moved(self, picture: Grid, move: Move) -> Grid:
        """See registration.moved."""
        ...

    def remade(self, reference: Grid, there: Grid, todo: Compensation, small: Grid) -> Grid:
        """See exposure_synthesis.small_picture."""
        ...

    def soft_mask(self, disagreement: Mask, gate: Mask | None = None) -> Mask:
        """See ghost_mask.soft_mask."""
        ...

    def wider_mask(self, masks: Sequence[Mask], cells: int) -> Mask:
        """See ghost_mask.wider_mask."""
        ...

    def tints(self, reference: Grid, there: Grid, mask: Mask, curves: Curve, clear: float) -> Grid | None:
        """See dim_colour.tints."""
        ...

    def behind_clipping(self, reference: Grid, other: Grid, mask: Mask, clips_at: float = 1.0) -> Grid | None:
        """See saturation_fill.behind_clipping."""
        ...

    def find_regions(self, mask: Mask, planes: Sequence[Mask]) -> Regions:
        """See regions.find_regions."""
        ...

    def of_regions(self, found: Regions, values: Means) -> Mask:
        """See regions.of_regions."""
        ...

    def mean_cells(self, plane: Mask, height: int, width: int) -> Mask:
        """See downscale.mean_cells."""
        ...

    def measured_noise(self, grid: Grid, old: Grid) -> NDArray[np.float64]:
        """See temporal_noise.measured_noise."""
        ...

    def least_variance(
        self, exposures: ExposureMap, dark: NDArray[np.float32] | None, bright: NDArray[np.float32] | None
    ) -> Curve:
        """See temporal_noise.least_variance."""
        ...

    def learned(
        self, dark: Curve, bright: Curve, known: Sequence[ExposureMap] | None, cells: int, clips_at: float = 1.0
    ) -> ChannelMaps:
        """See intensity_mapping.learned."""
        ...

    def allowed_by_channel(
        self,
        under: Grid,
        over: Grid,
        maps: Sequence[ExposureMap],
        least: Curve,
        changed: Mask | None = None,
    ) -> Allowed:
        """See ghost_mask.allowed_by_channel."""
        ...

    def balanced(self, maps: ChannelMaps, under: Curve, over: Curve, cells: int) -> ChannelMaps:
        """See intensity_mapping.balanced."""
        ...

    def seen_by_other(self, changed: Mask, other: Mask) -> Mask:
        """See blinking.seen_by_other."""
        ...

    def follow_blinking(self, before: Mask | None, changed: Mask, seen_by_other: Mask) -> Mask | None:
        """See blinking.followed."""
        ...

    def without_blinking(self, changed: Mask, blinks: Mask) -> Mask:
        """See blinking.without."""
        ...

    def without_lights_out(self, changed: Mask, grid: Grid, before: Grid) -> Mask:
        """See blinking.without_lights_out."""
        ...

    def comparable(self, picture: Grid, factor: int, brighter: Curve | None = None) -> Mask:
        """See registration.comparable."""
        ...

    def find_move(self, reference: Mask, other: Mask) -> Move:
        """See registration.find_move."""
        ...

    def moved_planes(self, planes: Planes, move: Move) -> Planes:
        """See cycle_means.moved_planes."""
        ...

    def still(self, changed: Sequence[Mask], height: int, width: int, radius: int) -> Mask:
        """See cycle_means.still."""
        ...

    def towards_mean(self, newest: Planes, past: Sequence[Planes], part: Mask) -> Planes:
        """See cycle_means.towards_mean."""
        ...

    def mean_lightness(self, affine: Planes, lights: Sequence[Mask]) -> float:
        """See cycle_means.mean_lightness."""
        ...

    # ---- several of these, see ComposedLoops

    def aligned(
        self, reference: View, other: View, one: ExposureMap, reference_is_over: bool, cell: float
    ) -> tuple[Move, View]:
        """See ComposedLoops."""
        ...

    def observed(self, view: View, before: Former, cell: float) -> Observed:
        """See ComposedLoops."""
        ...

    def gate(self, exposures: Sequence[Changed]) -> Mask:
        """See ComposedLoops."""
        ...

    def difference(
        self, exposures: Sequence[Changed], grids: tuple[Grid, Grid], maps: ChannelMaps, least: Curve
    ) -> Difference | None:
        """See ComposedLoops."""
        ...

    def moving_levels(self, grids: tuple[Grid, Grid], mask: Mask) -> tuple[Curve, Curve] | None:
        """See ComposedLoops."""
        ...

    def learned_pair(
        self,
        histograms: Sequence[Curve],
        noises: Sequence[NoiseLevels | None],
        known: Sequence[ExposureMap] | None,
        cells: int,
        clips_at: float,
    ) -> tuple[ChannelMaps, Curve]:
        """See ComposedLoops."""
        ...

    def moving_maps(
        self,
        moving: Moving,
        levels: tuple[Curve, Curve],
        of_all: ChannelMaps | None,
        cells: int,
        clips_at: float,
    ) -> tuple[ChannelMaps, ChannelMaps] | None:
        """See ComposedLoops."""
        ...

    def replacing(
        self,
        grids: tuple[Grid, Grid],
        mask: Mask,
        of_still: Allowed,
        maps: ChannelMaps,
        made: Mask | None,
        before: Mask | None,
    ) -> Replacing:
        """See ComposedLoops."""
        ...

    def compensated(
        self, reference: View, there: View, todo: Compensation, move: Move, over_is_reference: bool, whole: bool
    ) -> tuple[Compensation, View]:
        """See ComposedLoops."""
        ...
