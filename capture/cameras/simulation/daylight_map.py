"""Daylight changes slowly from pixel to pixel: it is gathered on a coarse grid and read off for every ray."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capture.cameras.simulation.raycast import Floats, Solid
from capture.cameras.simulation.room_light import daylight

SPACING = 4
"""Pixels between points of the grid."""

_SMOOTHING = 3
"""Grid steps over which the noise is averaged."""
_FLAT = 0.9
"""Neighbours whose normals agree this well (cosine) ..."""
_NEAR = 0.03
"""... and whose points lie this near to the ray's surface (metres) are of the same surface."""


class DaylightMap:
    """Irradiance at the first surface behind each point of a grid on the picture.

    rows, columns: of the grid; thing, point, normal: of its points, row by row (as traced). The points of light are
    drawn afresh at each point of the grid; what that leaves of noise is averaged over neighbours of the same surface.
    """

    def __init__(
        self, rows: int, columns: int, thing: NDArray[np.int32], point: Floats, normal: Floats, solids: Sequence[Solid]
    ) -> None:
        self._rows, self._columns = rows, columns
        self._thing, self._point, self._normal = thing, point, normal
        self._solids = solids
        self._light = daylight(point, normal, solids, np.random.default_rng(3))
        column, row = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        self._light = self._average(column.ravel(), row.ravel(), thing, point, normal, _SMOOTHING)[0]

    def read(self, x: Floats, y: Floats, thing: NDArray[np.int32], point: Floats, normal: Floats) -> Floats:
        """Irradiance (3, n) for rays at (x, y) of the picture that meet `thing` at `point`."""
        light, found = self._average(x / SPACING - 0.5, y / SPACING - 0.5, thing, point, normal, 1)
        missed = np.flatnonzero(~found)
        light[:, missed] = daylight(point[:, missed], normal[:, missed], self._solids, np.random.default_rng(4))
        return light

    def _average(
        self, column: Floats, row: Floats, thing: NDArray[np.int32], point: Floats, normal: Floats, reach: int
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Mean over grid points of the same surface, weighted by a tent of `reach` grid steps; and whether any was."""
        total = np.zeros_like(point)
        weights = np.zeros(row.size, np.float32)
        first_row, first_column = np.floor(row).astype(np.int32), np.floor(column).astype(np.int32)
        for dy in range(1 - reach, 1 + reach):
            for dx in range(1 - reach, 1 + reach):
                near_row = np.maximum(0, reach - np.abs(row - first_row - dy))
                near_column = np.maximum(0, reach - np.abs(column - first_column - dx))
                at_row = np.clip(first_row + dy, 0, self._rows - 1)
                place = at_row * self._columns + np.clip(first_column + dx, 0, self._columns - 1)
                aside = np.abs(((self._point[:, place] - point) * normal).sum(axis=0))
                alike = (self._normal[:, place] * normal).sum(axis=0) > _FLAT
                weight = near_row * near_column * (alike & (aside < _NEAR) & (self._thing[place] == thing))
                total += self._light[:, place] * weight
                weights += weight
        return (total / np.maximum(weights, 1e-6)).astype(np.float32), weights > 1e-3
