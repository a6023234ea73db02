"""The compiled means of the steering planes over a cycle of exposures (kernels/steering.c) from Python."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import CDLL, POINTER, Array, c_double, c_float, c_int, c_int32, c_void_p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.kernels.shared_library import address, check
from livemef.fusion.motion import cycle_means
from livemef.fusion.motion.cycle_means import Planes
from livemef.fusion.motion.ghost_mask import Mask

Rows = NDArray[np.float32]
"""Small planes as the loops take them, height x their number x width: a row of each, then the next row of each."""


def rows_of(planes: NDArray[Any]) -> Rows:
    """Of planes (height x width x their number)."""
    return np.ascontiguousarray(planes.transpose(0, 2, 1), np.float32)


def planes_of(rows: Rows) -> Rows:
    """The same memory as height x width x planes."""
    return rows.transpose(0, 2, 1)


def addresses(arrays: Sequence[NDArray[Any]]) -> Array[c_void_p]:
    """Of arrays that the caller keeps alive."""
    return (c_void_p * len(arrays))(*(address(array) for array in arrays))


def declare_cycle(loops: CDLL) -> None:
    """Types of the functions' arguments."""
    shape = [c_int32, c_int32]
    loops.towards_mean.argtypes = [c_void_p, POINTER(c_void_p), c_int32, c_void_p, c_int32, *shape, c_void_p]
    loops.towards_mean.restype = None
    loops.mean_lightness.argtypes = [c_void_p, c_int32, POINTER(c_void_p), c_int32, *shape]
    loops.mean_lightness.restype = c_double
    loops.still_planes.argtypes = [POINTER(c_void_p), c_int32, *shape, c_int32, c_int32, c_float, c_void_p]
    loops.still_planes.restype = c_int


class CompiledCycle:
    """The GridLoops over steering planes, compiled. Planes that they return are of float32, each row of one apart."""

    _grids: CDLL

    def still(self, changed: Sequence[Mask], height: int, width: int, radius: int) -> Mask:
        """See GridLoops."""
        masks = [np.ascontiguousarray(mask, np.float32) for mask in changed]
        cells, result = len(masks[0]) // height, np.empty((height, width), np.float32)
        window = cells, radius, cycle_means.STILL_GAIN
        check(self._grids.still_planes(addresses(masks), len(masks), height, width, *window, address(result)))
        return result

    def towards_mean(self, newest: Planes, past: Sequence[Planes], part: Mask) -> Planes:
        """See GridLoops."""
        others = [rows_of(planes) for planes in past]
        rows, part = rows_of(newest), np.ascontiguousarray(part, np.float32)
        result = np.empty_like(rows)
        data = address(rows), addresses(others), len(others), address(part)
        self._grids.towards_mean(*data, *result.shape, address(result))
        return planes_of(result)

    def mean_lightness(self, affine: Planes, lights: Sequence[Mask]) -> float:
        """See GridLoops."""
        rows, planes = rows_of(affine), [np.ascontiguousarray(light, np.float32) for light in lights]
        height, count, width = rows.shape
        found = self._grids.mean_lightness(address(rows), count, addresses(planes), len(planes), height, width)
        check(found < 0)
        return float(found)
