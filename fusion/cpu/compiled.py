"""The compiled pixel loops (kernels/pixels.c) from Python: fed with constants, called without the GIL.

All constants and tables come from `fusion.method.colour` and `fusion.method.chroma_map`. Results are the same
for any number of threads; between machines with and without fused multiply-add they may differ by a code here
and there.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, addressof, byref, c_int32, c_ssize_t, c_void_p
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.cpu.compiled_bracket import CompiledBracket, declare_bracket
from livemef.fusion.cpu.compiled_compensation import CompensationCall, compensation_call
from livemef.fusion.cpu.compiled_motion import CompiledGridLoops
from livemef.fusion.cpu.compiled_passes import (
    FUSE,
    LIGHTNESS,
    QUICK_FUSE,
    REMAKE,
    SHRINK,
    CompiledRows,
    Pass,
    declare_passes,
)
from livemef.fusion.cpu.compiled_steering import declare_steering
from livemef.fusion.cpu.compiled_tone import curves, is_quick
from livemef.fusion.cpu.row_kernels import Job, Plane, Rows
from livemef.fusion.kernels.constants import Constants, constants
from livemef.fusion.kernels.shared_library import Picture, address, codes_of, library, picture_of
from livemef.fusion.method import colour
from livemef.fusion.motion import compensation
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.settings import FusionSettings

FINE_STEPS, ENCODE16_STEPS = 8192, 4096
"""Table sizes: small enough for the caches, fine enough for 0.02 of a 16-bit code."""

ENCODE8_MANTISSA_BITS, ENCODE8_LEAST = 9, 2.0**-13
"""The 8-bit table is indexed by a float's exponent and so many bits of its mantissa: within 0.06 of a code."""


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


class _Input(Structure):
    _fields_ = [("picture", Picture), ("motion", c_void_p)]


class _Job(Structure):
    _fields_ = [
        ("inputs", c_void_p),
        ("count", c_int32),
        ("reference", c_int32),
        ("out", c_void_p),
        ("out_stride", c_ssize_t),
        ("steering", c_void_p),
        ("small_height", c_int32),
        ("small_width", c_int32),
        ("lightness", c_void_p),
        ("select", c_int32),
        ("transfer", c_int32),
        ("planes", c_int32),
    ]


MOST_EXPOSURES = 16
"""As in kernels/pixels.h: with more, the loops are the definition's."""

_TRANSFERS = ("lab", "chromaticity", "tone")
"""In the order of kernels/pixels.c."""


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    loops = library()
    shared: list[Any] = [POINTER(Constants), POINTER(_Tables)]
    loops.small_lab.argtypes = [c_void_p, *shared, c_int32, c_void_p, c_int32, c_void_p, c_void_p]
    loops.small_lab.restype = None
    declare_passes(loops)
    declare_steering(loops)
    declare_bracket(loops)
    return loops


class CompiledLoops(CompiledGridLoops, CompiledBracket):
    """The PixelLoops, compiled. Pictures may have padding between rows; within a row pixels must be packed."""

    name = "compiled"

    def __init__(self, threads: int = 1) -> None:
        """threads: that work on a loop, the caller's among them; on those over grids, four of them at most."""
        super().__init__(threads)
        self._library = _library()

    def run(self, rows: Rows) -> bool:
        """See PixelLoops."""
        if isinstance(rows, CompiledRows):
            rows.all(self._pool, self._threads)
        return isinstance(rows, CompiledRows)

    def run_members(self, function: int, argument: int, members: int) -> None:
        """See engine.runtime.RunMembers."""
        self._library.run_members(self._pool, function, argument, members)

    def shrink(self, pixels: Pixels, shrunk: Plane) -> Rows:
        """See PixelLoops."""
        picture, (height, width) = picture_of(pixels), shrunk.shape[:2]
        made = Pass(SHRINK, height, source=addressof(picture), out=address(shrunk), height=height, width=width)
        return CompiledRows(self._library, made, (picture, pixels, shrunk))

    def small_lab(self, shrunk: Plane, settings: FusionSettings, chroma: bool) -> tuple[Plane, Plane | None]:
        """See PixelLoops."""
        lightness = np.empty(shrunk.shape[:2], np.float32)
        scale = np.empty_like(lightness) if chroma else None
        numbers, tables = constants(settings.shoulder), _tables(256)
        places = address(lightness), None if scale is None else address(scale)
        data = settings.colour == "tone", address(shrunk), lightness.size, *places
        self._library.small_lab(self._pool, byref(numbers), byref(tables), *data)
        return lightness, scale

    def lightness(self, pixels: Pixels, lightness: Plane, settings: FusionSettings) -> Rows:
        """See PixelLoops."""
        numbers, tables, picture = constants(settings.shoulder), _tables(codes_of(pixels)), picture_of(pixels)
        data = addressof(numbers), addressof(tables), addressof(picture), address(lightness)
        made = Pass(LIGHTNESS, len(pixels), 0, *data, tone=settings.colour == "tone")
        return CompiledRows(self._library, made, (numbers, tables, picture, pixels, lightness))

    def fuse(self, job: Job) -> Rows:
        """See PixelLoops."""
        numbers, steering = constants(job.settings.shoulder), self._steering(job)
        motions = [_motion(job, index) for index in range(len(job.inputs))]
        inputs = (_Input * len(motions))(
            *(
                _Input(picture_of(exposure.pixels), None if motion is None else addressof(motion))
                for exposure, motion in zip(job.inputs, motions, strict=True)
            )
        )
        call = _Job(
            inputs=addressof(inputs),
            count=len(inputs),
            reference=job.reference,
            out=address(job.out),
            out_stride=job.out.strides[0],
            steering=address(steering),
            small_height=steering.shape[0],
            small_width=steering.shape[2],
            lightness=None if job.lightness is None else address(job.lightness),
            select=job.settings.chroma == "select",
            transfer=_TRANSFERS.index(job.settings.colour),
            planes=steering.shape[1],
        )
        codes, quick = codes_of(job.out), is_quick(job)
        tables = curves(codes) if quick else _tables(codes)
        data = addressof(numbers), addressof(tables), addressof(call)
        made = Pass(QUICK_FUSE if quick else FUSE, len(job.out), 0, *data)
        return CompiledRows(self._library, made, (numbers, tables, call, motions, inputs, steering, job))

    def remake(self, reference: Pixels, other: Pixels, todo: Compensation, out: Pixels) -> Rows:
        """See PixelLoops."""
        call = compensation_call(other, reference, todo)
        made = Pass(REMAKE, len(out), source=addressof(call), out=address(out), stride=out.strides[0])
        return CompiledRows(self._library, made, (call, other, reference, out))


def _motion(job: Job, index: int) -> CompensationCall | None:
    """What is to be done to an exposure; None: nothing. Of more than two the loops take the neighbour's remade rows."""
    todo = job.inputs[index].todo
    if todo is None:
        return None
    neighbour = job.inputs[compensation.towards(job.reference, index)]
    return compensation_call(job.inputs[index].pixels, neighbour.pixels, todo)


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
    pointers = {name: address(array) for name, array in arrays.items()}
    tables = _Tables(
        **pointers, fine_steps=FINE_STEPS, encode8_first=first, encode8_shift=shift, encode16_steps=ENCODE16_STEPS
    )
    tables.arrays = arrays
    return tables
