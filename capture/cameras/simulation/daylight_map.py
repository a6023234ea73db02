"""Daylight changes slowly from pixel to pixel: it is gathered on a coarse grid and read off for every ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.raycast import Floats, Solid
from livemef.capture.cameras.simulation.room_light import daylight

SPACING = 5
"""Pixels between points of the grid."""

_SMOOTHING = 3
"""Grid steps over which the noise is averaged."""
_ALIKE = (0.9, 0.03)
"""Of one surface are points whose normals agree this well (cosine) and that lie this near to its plane (metres)."""
_ROUGHLY_ALIKE = (0.4, 0.15)


@dataclass
class Surfaces:
    """Where rays end: a number for what they meet, points and normals (3, n)."""

    thing: NDArray[np.int32]
    point: Floats
    normal: Floats

    def __getitem__(self, chosen: NDArray[np.integer[Any]]) -> Surfaces:
        return Surfaces(self.thing[chosen], self.point[:, chosen], self.normal[:, chosen])


class DaylightMap:
    """Irradiance at the first surface behind each point of a grid on the picture.

    rows, columns: of the grid; surfaces: behind its points, row by row. The points of light are drawn afresh at each
    point of the grid; what that leaves of noise is averaged over neighbours of the same surface.
    """

    def __init__(self, rows: int, columns: int, surfaces: Surfaces, solids: Sequence[Solid]) -> None:
        self._rows, self._columns = rows, columns
        self._surfaces = surfaces
        self._solids = solids
        self._light = daylight(surfaces.point, surfaces.normal, solids, np.random.default_rng(3))
        column, row = (grid.ravel().astype(np.float32) for grid in np.meshgrid(np.arange(columns), np.arange(rows)))
        self._light = self._average(column, row, surfaces, _SMOOTHING, *_ALIKE)[0]

    def read(self, x: Floats, y: Floats, surfaces: Surfaces) -> Floats:
        """Irradiance (3, n) for rays at (x, y) of the picture: of their neighbourhood, or gathered for them alone."""
        column, row = x / SPACING - 0.5, y / SPACING - 0.5
        light = np.empty_like(surfaces.point)
        left = np.arange(x.size)
        for reach, alike in ((1, _ALIKE), (3, _ROUGHLY_ALIKE)):
            light[:, left], found = self._average(column[left], row[left], surfaces[left], reach, *alike)
            left = left[~found]
        alone = surfaces[left]
        light[:, left] = daylight(alone.point, alone.normal, self._solids, np.random.default_rng(4))
        return light

    def _average(
        self, column: Floats, row: Floats, surfaces: Surfaces, reach: int, flat: float, near: float
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Mean over grid points of the same surface, weighted by a tent of `reach` grid steps; and whether any was."""
        total = np.zeros_like(surfaces.point)
        weights = np.zeros(row.size, np.float32)
        first_row, first_column = np.floor(row).astype(np.int32), np.floor(column).astype(np.int32)
        for dy in range(1 - reach, 1 + reach):
            for dx in range(1 - reach, 1 + reach):
                near_row = np.maximum(0, reach - np.abs(row - first_row - dy))
                near_column = np.maximum(0, reach - np.abs(column - first_column - dx))
                at_row = np.clip(first_row + dy, 0, self._rows - 1)
                place = at_row * self._columns + np.clip(first_column + dx, 0, self._columns - 1)
                weight = near_row * near_column * _same(self._surfaces[place], surfaces, flat, near)
                total += self._light[:, place] * weight
                weights += weight
        return (total / np.maximum(weights, 1e-6)).astype(np.float32), weights > 1e-3


def _same(first: Surfaces, second: Surfaces, flat: float, near: float) -> NDArray[np.bool_]:
    aside = np.abs(((first.point - second.point) * second.normal).sum(axis=0))
    agree = (first.normal * second.normal).sum(axis=0) > flat
    return np.asarray(agree & (aside < near) & (first.thing == second.thing))
