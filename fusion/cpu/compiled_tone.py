"""The quick pass over the pixels (kernels/tone.c) from Python: two exposures, 8 bits, colour transfer `tone`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import POINTER, Array, Structure, addressof, byref, c_float, c_int, c_int32, c_ssize_t, c_void_p
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.cpu.compiled_motion import CompensationCall
from livemef.fusion.cpu.row_kernels import Rows
from livemef.fusion.kernels.constants import Constants, constants
from livemef.fusion.kernels.shared_library import Picture, check, library, picture_of
from livemef.fusion.method import colour

Values = NDArray[np.floating[Any]]

LOWEST, HIGHEST = 16.0, 255.99
"""Where lumas of 0 and 1 lie in the range of `f_of_luma`: four octaves, so that pieces are shortest near black."""


class _ToneJob(Structure):
    _fields_ = [
        ("under", Picture),
        ("over", Picture),
        ("under_motion", c_void_p),
        ("over_motion", c_void_p),
        ("out", c_void_p),
        ("out_stride", c_ssize_t),
        ("steering", c_void_p),
        ("small_height", c_int32),
        ("small_width", c_int32),
    ]


@lru_cache(maxsize=1)
def _loops() -> ctypes.CDLL | None:
    """The library; None where it has no such pass for this processor."""
    loops = library()
    if loops.tone_lanes() == 0:
        return None
    loops.tone_rows.argtypes = [POINTER(Constants), c_void_p, POINTER(_ToneJob), c_int32, c_int32]
    loops.tone_rows.restype = c_int
    return loops


def has_tone_pass() -> bool:
    """Whether this processor has the vectors that the pass is made for."""
    return _loops() is not None


def tone_pass(
    exposures: Sequence[Pixels],
    motions: Sequence[CompensationCall | None],
    out: Pixels,
    steering: NDArray[np.float32],
    shoulder: float,
) -> Rows:
    """A function that fuses rows of the exposures, dark and bright, into `out`: all H x W x 3 uint8.

    motions: what is to be done to each. steering: h x 7 x w, see kernels/tone.c. Only where `has_tone_pass`.
    """
    loops, numbers, curves = _loops(), constants(shoulder), _curves()
    assert loops is not None
    under, over = (picture_of(pixels) for pixels in exposures)
    call = _ToneJob(
        under=under,
        over=over,
        out=out.ctypes.data,
        out_stride=out.strides[0],
        steering=steering.ctypes.data,
        small_height=steering.shape[0],
        small_width=steering.shape[2],
    )
    call.under_motion, call.over_motion = (None if one is None else addressof(one) for one in motions)

    def rows(top: int, bottom: int) -> None:
        assert steering.size  # kept alive, as the motions are
        assert len(motions) == 2
        check(loops.tone_rows(byref(numbers), curves, byref(call), top, bottom))

    return rows


@lru_cache(maxsize=1)
def _curves() -> Array[c_float]:
    """The structure Curves of kernels/tone.c."""
    scale = HIGHEST - LOWEST

    def f_of_luma(place: Values) -> Values:
        return colour.lab_f(colour.decode(np.clip((place - LOWEST) / scale, 0, 1)))

    def luma_of_f(f: Values) -> Values:
        return colour.encode(np.clip(colour.lab_f_inverse(f), 0, 1))

    values = [np.array([LOWEST, scale]), _pieces(f_of_luma, LOWEST, HIGHEST), _pieces(luma_of_f, 16 / 116, 1.0)]
    flat = np.concatenate([part.ravel() for part in values])
    return (c_float * len(flat))(*flat)


def _pieces(function: Callable[[Values], Values], low: float, high: float) -> Values:
    """Terms of the polynomials of a function of low..high, lowest power first: (degree + 1) x pieces."""
    loops = library()
    count, degree, shift = loops.tone_pieces(), loops.tone_degree(), loops.tone_piece_shift()
    first, last = (int(np.float32(x).view(np.int32)) >> shift for x in (low, high))
    assert last - first < count, "the range has more pieces than a register holds"
    terms = np.zeros((degree + 1, count))
    for piece in range(first, last + 1):
        start, end = (float(np.int32(leading << shift).view(np.float32)) for leading in (piece, piece + 1))
        start, end = max(start, low), min(end, max(high, start + 1e-3))
        terms[:, piece % count] = _polynomial(function, start, end, degree)
    return terms


def _polynomial(function: Callable[[Values], Values], start: float, end: float, degree: int) -> Values:
    """Terms of the polynomial in x that goes through the function at Chebyshev's points of start..end."""
    middle, half = (start + end) / 2, (end - start) / 2
    fitted = np.polynomial.Chebyshev.interpolate(lambda place: function(middle + half * place), degree)
    place = np.polynomial.Polynomial([-middle / half, 1 / half])
    found = np.zeros(degree + 1)
    coefficients = fitted.convert(kind=np.polynomial.Polynomial)(place).coef
    found[: len(coefficients)] = coefficients
    return found
