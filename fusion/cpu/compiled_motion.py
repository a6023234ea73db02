"""The compiled loops over the motion grid (kernels/registration.c, ghost_mask.c, motion.c) from Python."""

from __future__ import annotations

import ctypes
import weakref
from ctypes import POINTER, Array, Structure, byref, c_double, c_float, c_int, c_int32, c_void_p
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.cpu.compiled_compensation import CompiledCompensation, declare_compensation
from livemef.fusion.cpu.compiled_cycle import CompiledCycle, declare_cycle, planes_of, rows_of
from livemef.fusion.cpu.compiled_evidence import CompiledEvidence, declare_evidence
from livemef.fusion.cpu.compiled_information import CompiledInformation, declare_information
from livemef.fusion.cpu.compiled_maps import CompiledMaps, declare_maps
from livemef.fusion.cpu.compiled_stream import (
    LUMA,
    SEARCH,
    AllowedCall,
    CompiledStream,
    NoiseCall,
    Search,
    allowed_call,
    declare_stream,
    noise_call,
)
from livemef.fusion.kernels.shared_library import address, check, library
from livemef.fusion.motion import intensity_mapping, registration
from livemef.fusion.motion.cycle_means import Planes
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.intensity_mapping import Curve
from livemef.fusion.motion.registration import Move


class _Moved(Structure):
    _fields_ = [
        ("cells", c_void_p),
        ("height", c_int32),
        ("width", c_int32),
        ("channels", c_int32),
        ("stride", c_int32),
        ("across", c_double * 2),
        ("down", c_double * 2),
    ]


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    loops, shape = library(), [c_int32, c_int32]
    loops.disagreement.argtypes = [c_void_p, POINTER(AllowedCall), c_void_p, c_void_p, c_void_p, *shape, c_void_p]
    loops.disagreement.restype = None
    loops.changes.argtypes = [c_void_p, POINTER(NoiseCall), c_void_p, c_void_p, *shape, c_void_p]
    loops.changes.restype = None
    loops.count_levels.argtypes = [c_void_p, c_void_p, *shape, c_void_p, c_float, c_void_p]
    loops.count_levels.restype = c_int
    loops.median_levels.argtypes = [c_void_p, c_void_p, c_void_p, *shape, c_void_p, c_void_p]
    loops.median_levels.restype = None
    loops.green_differences.argtypes = [c_void_p, c_void_p, c_void_p, c_void_p, *shape, c_void_p, c_void_p]
    loops.green_differences.restype = None
    loops.moved_cells.argtypes = [c_void_p, POINTER(_Moved), c_int32, c_void_p]
    loops.moved_cells.restype = c_int
    loops.comparable_luma.argtypes = [c_void_p, c_void_p, c_void_p, c_int32, c_float, c_int32, c_void_p]
    loops.comparable_luma.restype = None
    loops.find_move.argtypes = [c_void_p, POINTER(Search), c_void_p, c_void_p, *shape, POINTER(c_double)]
    loops.find_move.restype = c_int
    loops.pool_open.argtypes = [c_int32]
    loops.pool_open.restype = c_void_p
    loops.pool_close.argtypes = [c_void_p]
    loops.pool_close.restype = None
    declare_compensation(loops)
    declare_cycle(loops)
    declare_evidence(loops)
    declare_information(loops)
    declare_maps(loops)
    declare_stream(loops)
    return loops


class CompiledGridLoops(
    CompiledMaps, CompiledInformation, CompiledCompensation, CompiledStream, CompiledCycle, CompiledEvidence
):
    """The GridLoops, compiled. Raises RuntimeError where they are not built."""

    def __init__(self, threads: int = 1) -> None:
        """threads: that work on a loop, the caller's among them, four at most."""
        self._grids, self._threads = _library(), threads
        self._pool: int | None = self._grids.pool_open(threads - 1)
        weakref.finalize(self, self._grids.pool_close, self._pool)

    def disagreement(self, under: Grid, over: Grid, allowed: Allowed, gate: Mask | None = None) -> Mask:
        """See GridLoops."""
        under, over = (np.ascontiguousarray(grid, np.float32) for grid in (under, over))
        levels = np.stack([allowed.expected, allowed.noise], axis=-1).astype(np.float32)
        call = allowed_call(levels, allowed.spoilt, allowed.clips_at)
        result = np.empty(under.shape[:2], np.float32)
        gate = None if gate is None else np.ascontiguousarray(gate, np.float32)
        data = address(under), address(over), None if gate is None else address(gate)
        self._grids.disagreement(self._pool, byref(call), *data, *result.shape, address(result))
        return result

    def changes(self, grid: Grid, before: Grid, noise: NDArray[np.float32]) -> Mask:
        """See GridLoops."""
        grid, before = (np.ascontiguousarray(picture, np.float32) for picture in (grid, before))
        variance = (2 * np.square(noise)).astype(np.float32)
        call = noise_call(variance)
        result = np.empty(grid.shape[:2], np.float32)
        self._grids.changes(self._pool, byref(call), address(grid), address(before), *result.shape, address(result))
        return result

    def histograms(self, grid: Grid, mask: Mask | None = None, least: float = 0.0) -> Curve:
        """See GridLoops."""
        grid = np.ascontiguousarray(grid, np.float32)
        counts = np.empty((3, intensity_mapping.KNOTS + 1))
        mask = None if mask is None else np.ascontiguousarray(mask, np.float32)
        where = None if mask is None else address(mask), least
        data = address(grid), grid.shape[0] * grid.shape[1], intensity_mapping.KNOTS
        check(self._grids.count_levels(self._pool, *data, *where, address(counts)))
        return counts

    def median_level(self, values: Grid, curves: Curve, mask: Mask | None = None) -> Mask:
        """See GridLoops."""
        values, table = np.ascontiguousarray(values, np.float32), np.ascontiguousarray(curves, np.float32)
        mask, result = None if mask is None else _floats(mask), np.empty(values.shape[:2], np.float32)
        where = result.size, None if mask is None else address(mask), address(result)
        self._grids.median_levels(self._pool, address(values), address(table), intensity_mapping.KNOTS, *where)
        return result

    def green_difference(self, under: Grid, over: Grid, brighter: Curve, mask: Mask) -> Mask:
        """See GridLoops."""
        planes, result = [_floats(plane) for plane in (under, over, brighter, mask)], np.empty(mask.shape, np.float32)
        *data, where = map(address, planes)
        self._grids.green_differences(self._pool, *data, intensity_mapping.KNOTS, result.size, where, address(result))
        return result

    def moved(self, picture: Grid, move: Move) -> Grid:
        """See GridLoops."""
        picture = np.ascontiguousarray(picture, np.float32)
        height, width, channels = picture.shape
        result = np.empty_like(picture)
        call = _Moved(address(picture), height, width, channels, width * channels, *_offsets(move, height, width))
        check(self._grids.moved_cells(self._pool, byref(call), 1, address(result)))
        return result

    def moved_planes(self, planes: Planes, move: Move) -> Planes:
        """See GridLoops."""
        rows = rows_of(planes)
        height, count, width = rows.shape
        result = np.empty_like(rows)
        call = _Moved(address(rows), height, width, 1, count * width, *_offsets(move, height, width))
        check(self._grids.moved_cells(self._pool, byref(call), count, address(result)))
        return planes_of(result)

    def comparable(self, picture: Grid, factor: int, brighter: Curve | None = None) -> Mask:
        """See GridLoops."""
        height, width = picture.shape[0] // factor, picture.shape[1] // factor
        fewer = self.mean_cells(picture[: height * factor, : width * factor], height, width)
        fewer, result = np.ascontiguousarray(fewer, np.float32), np.empty((height, width), np.float32)
        curve = None if brighter is None else np.ascontiguousarray(brighter, np.float32)
        values = None if curve is None else address(curve), intensity_mapping.KNOTS, registration.CEILING
        self._grids.comparable_luma(address(fewer), LUMA, *values, result.size, address(result))
        return result

    def find_move(self, reference: Mask, other: Mask) -> Move:
        """See GridLoops."""
        planes = [np.ascontiguousarray(plane, np.float32) for plane in (reference, other)]
        found = (c_double * 3)()
        data = byref(SEARCH), *(address(plane) for plane in planes), *other.shape, found
        check(self._grids.find_move(self._pool, *data))
        return Move(*found)


def _floats(plane: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(plane, np.float32)


def _offsets(move: Move, height: int, width: int) -> tuple[Array[c_double], Array[c_double]]:
    across, down = move.offsets(height, width)
    return (c_double * 2)(*across), (c_double * 2)(*down)
