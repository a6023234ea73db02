"""The compiled pixel loops (kernels/pixels.c) from Python: found, fed with constants, called without the GIL.

All constants and tables come from `fusion.colour` and `fusion.chroma_map`. Results are the same for any number of
threads;
between machines with and without fused multiply-add they may differ by a code here and there.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, addressof, byref, c_double, c_float, c_int, c_int32, c_ssize_t, c_void_p
from dataclasses import replace
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
from fusion.loops import Exposure, Job, Plane, Planes, Rows
from fusion.motion import alignment, clipping, disagreement, exposure_map, remake
from fusion.motion.alignment import NO_MOVE, Move
from fusion.motion.disagreement import Allowed, Grid, Mask
from fusion.motion.remake import Compensation

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
        ("under_motion", c_void_p),
        ("over_motion", c_void_p),
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
        ("table", c_void_p),
        ("mask", c_void_p),
        ("grid_height", c_int32),
        ("grid_width", c_int32),
        ("across", c_void_p),
        ("down", c_void_p),
        ("fill", c_void_p),
        ("fill_height", c_int32),
        ("fill_width", c_int32),
        ("clip_start", c_float),
        ("clip_scale", c_float),
        ("least_fill", c_float),
    ]


class _Moved(Structure):
    _fields_ = [
        ("cells", c_void_p),
        ("height", c_int32),
        ("width", c_int32),
        ("channels", c_int32),
        ("across", c_double * 2),
        ("down", c_double * 2),
    ]


class _Search(Structure):
    _fields_ = [
        ("ceiling", c_float),
        ("tolerance", c_float),
        ("enough", c_double),
        ("gain", c_double),
        ("least_seen", c_double),
        ("regular", c_double),
        ("steps", c_int32),
        ("smallest_side", c_int32),
    ]


class _Allowed(Structure):
    _fields_ = [
        ("levels", c_void_p),
        ("knots", c_int32),
        ("contrast_part", c_float),
        ("sure", c_float),
        ("certain", c_float),
    ]


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
    library.compensate_rows.argtypes = [POINTER(_Compensation), c_void_p, c_ssize_t, *rows]
    library.compensate_rows.restype = c_int
    library.remake_cells.argtypes = [POINTER(_Compensation), c_int32, c_void_p]
    library.remake_cells.restype = c_int
    library.disagreement.argtypes = [POINTER(_Allowed), c_void_p, c_void_p, *rows, c_void_p]
    library.disagreement.restype = None
    library.moved_cells.argtypes = [POINTER(_Moved), c_void_p]
    library.moved_cells.restype = c_int
    library.find_move.argtypes = [POINTER(_Search), c_void_p, c_void_p, *rows, POINTER(c_double)]
    library.find_move.restype = c_int
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
        motions = _motion(job.under), _motion(job.over)
        call = _Job(
            under=_picture(job.under.pixels),
            over=_picture(job.over.pixels),
            out=job.out.ctypes.data,
            out_stride=job.out.strides[0],
            small_height=steering.shape[0],
            small_width=steering.shape[2],
            lightness=None if job.lightness is None else job.lightness.ctypes.data,
            select=job.settings.chroma == "select",
            keep_chromaticity=job.settings.colour == "chromaticity",
        )

        def rows(top: int, bottom: int) -> None:
            call.steering, call.under_motion, call.over_motion = steering.ctypes.data, *map(_address, motions)
            _check(self._library.fuse_rows(byref(numbers), byref(tables), byref(call), top, bottom))

        return rows

    def disagreement(self, under: Grid, over: Grid, allowed: Allowed) -> Mask:
        """See PixelLoops."""
        under, over = (np.ascontiguousarray(grid, np.float32) for grid in (under, over))
        levels = np.column_stack([allowed.expected, allowed.noise]).astype(np.float32)
        limits = disagreement.CONTRAST_PART, disagreement.SURE, disagreement.CERTAIN
        call = _Allowed(levels.ctypes.data, exposure_map.KNOTS, *limits)
        result = np.empty(under.shape[:2], np.float32)
        data = under.ctypes.data, over.ctypes.data
        self._library.disagreement(byref(call), *data, *result.shape, result.ctypes.data)
        return result

    def moved(self, picture: Grid, move: Move) -> Grid:
        """See PixelLoops."""
        picture = np.ascontiguousarray(picture, np.float32)
        result, call = np.empty_like(picture), _moved(picture, move)
        _check(self._library.moved_cells(byref(call), result.ctypes.data))
        return result

    def remade(self, reference: Grid, there: Grid, todo: Compensation) -> Grid:
        """See PixelLoops."""
        result, call = np.empty_like(there), _compensation(there, reference, replace(todo, move=NO_MOVE))
        _check(self._library.remake_cells(byref(call), exposure_map.KNOTS, result.ctypes.data))
        return result

    def find_move(self, reference: Mask, other: Mask) -> Move:
        """See PixelLoops."""
        call = _Search(
            ceiling=alignment.CEILING,
            tolerance=alignment.ROBUST**-2,
            enough=alignment.ENOUGH,
            gain=alignment.GAIN,
            least_seen=alignment.LEAST_SEEN,
            regular=alignment.REGULAR,
            steps=alignment.STEPS,
            smallest_side=alignment.SMALLEST_SIDE,
        )
        planes = [np.ascontiguousarray(plane, np.float32) for plane in (reference, other)]
        found = (c_double * 3)()
        _check(self._library.find_move(byref(call), *[plane.ctypes.data for plane in planes], *other.shape, found))
        return Move(*found)

    def remake(self, exposure: Exposure, out: Pixels) -> Rows:
        """See PixelLoops."""
        assert exposure.reference is not None
        assert exposure.todo is not None
        call = _compensation(exposure.pixels, exposure.reference, exposure.todo)

        def rows(top: int, bottom: int) -> None:
            _check(self._library.compensate_rows(byref(call), out.ctypes.data, out.strides[0], top, bottom))

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


def _moved(picture: Grid, move: Move) -> _Moved:
    """A packed picture, h x w x channels, and where it has gone."""
    across, down = move.offsets(*picture.shape[:2])
    return _Moved(picture.ctypes.data, *picture.shape, (c_double * 2)(*across), (c_double * 2)(*down))


def _steering(job: Job) -> NDArray[np.float32]:
    """The small planes, h x 4 x w: affine coefficients, rewritten from L* to f = (L* + 16) / 116, then chroma parts."""
    height, width = job.chroma.shape
    affine = np.zeros((height, width, 3)) if job.affine is None else job.affine
    a, b, c = np.moveaxis(affine, -1, 0)
    offset = (c + 16 - 16 * a - 16 * b) / 116
    planes = np.stack([a, b, offset, job.chroma], axis=1)
    return np.ascontiguousarray(planes, np.float32)


def _motion(exposure: Exposure) -> _Compensation | None:
    """What is to be done to the exposure; None: nothing."""
    if exposure.todo is None or exposure.reference is None:
        return None
    return _compensation(exposure.pixels, exposure.reference, exposure.todo)


def _compensation(other: NDArray[Any], reference: NDArray[Any], todo: Compensation) -> _Compensation:
    """Of pictures in codes or of grids, with the arrays it points into kept alive."""
    codes = other.dtype != np.float32
    top = _codes(other) - 1 if codes else 1
    clips = top * clipping.CLIP_START, top * clipping.CLIP_END
    table = (exposure_map.code_table(todo.curve, other.dtype) if codes else todo.curve).astype(np.float32)
    mask = np.ascontiguousarray(todo.mask, np.float32)
    call = _Compensation(
        reference=_picture(reference),
        other=_picture(other),
        table=table.ctypes.data,
        mask=mask.ctypes.data,
        grid_height=mask.shape[0],
        grid_width=mask.shape[1],
        clip_start=clips[0],
        clip_scale=1 / (clips[1] - clips[0]),
        least_fill=top * clipping.LEAST_FILL,
    )
    call.arrays = [table, mask]
    if todo.move != NO_MOVE:
        across, down = remake.places(todo.move, *other.shape[:2])
        call.across, call.down = across.ctypes.data, down.ctypes.data
        call.arrays += [across, down]
    if todo.fill is not None:
        fill = np.ascontiguousarray(todo.fill * top, np.float32)
        call.fill, call.fill_height, call.fill_width = fill.ctypes.data, *fill.shape[:2]
        call.arrays.append(fill)
    return call


def _address(call: _Compensation | None) -> int | None:
    return None if call is None else addressof(call)


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
