"""What fusion remembers from bracket to bracket of one stream, so that its pictures neither pulse nor flicker.

Alternating exposures make everything that depends on the newest of them alternate as well. So the maps between
exposures are learned over many frames, motion is judged against the last frame of the same exposure too, and the planes
that steer the pixels are averaged over one cycle of exposures where nothing has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method.running_means import StreamMeans
from livemef.fusion.motion import clip_level, registration, temporal_noise
from livemef.fusion.motion.cycle_lightness import CycleLightness
from livemef.fusion.motion.cycle_means import Planes
from livemef.fusion.motion.ghost_mask import Grid, Mask
from livemef.fusion.motion.grid_loops import GridLoops
from livemef.fusion.motion.intensity_mapping import ChannelMaps, Curve
from livemef.fusion.motion.mean_lightness import MeanLightness
from livemef.fusion.motion.moving_maps import Moving
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.temporal_noise import NoiseLevels
from livemef.fusion.motion.views import Changed, Difference, Former, Replacing, Seen, View

Lightness = NDArray[np.floating[Any]]

EARLY, LEARN_EVERY = 8, 4
"""Frames of each exposure up to which the maps are learned anew with every frame, and frames between that later on."""
FEW = 3
"""Frames of each exposure as often as which the first ones count when the maps are learned: else the known ratio of
light, which knows nothing of a camera's tone curve, would decide at first, and a sky that it softens would move."""


@dataclass(frozen=True)
class Place:
    """Which frames a bracket is made of. epoch: the exposure plan; frames: sequence number of each exposure's frame."""

    epoch: int
    frames: tuple[int, ...]


@dataclass(frozen=True)
class _Pair:
    """What was learned of two exposures after so many frames: their maps, and the least variance between them."""

    learned: int
    maps: ChannelMaps
    least: Curve


@dataclass(frozen=True)
class Past:
    """Steering planes (see `StreamMemory.steer`) of a cycle's brackets by the exposure that was the newest.

    still: how far nothing has changed about each pixel, 0..1; None while the cycle is not complete.
    """

    planes: dict[int, Planes]
    still: Mask | None


@dataclass(frozen=True)
class Cycle:
    """The brackets of a cycle of exposures before the newest one is taken in. planes: see Past; move: the camera's step
    since, in small pixels; changed: how surely each cell of the exposures has, None while the cycle is not complete.
    """

    newest: int
    planes: dict[int, Planes]
    move: Move
    changed: list[Mask] | None


@dataclass
class StreamMemory:
    """Of one stream. `follow` begins anew with another exposure plan, size or number of exposures, and where frame
    numbers do not go on.
    """

    seen: dict[int, Seen] = field(default_factory=dict)
    histograms: dict[int, Curve] = field(default_factory=dict)
    noise: dict[int, NoiseLevels] = field(default_factory=dict)
    clips_at: float = 1.0
    mean: MeanLightness = field(default_factory=MeanLightness)
    colour: StreamMeans = field(default_factory=StreamMeans)
    cycle_lightness: CycleLightness = field(default_factory=CycleLightness)
    _planes: dict[int, Planes] = field(default_factory=dict)
    _pairs: dict[tuple[int, int], _Pair] = field(default_factory=dict)
    _smalls: dict[int, tuple[Grid, Grid]] = field(default_factory=dict)
    _moving: dict[tuple[int, int], Moving] = field(default_factory=dict)
    _blinks: dict[int, Mask | None] = field(default_factory=dict)
    _replaced: dict[tuple[int, int], Mask] = field(default_factory=dict)
    _last: int = -1
    _observed: int = 0
    _key: tuple[Any, ...] = ()
    _newest: int = 0
    _step: Move = NO_MOVE

    def follow(self, place: Place, size: tuple[int, int]) -> None:
        """Another bracket is due, of pictures of this height and width."""
        key = (place.epoch, len(place.frames), size)
        last = max((seen.frame for seen in self.seen.values()), default=-1)
        if key != self._key or max(place.frames) <= last:
            self._restart(key)
        self._newest = place.frames.index(max(place.frames))
        self._step = NO_MOVE

    def _restart(self, key: tuple[Any, ...]) -> None:
        self.seen, self.histograms, self.noise, self.mean, self.clips_at = {}, {}, {}, MeanLightness(), 1.0
        self._planes, self._pairs, self._moving, self._blinks, self._replaced = {}, {}, {}, {}, {}
        self._observed, self._last, self._key = 0, -1, key
        self.cycle_lightness = CycleLightness()

    def recall(self, place: Place, size: tuple[int, int]) -> list[Grid | None]:
        """Begin a bracket as `follow`, and return the grids of its frames that have been observed already."""
        self.follow(place, size)
        return [self._recalled(index, frame) for index, frame in enumerate(place.frames)]

    def _recalled(self, index: int, frame: int) -> Grid | None:
        seen = self.seen.get(index)
        return seen.grid if seen is not None and seen.frame == frame else None

    def after(self, keeps_motion: bool) -> StreamMemory:
        """The memory to go on with after a change of settings: without what was averaged over rendered brackets.

        keeps_motion: with what was learned of motion, noise and the exposures' maps (FusionSettings.sees_motion_like).
        """
        if not keeps_motion:
            return StreamMemory()
        self._planes, self.mean, self.colour = {}, MeanLightness(), StreamMeans()
        self.cycle_lightness = CycleLightness()
        return self

    def small(self, index: int, grid: Grid, shape: tuple[int, int], loops: GridLoops) -> Grid:
        """The small picture, of height x width = shape, of an exposure's grid; made once for each frame."""
        kept = self._smalls.get(index)
        if kept is None or kept[0] is not grid or kept[1].shape[:2] != shape:
            kept = self._smalls[index] = grid, loops.mean_cells(grid, *shape)
        return kept[1]

    @property
    def newest(self) -> int:
        """The exposure whose frame is the newest."""
        return self._newest

    def observe(self, place: Place, views: Sequence[View], cell: float, loops: GridLoops) -> None:
        """Learn from the frames that are new, oldest first. cell: side of a grid's cell in pixels."""
        for index in sorted(range(len(views)), key=lambda exposure: place.frames[exposure]):
            if self._recalled(index, place.frames[index]) is None:
                self._observe(index, place.frames[index], views[index], cell, loops)
        if self._early or self._observed % LEARN_EVERY == 0:
            *_, dark, bright = (self.histograms[index] for index in range(len(views)))
            self.clips_at = clip_level.followed(self.clips_at, dark, bright)

    @property
    def _early(self) -> bool:
        return self._observed < EARLY * len(self.seen)

    def _observe(self, index: int, frame: int, view: View, cell: float, loops: GridLoops) -> None:
        before, self._observed = self.seen.get(index), self._observed + 1
        if before is None:
            searched = registration.searched(view.grid, view.small)
            luma = loops.comparable(searched, registration.fewer_by(searched))
            self.seen[index] = Seen(frame, view.grid, luma, np.ones(view.grid.shape[:2], np.float32), False)
            self.histograms[index], self._last = loops.histograms(view.grid), index
            return
        last, other = self.seen.get(self._last), None
        if self._last != index and last is not None and last.known:
            other = Changed(last.changed, self._blinks.get(self._last))
        former = Former(before, self.noise.get(index), self.histograms[index], self._blinks.get(index), other)
        found = loops.observed(view, former, cell)
        self._blinks[index] = found.blinks
        if other is not None:
            self._blinks[self._last] = found.other_blinks
        self.noise[index], self.histograms[index], self._last = found.noise, found.histograms, index
        self.seen[index] = Seen(frame, view.grid, found.luma, found.changed, True)

    # ---- what one exposure says of another

    def maps(self, dark: int, bright: int, known: ChannelMaps | None, loops: GridLoops) -> ChannelMaps:
        """Between two exposures, learned anew every few frames. known: by the ratio of their light."""
        pair = self._pairs.get((dark, bright))
        if pair is None or self._early or self._observed >= pair.learned + LEARN_EVERY:
            cells = round(self.seen[dark].changed.size * min(self._observed / (FEW * len(self.seen)), 1))
            counts = self.histograms[dark], self.histograms[bright]
            measured = self.noise.get(dark), self.noise.get(bright)
            noises = [None if one is None else temporal_noise.judged_by(one) for one in measured]
            found = loops.learned_pair(counts, noises, known, cells, self.clips_at)
            pair = self._pairs[dark, bright] = _Pair(self._observed, *found)
        return pair.maps

    def difference(
        self, dark: int, bright: int, grids: tuple[Grid, Grid], exposures: list[Changed] | None, loops: GridLoops
    ) -> Difference | None:
        """Where two exposures, whose maps have been asked for, show different things. None: nowhere.

        What disagrees where no exposure has changed did so all along: it is the camera's rendering, or a lamp in step
        with the exposures; what blinks in one exposure alone is a lamp that this one misses at times. grids: of the
        two; exposures: see `changes`.
        """
        pair = self._pairs[dark, bright]
        if exposures is not None:
            found = loops.difference(exposures, grids, pair.maps, pair.least)
            return None if found is None or found.levels is None else found
        allowed = loops.allowed_by_channel(*grids, pair.maps, pair.least)
        mask = loops.soft_mask(loops.disagreement(*grids, allowed))
        if not mask.any():
            return None
        allowed = loops.allowed_by_channel(*grids, pair.maps, pair.least, mask)  # what moves had passed for noise
        mask = loops.soft_mask(loops.disagreement(*grids, allowed))
        levels = loops.moving_levels(grids, mask)
        return None if levels is None else Difference(mask, allowed, levels)

    def changes(self, exposures: Sequence[int], moves: dict[int, Move]) -> list[Changed] | None:
        """What has changed in some exposures; None while that is not known. moves: of those moved, in cells."""
        if not all(self.seen[index].known for index in exposures):
            return None
        return [
            Changed(self.seen[index].changed, self._blinks.get(index), moves.get(index, NO_MOVE)) for index in exposures
        ]

    def moving_maps(
        self, dark: int, bright: int, levels: tuple[Curve, Curve], cells: int, loops: GridLoops
    ) -> ChannelMaps:
        """Maps for what moves, of two exposures whose maps are known: see moving_maps. levels: its histograms; cells:
        of a grid.
        """
        maps = self._pairs[dark, bright].maps
        moving = self._moving.get((dark, bright))
        if moving is None:
            moving = Moving(np.zeros_like(levels[0]), np.zeros_like(levels[1]), maps, -LEARN_EVERY)
        learns = self._observed >= moving.learned + LEARN_EVERY
        found = loops.moving_maps(moving, levels, maps if learns else None, cells, self.clips_at)
        if found is None:
            return moving.maps
        if learns:
            moving.maps, moving.learned = found[0], self._observed
        self._moving[dark, bright] = moving
        return found[1]

    def replacing(
        self,
        other: int,
        grids: tuple[Grid, Grid],
        found: Difference,
        maps: ChannelMaps,
        made: Mask | None,
        loops: GridLoops,
    ) -> Replacing:
        """What the newest exposure, the darker of these grids, replaces of another one; see ComposedLoops.replacing."""
        before = self._replaced.get((self._newest, other))
        result = loops.replacing(grids, found.mask, found.allowed, maps, made, before)
        self._replaced[self._newest, other] = result.share
        return result

    # ---- what steers the pixels

    def note_step(self, moves: dict[int, Move], frames: Sequence[int]) -> None:
        """Take the camera's step from the last frame to the newest one from the other exposures' moves, in cells."""
        if moves:
            self._step = moves[max(moves, key=lambda index: frames[index])]

    def past(self, shape: tuple[int, int], radius: int, loops: GridLoops) -> Past:
        """The other brackets of a cycle of exposures, moved along with the camera to this one. shape: height and width
        of the small pictures; radius: half the window in which their coefficients are found, small pixels.
        """
        cycle, past = self.cycle(shape), self._planes
        if cycle.move != NO_MOVE:
            for index, planes in past.items():
                if index != self._newest:
                    past[index] = loops.moved_planes(planes, cycle.move)
        still = None if cycle.changed is None else loops.still(cycle.changed, *shape, radius)
        return Past(past, still)

    def cycle(self, shape: tuple[int, int]) -> Cycle:
        """What `past` and `steer` go by. shape: height and width of the small pictures."""
        whole = len({*self._planes, self._newest}) == len(self.seen)
        changed = [seen.changed for seen in self.seen.values()] if whole else None
        return Cycle(self._newest, self._planes, self._step.scaled(shape[0] / len(self.seen[0].grid)), changed)

    def steer(self, planes: Planes, lights: Sequence[Lightness], past: Past, loops: GridLoops) -> Planes:
        """The steering planes of a bracket, averaged over a cycle of exposures where nothing has changed, with the mean
        lightness of the stream.

        planes: N + 1 coefficients of the lightness in `lights`, the small pictures' L* planes, then parts of the
        chroma, as far as they are compared (h x w x their number).
        """
        past.planes[self._newest] = planes
        if past.still is not None:
            # a mean of one bracket for each exposure as the newest holds nothing that has the cycle's period
            planes = loops.towards_mean(planes, list(past.planes.values()), past.still)
        affine, parts = np.split(planes, [len(lights) + 1], axis=-1)
        affine = affine * self.mean.factor(loops.mean_lightness(affine, lights))
        self.cycle_lightness.level(affine, loops.mean_lightness)
        return np.concatenate([affine, parts], axis=-1)

    def keep(self, others: Sequence[tuple[int, Planes]], newest: Planes) -> None:
        """Keep the steering planes of the other brackets of a cycle, moved along with the camera, and of the newest."""
        self._planes.update(others)
        self._planes[self._newest] = newest
