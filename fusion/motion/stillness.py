"""Did a scene stand still while several frames of each exposure were taken? Judged against the noise that they show.

The same measures as in live fusion: cells of a small picture, the noise followed from frame to frame of one exposure
(`temporal_noise`), changes beyond it (`ghost_mask.changes`), and the move of the picture as a whole (`registration`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from livemef.capture.frame import Mosaic, Pixels
from livemef.capture.srgb import encode
from livemef.fusion.motion import ghost_mask, registration, temporal_noise
from livemef.fusion.motion.compensation import grid_shape
from livemef.fusion.motion.ghost_mask import Grid
from livemef.fusion.motion.registration import Plane
from livemef.fusion.motion.temporal_noise import NoiseLevels

SMALL_LINES = 90
SURELY = 0.5
"""Sureness from which a cell counts as changed."""


@dataclass(frozen=True)
class Stillness:
    """changed: share of the picture, 0..1, that differs between the first and the last frame of an exposure, of the
    exposure where it is largest. shift_px: how far the picture as a whole has moved between them, in pixels.
    """

    changed: float = 0.0
    shift_px: float = 0.0


@dataclass
class _Seen:
    """Frames of one exposure so far. cell: side of a grid's cell in pixels."""

    first: Grid
    last: Grid
    cell: float
    noise: NoiseLevels | None = None


class StillCheck:
    """Takes in frames of a bracketing camera, in their order; memory does not grow with their number."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def add(self, index: int, pixels: Pixels) -> None:
        """A frame of exposure `index`: BGR, height x width x 3, uint8 or uint16, all of one size."""
        self._take_in(index, _grid(pixels), pixels.shape[0])

    def add_mosaic(self, index: int, mosaic: Mosaic) -> None:
        """A raw frame of exposure `index`, all of one size."""
        self._take_in(index, _grid_of_mosaic(mosaic), mosaic.values.shape[0])

    def _take_in(self, index: int, grid: Grid, height: int) -> None:
        seen = self._seen.get(index)
        if seen is None:
            self._seen[index] = _Seen(grid, grid, height / len(grid))
            return
        seen.noise = temporal_noise.followed(seen.noise, grid, seen.last)
        seen.last = grid

    def result(self) -> Stillness:
        """What has changed so far; nothing if no exposure has two frames."""
        judged = [_judged(seen) for seen in self._seen.values() if seen.noise is not None]
        changed = max((one.changed for one in judged), default=0.0)
        shift = max((one.shift_px for one in judged), default=0.0)
        return Stillness(changed, shift)


def _judged(seen: _Seen) -> Stillness:
    assert seen.noise is not None
    cells = (ghost_mask.changes(seen.last, seen.first, temporal_noise.judged_by(seen.noise)) > SURELY).astype(np.uint8)
    changed = float(cv2.medianBlur(cells, 3).mean())  # single cells are noise: what moves covers several
    move = registration.find_move(_luma(seen.first), _luma(seen.last))
    return Stillness(changed, float(np.hypot(move.dx, move.dy)) * seen.cell)


def _luma(grid: Grid) -> Plane:
    luma = np.asarray(cv2.cvtColor(grid, cv2.COLOR_BGR2GRAY), np.float32)
    return np.minimum(luma, np.float32(registration.CEILING))


def _grid(pixels: Pixels) -> Grid:
    down, across = grid_shape(pixels.shape[0], pixels.shape[1], SMALL_LINES)
    small = cv2.resize(pixels, (across, down), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) * np.float32(1 / np.iinfo(pixels.dtype).max)


def _grid_of_mosaic(mosaic: Mosaic) -> Grid:
    """The same of a raw frame: each colour's pixels reduced by themselves, then white balanced and encoded."""
    height, width = mosaic.values.shape
    down, across = grid_shape(height, width, SMALL_LINES)
    sums, counts = np.zeros((down, across, 3), np.float32), np.zeros(3, np.float32)
    for place, colour in enumerate(mosaic.order or "GGGG"):
        plane = np.ascontiguousarray(mosaic.values[place // 2 :: 2, place % 2 :: 2])
        sums[..., "BGR".index(colour)] += cv2.resize(plane, (across, down), interpolation=cv2.INTER_AREA)
        counts["BGR".index(colour)] += 1
    if not mosaic.order:
        sums, counts = sums[..., [1, 1, 1]], counts[[1, 1, 1]]
    gains = np.array([mosaic.blue_gain, 1.0, mosaic.red_gain], np.float32)
    light = (sums / counts - np.float32(mosaic.black)) * (gains / np.float32(mosaic.white - mosaic.black))
    return np.asarray(encode(np.clip(light, 0, 1)), np.float32)
