"""Mean electrons of each pixel from a scene: motion, rolling shutter, motion blur, flicker, colour filters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.loops import Plane, SensorLoops, best_loops
from livemef.capture.cameras.simulation.motion import Path
from livemef.capture.cameras.simulation.scene import Mover, Scene
from livemef.capture.cameras.simulation.sensor import CFA

WELL_FILLS_IN_US = 16000.0
"""Radiance 1.0 fills a full well in this time."""
BAND_ROWS = 24
"""Rows that are exposed as one: small enough for the processor's cache and for a smooth rolling shutter."""

_MOST_MOMENTS = 24
_LEAST_WEIGHT = 1 / 512


@dataclass(frozen=True)
class Shutter:
    """start_s: when the first row's exposure begins; later rows follow over readout_s. All in scene time, seconds."""

    start_s: float
    exposure_s: float
    readout_s: float


@dataclass(frozen=True)
class Lamps:
    """Mains-driven light, 1 + depth * cos(2 pi frequency t), that changes by a share `drift` in each minute."""

    depth: float
    frequency_hz: float
    drift: float = 0.0

    def mean(self, start_s: float, length_s: float) -> float:
        """Mean light over an exposure, 1 = without flicker and drift."""
        drifted = (1 + self.drift) ** (start_s / 60) if self.drift else 1.0
        return drifted * self._flicker(start_s, length_s)

    def _flicker(self, start_s: float, length_s: float) -> float:
        if not self.depth:
            return 1.0
        half_turns = math.pi * self.frequency_hz * length_s
        damping = math.sin(half_turns) / half_turns if half_turns else 1.0
        middle = start_s + length_s / 2
        return 1.0 + self.depth * damping * math.cos(2 * math.pi * self.frequency_hz * middle)


class View:
    """A scene in front of a sensor of height x width pixels (even) with a colour filter array."""

    def __init__(
        self,
        scene: Scene,
        height: int,
        width: int,
        full_well: float,
        lamps: Lamps,
        loops: SensorLoops | None = None,
    ) -> None:
        self._scene, self._loops = scene, loops or best_loops()
        self._height, self._width = height, width
        self._rate = full_well / WELL_FILLS_IN_US * 1e6
        self._lamps = lamps
        self._mosaics = _mosaics(scene.radiance)
        self._movers = [(mover, np.dstack([mover.radiance, mover.coverage])) for mover in scene.movers]

    def bands(self, shutter: Shutter) -> Iterator[tuple[int, Plane]]:
        """Mean electrons of the mosaic, band by band from the top: (first row, rows x width). Valid until the next."""
        found = [self._mover_patch(mover, layers, shutter) for mover, layers in self._movers]
        movers = [patch for patch in found if patch is not None]
        buffer = np.empty((BAND_ROWS, self._width), np.float32)
        for row in range(0, self._height, BAND_ROWS):
            rows = min(BAND_ROWS, self._height - row)
            start_s = shutter.start_s + shutter.readout_s * (row + rows / 2) / self._height
            electrons = self._rate * shutter.exposure_s * self._lamps.mean(start_s, shutter.exposure_s)
            band = buffer[:rows]
            self._gather(band, row, window_taps(self._scene.window, start_s, shutter.exposure_s), electrons)
            for patch in movers:
                patch.cover(band, row, electrons)
            yield row, band

    def _gather(self, band: Plane, row: int, taps: Sequence[tuple[int, int, float]], factor: float) -> None:
        parts = []
        for y, x, weight in taps:
            part = self._mosaics[y % 2][x % 2][y + row : y + row + len(band), x : x + self._width]
            parts.append((part, weight * factor))
        self._loops.weighted_sum(band, parts)

    def _mover_patch(self, mover: Mover, layers: NDArray[np.float32], shutter: Shutter) -> _Patch | None:
        """The mover on the mosaic, blurred over the exposure, sheared by the rolling shutter; None if outside."""
        height, width = mover.coverage.shape

        def place(time_s: float) -> tuple[float, float]:
            at, window = mover.path.at(time_s), self._scene.window.at(time_s)
            return at[0] - window[0], at[1] - window[1]

        row_s = shutter.readout_s / self._height
        start_s = shutter.start_s + row_s * (place(shutter.start_s)[1] + height / 2)
        moments = _moments(place(start_s), place(start_s + shutter.exposure_s))
        places = [place(start_s + shutter.exposure_s * (k + 0.5) / moments) for k in range(moments)]
        ahead = place(start_s + 1e-3)
        shear = (ahead[0] - place(start_s)[0]) * 1e3 * row_s
        left = math.floor(min(x for x, _ in places) - abs(shear) * height) // 2 * 2
        top = math.floor(min(y for _, y in places)) // 2 * 2
        right = math.ceil(max(x for x, _ in places) + abs(shear) * height) + width + 2
        bottom = math.ceil(max(y for _, y in places)) + height + 2
        if right <= 0 or bottom <= 0 or left >= self._width or top >= self._height:
            return None
        total = np.zeros((bottom - top, right - left, 4), np.float32)
        for x, y in places:
            shift = np.array([[1, shear, x - left - shear * height / 2], [0, 1, y - top]])
            total += cv2.warpAffine(layers, shift, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        total /= moments
        return _Patch(top, left, _mosaic(total[..., :3], 0, 0), np.ascontiguousarray(total[..., 3]))


@dataclass(frozen=True)
class _Patch:
    """A mover on the sensor: mosaic radiance times coverage, coverage; top and left even, perhaps outside."""

    top: int
    left: int
    radiance: Plane
    coverage: Plane

    def cover(self, band: Plane, row: int, factor: float) -> None:
        """Composite it onto a band of electrons that begins at `row`."""
        first, last = max(row, self.top), min(row + len(band), self.top + len(self.coverage))
        near, far = max(0, self.left), min(band.shape[1], self.left + self.coverage.shape[1])
        if first >= last or near >= far:
            return
        inside = slice(first - self.top, last - self.top), slice(near - self.left, far - self.left)
        under = band[first - row : last - row, near:far]
        under *= 1 - self.coverage[inside]
        under += self.radiance[inside] * np.float32(factor)


def window_taps(path: Path, start_s: float, exposure_s: float) -> list[tuple[int, int, float]]:
    """Whole-pixel windows (y, x, weight), weights of sum 1: bilinear samples of the path during the exposure."""
    moments = _moments(path.at(start_s), path.at(start_s + exposure_s))
    weights: dict[tuple[int, int], float] = {}
    for moment in range(moments):
        x, y = path.at(start_s + exposure_s * (moment + 0.5) / moments)
        left, top = math.floor(x), math.floor(y)
        for dy, wy in ((0, 1 - (y - top)), (1, y - top)):
            for dx, wx in ((0, 1 - (x - left)), (1, x - left)):
                key = top + dy, left + dx
                weights[key] = weights.get(key, 0.0) + wy * wx / moments
    kept = {key: weight for key, weight in weights.items() if weight > _LEAST_WEIGHT}
    total = sum(kept.values())
    return [(y, x, weight / total) for (y, x), weight in sorted(kept.items())]


def _moments(before: tuple[float, float], after: tuple[float, float]) -> int:
    """Number of samples of a move: about one a pixel."""
    return min(_MOST_MOMENTS, 1 + math.floor(math.hypot(after[0] - before[0], after[1] - before[1])))


def _mosaics(radiance: NDArray[np.float32]) -> list[list[Plane]]:
    """The scene behind the colour filters, for windows that begin at even and odd rows and columns: [y % 2][x % 2]."""
    return [[_mosaic(radiance, top, left) for left in (0, 1)] for top in (0, 1)]


def _mosaic(radiance: NDArray[np.float32], top: int, left: int) -> Plane:
    plane = np.empty(radiance.shape[:2], np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            cell = slice((top + dy) % 2, None, 2), slice((left + dx) % 2, None, 2)
            plane[cell] = radiance[(*cell, CFA[dy][dx])]
    return plane
