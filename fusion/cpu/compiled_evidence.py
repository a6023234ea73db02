"""The compiled loops that measure exposures against each other (kernels/evidence.c, masks.c) from Python."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, byref, c_float, c_int, c_int32, c_void_p
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.cpu.compiled_cycle import addresses
from livemef.fusion.cpu.compiled_maps import curves_of
from livemef.fusion.cpu.compiled_stream import LIGHTS_OUT, LUMA, SOFTENING, LightsOut, measure_of
from livemef.fusion.kernels.shared_library import address, check
from livemef.fusion.method import downscale
from livemef.fusion.motion import blinking, dim_colour, ghost_mask, regions, saturation_fill, temporal_noise
from livemef.fusion.motion.ghost_mask import LEVELS, Allowed, Grid, Mask
from livemef.fusion.motion.intensity_mapping import KNOTS, Curve, ExposureMap
from livemef.fusion.motion.regions import Means, Regions


class Tinting(Structure):
    """See kernels/grids.h."""

    _fields_ = [
        ("curves", c_void_p),
        ("knots", c_int32),
        ("reach", c_int32),
        ("stride", c_int32),
        ("luma", c_float * 3),
        ("clear", c_float),
        ("light_part", c_float),
        ("light_least", c_float),
        ("colour", c_float),
        ("grey", c_float),
        ("least_luma", c_float),
    ]


class Clipping(Structure):
    """See kernels/grids.h."""

    _fields_ = [
        ("reference", c_void_p),
        ("other", c_void_p),
        ("mask", c_void_p),
        ("height", c_int32),
        ("width", c_int32),
        ("cells", c_int32),
        ("down", c_int32),
        ("across", c_int32),
        ("clip_start", c_float),
        ("farther", c_float),
    ]


def clipping(reference: Grid, other: Grid, mask: Mask, fill: tuple[int, ...], clips_at: float) -> Clipping:
    """Of arrays that the caller keeps alive. fill: its shape, see `fill_shape`."""
    (height, width), (lines, columns) = reference.shape[:2], fill[:2]
    parts = height, width, len(mask) // height, height // lines, width // columns
    limits = saturation_fill.CLIP_START * clips_at, saturation_fill.FARTHER
    return Clipping(address(reference), address(other), address(mask), *parts, *limits)


@lru_cache(maxsize=16)
def fill_shape(small: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Of the fill behind clipping of small pictures of this shape; None where it has no whole number of them a cell."""
    lines, columns = downscale.small_shape(small[0], small[1], saturation_fill.LINES)
    return None if small[0] % lines or small[1] % columns else (lines, columns, 3)


def tinting(curves: int | None, clear: float) -> Tinting:
    """curves: address of 3 x KNOTS + 1 float32; see dim_colour.tints."""
    window = dim_colour.REACH, dim_colour.STRIDE, LUMA, clear
    likeness = dim_colour.LIGHT_PART, dim_colour.LIGHT_LEAST, (dim_colour.COLOUR_PART * clear) ** -2
    return Tinting(curves, KNOTS, *window, *likeness, dim_colour.GREY, dim_colour.LEAST_LUMA)


def declare_evidence(loops: CDLL) -> None:
    """Types of the functions' arguments."""
    shape, arrays = [c_int32, c_int32], [c_void_p, c_void_p]
    loops.mean_cells.argtypes = [c_void_p, c_void_p, *shape, c_int32, c_int32, c_int32, c_void_p]
    loops.mean_cells.restype = c_int
    loops.wider_mask.argtypes = [c_void_p, POINTER(c_void_p), c_int32, *shape, c_int32, c_void_p]
    loops.wider_mask.restype = c_int
    loops.soft_mask.argtypes = [c_void_p, c_void_p, *arrays, *shape, c_void_p]
    loops.soft_mask.restype = c_int
    loops.tints.argtypes = [c_void_p, POINTER(Tinting), *arrays, c_void_p, *shape, c_void_p]
    loops.tints.restype = c_int
    loops.behind_clipping.argtypes = [POINTER(Clipping), c_void_p]
    loops.behind_clipping.restype = c_int
    loops.find_regions.argtypes = [c_void_p, POINTER(c_void_p), c_int32, *shape, c_int32, c_float, *arrays]
    loops.find_regions.restype = c_int
    loops.of_regions.argtypes = [*arrays, c_int32, c_void_p]
    loops.of_regions.restype = None
    loops.median_differences.argtypes = [c_void_p, *arrays, *shape, c_int32, c_int32, c_int32, c_void_p]
    loops.median_differences.restype = c_int
    loops.allowed_by_channel.argtypes = [c_void_p, c_void_p, *arrays, *shape]
    loops.allowed_by_channel.restype = c_int
    loops.follow_blinking.argtypes = [*arrays, c_void_p, c_int32, c_float, c_float, c_void_p]
    loops.follow_blinking.restype = c_float
    loops.seen_by_other.argtypes = [c_void_p, POINTER(LightsOut), *arrays, *shape, c_void_p]
    loops.seen_by_other.restype = c_int
    loops.without_blinking.argtypes = [*arrays, c_int32, c_void_p]
    loops.without_blinking.restype = None
    loops.without_lights_out.argtypes = [POINTER(LightsOut), *arrays, *shape, c_void_p]
    loops.without_lights_out.restype = c_int


class CompiledEvidence:
    """The GridLoops that measure, compiled."""

    _grids: CDLL
    _pool: int | None

    def mean_cells(self, plane: Mask, height: int, width: int) -> Mask:
        """See GridLoops."""
        down, across = plane.shape[0] // height, plane.shape[1] // width
        if plane.shape[:2] == (height, width) or plane.shape[:2] != (down * height, across * width):
            return downscale.mean_cells(plane, height, width)
        plane, channels = np.ascontiguousarray(plane, np.float32), 1 if plane.ndim == 2 else plane.shape[2]
        result = np.empty((height, width, *plane.shape[2:]), np.float32)
        shape = height, width, channels, down, across
        check(self._grids.mean_cells(self._pool, address(plane), *shape, address(result)))
        return result

    def soft_mask(self, disagreement: Mask, gate: Mask | None = None) -> Mask:
        """See GridLoops."""
        disagreement = np.ascontiguousarray(disagreement, np.float32)
        gate, result = None if gate is None else np.ascontiguousarray(gate, np.float32), np.empty_like(disagreement)
        data = address(disagreement), None if gate is None else address(gate), *result.shape, address(result)
        check(self._grids.soft_mask(self._pool, byref(SOFTENING), *data))
        return result

    def wider_mask(self, masks: Sequence[Mask], cells: int) -> Mask:
        """See GridLoops."""
        masks = [np.ascontiguousarray(mask, np.float32) for mask in masks]
        result = np.empty_like(masks[0])
        data = addresses(masks), len(masks), *result.shape, cells, address(result)
        check(self._grids.wider_mask(self._pool, *data))
        return result

    def find_regions(self, mask: Mask, planes: Sequence[Mask]) -> Regions:
        """See GridLoops."""
        mask, *planes = (np.ascontiguousarray(plane, np.float32) for plane in (mask, *planes))
        numbers, means = np.empty(mask.shape, np.int32), np.empty((mask.size + 1, len(planes)), np.float32)
        data = address(mask), addresses(planes), len(planes), *mask.shape, regions.APART, regions.BELONGS
        last = self._grids.find_regions(*data, address(numbers), address(means))
        check(last < 0)
        return Regions(numbers, means[: last + 1].T)

    def of_regions(self, found: Regions, values: Means) -> Mask:
        """See GridLoops."""
        numbers, values = np.ascontiguousarray(found.numbers), np.ascontiguousarray(values, np.float32)
        result = np.empty(numbers.shape, np.float32)
        self._grids.of_regions(address(numbers), address(values), result.size, address(result))
        return result

    def tints(self, reference: Grid, there: Grid, mask: Mask, curves: Curve, clear: float) -> Grid | None:
        """See GridLoops."""
        mask = self.mean_cells(mask, *reference.shape[:2])
        planes = [np.ascontiguousarray(plane, np.float32) for plane in (reference, there, mask)]
        values, result = np.ascontiguousarray(curves, np.float32), np.empty(reference.shape, np.float32)
        call = tinting(address(values), clear)
        data = *map(address, planes), *mask.shape, address(result)
        needed = self._grids.tints(self._pool, byref(call), *data)
        check(needed < 0)
        return result if needed else None

    def behind_clipping(self, reference: Grid, other: Grid, mask: Mask, clips_at: float = 1.0) -> Grid | None:
        """See GridLoops."""
        (height, width), grid, shape = reference.shape[:2], mask.shape, fill_shape(reference.shape)
        if shape is None or grid[0] % height or grid[1] * height != width * grid[0]:
            return saturation_fill.behind_clipping(reference, other, mask, clips_at)
        reference, other, mask = (np.ascontiguousarray(plane, np.float32) for plane in (reference, other, mask))
        call, result = clipping(reference, other, mask, shape, clips_at), np.empty(shape, np.float32)
        needed = self._grids.behind_clipping(byref(call), address(result))
        check(needed < 0)
        return result if needed else None

    def measured_noise(self, grid: Grid, old: Grid) -> NDArray[np.float64]:
        """See GridLoops."""
        grid, old = (np.ascontiguousarray(picture, np.float32) for picture in (grid, old))
        found = np.empty(LEVELS, np.float32)
        limits = temporal_noise.sampling_step(grid), LEVELS, temporal_noise.FEWEST_OF_LEVEL
        data = address(grid), address(old), *grid.shape[:2], *limits, address(found)
        check(self._grids.median_differences(self._pool, *data))
        return np.where(found < 0, np.nan, temporal_noise.OF_MEDIAN * found.astype(np.float64))

    def seen_by_other(self, changed: Mask, other: Mask) -> Mask:
        """See GridLoops."""
        changed, other = np.ascontiguousarray(changed, np.float32), np.ascontiguousarray(other, np.float32)
        result = np.empty_like(changed)
        data = address(changed), address(other), *result.shape, address(result)
        check(self._grids.seen_by_other(self._pool, byref(LIGHTS_OUT), *data))
        return result

    def follow_blinking(self, before: Mask | None, changed: Mask, seen_by_other: Mask) -> Mask | None:
        """See GridLoops."""
        planes, result = [np.ascontiguousarray(mask) for mask in (changed, seen_by_other)], np.empty_like(changed)
        before = None if before is None else np.ascontiguousarray(before)
        data = None if before is None else address(before), *map(address, planes), result.size
        most = self._grids.follow_blinking(*data, blinking.NOTED, 1 - blinking.FORGET, address(result))
        return result if most >= blinking.NOTED / 2 else None

    def without_blinking(self, changed: Mask, blinks: Mask) -> Mask:
        """See GridLoops."""
        planes, result = [np.ascontiguousarray(mask) for mask in (changed, blinks)], np.empty_like(changed)
        self._grids.without_blinking(*map(address, planes), result.size, address(result))
        return result

    def without_lights_out(self, changed: Mask, grid: Grid, before: Grid) -> Mask:
        """See GridLoops."""
        grid, before, result = np.ascontiguousarray(grid), np.ascontiguousarray(before), np.array(changed, order="C")
        data = address(grid), address(before), *result.shape, address(result)
        check(self._grids.without_lights_out(byref(LIGHTS_OUT), *data))
        return result

    def allowed_by_channel(
        self,
        under: Grid,
        over: Grid,
        maps: Sequence[ExposureMap],
        least: Curve,
        changed: Mask | None = None,
    ) -> Allowed:
        """See GridLoops."""
        under, over = (np.ascontiguousarray(grid, np.float32) for grid in (under, over))
        found = np.empty((2, 3, KNOTS + 1))
        changed = None if changed is None else np.ascontiguousarray(changed, np.float32)
        moving = None if changed is None else address(changed)
        curves, variance = curves_of(maps), np.ascontiguousarray(least)
        measure = measure_of(curves, variance, under.size // 3, found, moving)
        check(
            self._grids.allowed_by_channel(self._pool, byref(measure), address(under), address(over), *under.shape[:2])
        )
        return Allowed(found[0], found[1], ghost_mask.SPOILT, maps[0].clips_at)
