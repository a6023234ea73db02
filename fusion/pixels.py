"""The compiled pixel loops (kernels/pixels.c) from Python: found, fed with constants, called without the GIL.

All constants and tables come from `fusion.colour` and `fusion.chroma_map`. Results are the same for any number of
threads;
between machines with and without fused multiply-add they may differ by a code here and there.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_double, c_float, c_int, c_int32, c_ssize_t, c_void_p
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.frame import Pixels
from fusion import chroma_map, colour, small
from fusion.fuser import FusionSettings
from fusion.kernel_constants import Constants, constants
from fusion.loops import Job, Plane, Planes, Rows
from fusion.motion import compensation, disagreement, exposure_map
from fusion.motion.alignment import NO_MOVE
from fusion.motion.compensation import Compensation
from fusion.motion.disagreement import Allowed, Grid, Mask

FINE_STEPS, ENCODE16_STEPS = 8192, 4096
"""Table sizes: small enough for the caches, fine enough for 0.02 of a 16-bit code."""

ENCODE8_MANTISSA_BITS, ENCODE8_LEAST = 9, 2.0**-13
"""The 8-bit table is indexed by a float's exponent and so many bits of its mantissa: within 0.06 of a code."""


class _Picture(Structure):
    _fields_ = [
        ("pixels", c_void_p),
        ("stride", c_ssize_t),
        ("height", c_int32),
        ("width", c_int32),
        ("bytes_per_sample", c_int32),
    ]


class _Tables(Structure):
    _fields_ = [
        ("decode", c_void_p),
        ("decode_fine", c_void_p),
        ("encode8", c_void_p),
        ("encode16", c_void_p),
        ("fine_steps", c_int32),
        ("encode8_first", c_int32),
        ("encode8_shift", c_int32),
        ("encode16_steps", c_int32),
    ]


class _Job(Structure):
    _fields_ = [
        ("under", _Picture),
        ("over", _Picture),
        ("out", c_void_p),
        ("out_stride", c_ssize_t),
        ("steering", c_void_p),
        ("small_height", c_int32),
        ("small_width", c_int32),
        ("lightness", c_void_p),
        ("select", c_int32),
        ("keep_chromaticity", c_int32),
    ]


class _Compensation(Structure):
    _fields_ = [
        ("reference", _Picture),
        ("other", _Picture),
        ("out", c_void_p),
        ("out_stride", c_ssize_t),
        ("table", c_void_p),
        ("guides", c_void_p),
        ("grid_height", c_int32),
        ("grid_width", c_int32),
        ("move", c_double * 6),
        ("moved", c_int32),
        ("fills", c_int32),
        ("clip_start", c_float),
        ("clip_scale", c_float),
    ]


class _Allowed(Structure):
    _fields_ = [("expected", c_void_p), ("noise", c_void_p), ("knots", c_int32), ("contrast_part", c_float)]


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    folder = Path(__file__).parent
    for suffix in EXTENSION_SUFFIXES:
        path = folder / f"_pixels{suffix}"
        if path.exists():
            return _declared(ctypes.CDLL(str(path)))
    return None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    shared: list[Any] = [POINTER(Constants), POINTER(_Tables)]
    rows: list[Any] = [c_int32, c_int32]
    library.shrink_rows.argtypes = [POINTER(_Picture), c_void_p, c_int32, c_int32, *rows]
    library.shrink_rows.restype = c_int
    library.small_lab.argtypes = [*shared, c_void_p, c_int32, c_void_p, c_void_p]
    library.small_lab.restype = None
    library.box_mean.argtypes = [c_void_p, c_int32, c_int32, c_int32, c_int32, c_void_p]
    library.box_mean.restype = c_int
    library.affine_coefficients.argtypes = [c_void_p, c_void_p, c_void_p, *[c_int32] * 3, c_double, c_void_p]
    library.affine_coefficients.restype = c_int
    library.lightness_rows.argtypes = [*shared, POINTER(_Picture), c_void_p, *rows]
    library.lightness_rows.restype = None
    library.fuse_rows.argtypes = [*shared, POINTER(_Job), *rows]
    library.fuse_rows.restype = c_int
    library.compensate_rows.argtypes = [POINTER(_Compensation), *rows]
    library.compensate_rows.restype = c_int
    library.disagreement_cells.argtypes = [POINTER(_Allowed), c_void_p, c_void_p, c_void_p, c_int32, c_void_p]
    library.disagreement_cells.restype = None
    return library


def compiled() -> bool:
    """Whether the compiled loops are there (they are built at installation where a C compiler is)."""
    return _library() is not None


class CompiledLoops:
    """The PixelLoops, compiled. Pictures may have padding between rows; within a row pixels must be packed."""

    name = "compiled"

    def __init__(self) -> None:
        library = _library()
        if library is None:
            raise RuntimeError("the compiled pixel loops are not built")
        self._library = library

    def shrink(self, pixels: Pixels, shrunk: Plane) -> Rows:
        """See PixelLoops."""
        picture, (height, width) = _picture(pixels), shrunk.shape[:2]

        def rows(top: int, bottom: int) -> None:
            _check(self._library.shrink_rows(byref(picture), shrunk.ctypes.data, height, width, top, bottom))

        return rows

    def small_lab(self, shrunk: Plane) -> tuple[Plane, Plane]:
        """See PixelLoops."""
        lightness, chroma = np.empty(shrunk.shape[:2], np.float32), np.empty(shrunk.shape[:2], np.float32)
        numbers, tables = constants(), _tables(256)
        outputs = lightness.ctypes.data, chroma.ctypes.data
        self._library.small_lab(byref(numbers), byref(tables), shrunk.ctypes.data, lightness.size, *outputs)
        return lightness, chroma

    def chroma_part(self, under: Plane, over: Plane) -> Planes:
        """See PixelLoops."""
        planes = np.stack([under, over], axis=-1).astype(np.float64)
        result = np.empty_like(planes)
        height, width, count = planes.shape
        data = planes.ctypes.data, result.ctypes.data
        _check(self._library.box_mean(data[0], height, width, count, small.CHROMA_RADIUS, data[1]))
        return chroma_map.under_part(result[..., 0], result[..., 1]).astype(np.float64)

    def affine_planes(self, under: Plane, over: Plane, target: Planes, settings: FusionSettings) -> Planes:
        """See PixelLoops."""
        planes: list[NDArray[Any]] = [
            np.ascontiguousarray(under, np.float32),
            np.ascontiguousarray(over, np.float32),
            target,
        ]
        result = np.empty((*target.shape, 3))
        data = [plane.ctypes.data for plane in planes]
        shape, window = target.shape, (settings.window_radius, settings.window_eps)
        _check(self._library.affine_coefficients(*data, *shape, *window, result.ctypes.data))
        return result

    def lightness(self, pixels: Pixels, lightness: Plane) -> Rows:
        """See PixelLoops."""
        numbers, tables, picture = constants(), _tables(_codes(pixels)), _picture(pixels)

        def rows(top: int, bottom: int) -> None:
            data = lightness.ctypes.data
            self._library.lightness_rows(byref(numbers), byref(tables), byref(picture), data, top, bottom)

        return rows

    def fuse(self, job: Job) -> Rows:
        """See PixelLoops."""
        numbers, tables, steering = constants(), _tables(_codes(job.out)), _steering(job)
        call = _Job(
            under=_picture(job.under),
            over=_picture(job.over),
            out=job.out.ctypes.data,
            out_stride=job.out.strides[0],
            small_height=steering.shape[0],
            small_width=steering.shape[2],
            lightness=None if job.lightness is None else job.lightness.ctypes.data,
            select=job.settings.chroma == "select",
            keep_chromaticity=job.settings.colour == "chromaticity",
        )

        def rows(top: int, bottom: int) -> None:
            call.steering = steering.ctypes.data
            _check(self._library.fuse_rows(byref(numbers), byref(tables), byref(call), top, bottom))

        return rows

    def deviations(self, under: Grid, over: Grid, allowed: Allowed) -> Mask:
        """See PixelLoops."""
        grids = [np.ascontiguousarray(grid, np.float32) for grid in (under, over, disagreement.contrast(over))]
        curves = [curve.astype(np.float32) for curve in (allowed.expected, allowed.noise)]
        pointers = [curve.ctypes.data for curve in curves]
        call = _Allowed(*pointers, exposure_map.KNOTS, disagreement.CONTRAST_PART)
        result = np.empty(under.shape[:2], np.float32)
        data = [grid.ctypes.data for grid in grids]
        self._library.disagreement_cells(byref(call), *data, result.size, result.ctypes.data)
        return result

    def compensate(self, reference: Pixels, other: Pixels, todo: Compensation, out: Pixels) -> Rows:
        """See PixelLoops."""
        table = exposure_map.code_table(todo.curve, other.dtype).astype(np.float32)
        guides = _guides(todo, _codes(other) - 1)
        clips = (_codes(other) - 1) * compensation.CLIP_START, (_codes(other) - 1) * compensation.CLIP_END
        call = _Compensation(
            reference=_picture(reference),
            other=_picture(other),
            out=out.ctypes.data,
            out_stride=out.strides[0],
            grid_height=guides.shape[0],
            grid_width=guides.shape[2],
            move=(c_double * 6)(*todo.move.matrix(*other.shape[:2]).ravel()),
            moved=todo.move != NO_MOVE,
            fills=todo.fill is not None,
            clip_start=clips[0],
            clip_scale=1 / (clips[1] - clips[0]),
        )

        def rows(top: int, bottom: int) -> None:
            call.table, call.guides = table.ctypes.data, guides.ctypes.data
            _check(self._library.compensate_rows(byref(call), top, bottom))

        return rows


def _check(failed: int) -> None:
    if failed:
        raise MemoryError("the pixel loops could not allocate their row buffers")


def _codes(pixels: Pixels) -> int:
    return int(np.iinfo(pixels.dtype).max) + 1


def _picture(pixels: Pixels) -> _Picture:
    height, width = pixels.shape[:2]
    if pixels.strides[1:] != (3 * pixels.itemsize, pixels.itemsize) or not pixels.flags.aligned:
        raise ValueError("pixels must be packed within a row")
    return _Picture(pixels.ctypes.data, pixels.strides[0], height, width, pixels.itemsize)


def _steering(job: Job) -> NDArray[np.float32]:
    """The small planes, h x 4 x w: affine coefficients, rewritten from L* to f = (L* + 16) / 116, then chroma parts."""
    height, width = job.chroma.shape
    affine = np.zeros((height, width, 3)) if job.affine is None else job.affine
    a, b, c = np.moveaxis(affine, -1, 0)
    offset = (c + 16 - 16 * a - 16 * b) / 116
    planes = np.stack([a, b, offset, job.chroma], axis=1)
    return np.ascontiguousarray(planes, np.float32)


def _guides(todo: Compensation, top: int) -> NDArray[np.float32]:
    """The planes of the motion grid, h x 4 x w: the reference's share, and the fill's codes."""
    fill = np.zeros((*todo.mask.shape, 3)) if todo.fill is None else todo.fill * top
    planes = np.concatenate([todo.mask[:, None], np.moveaxis(fill, -1, 1)], axis=1)
    return np.ascontiguousarray(planes, np.float32)


def _encode8_table() -> tuple[int, int, NDArray[np.uint8]]:
    """Place of the first entry, shift, and the codes of linear light by its leading float bits, up to 1.0."""
    shift = 23 - ENCODE8_MANTISSA_BITS
    first, last = (int(np.float32(value).view(np.int32)) >> shift for value in (ENCODE8_LEAST, 1.0))
    edges = (np.arange(first, last + 2, dtype=np.int32) << shift).view(np.float32).astype(np.float64)
    middles = np.minimum((edges[:-1] + edges[1:]) / 2, 1)
    middles[0] = 0  # everything darker, down to black
    return first, shift, colour.to_codes(colour.encode(middles), np.dtype(np.uint8))


@lru_cache(maxsize=2)
def _tables(codes: int) -> _Tables:
    """Tables for pictures of `codes` codes (256 or 65536), with the arrays they point into kept alive."""
    first, shift, encode8 = _encode8_table()
    arrays: dict[str, NDArray[Any]] = {
        "decode": colour.decode_table(codes),
        "decode_fine": colour.decode_table(FINE_STEPS + 1),
        "encode8": encode8,
        "encode16": (colour.encode_table(ENCODE16_STEPS) * 65535).astype(np.float32),
    }
    pointers = {name: array.ctypes.data for name, array in arrays.items()}
    tables = _Tables(
        **pointers, fine_steps=FINE_STEPS, encode8_first=first, encode8_shift=shift, encode16_steps=ENCODE16_STEPS
    )
    tables.arrays = arrays
    return tables
