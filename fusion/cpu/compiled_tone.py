"""The quick pass over the pixels (kernels/tone.c) from Python: colour transfer `tone`, two to four exposures."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Array, c_float
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.srgb import ENCODE_KNEE
from livemef.fusion.cpu.row_kernels import Job
from livemef.fusion.kernels.shared_library import library
from livemef.fusion.method import colour

Values = NDArray[np.floating[Any]]

MOST = 4
"""QUICK_MOST in kernels/tone.c."""

FIRST, SECOND = 1.5, 2.0
"""Where the knees of the curves lie, that of sRGB and that of L*: between pieces, which end at 1, 1.5, 2, 3, 4, 6 and
so on at least. So no polynomial has to follow a bend."""


@dataclass(frozen=True)
class Curve:
    """A function of low..high, and where it bends. The place of x in it is start + scale x."""

    function: Callable[[Values], Values]
    low: float
    high: float
    knees: tuple[float, float]

    @property
    def place(self) -> tuple[float, float]:
        """Start and scale of a place in the curve."""
        scale = (SECOND - FIRST) / (self.knees[1] - self.knees[0])
        return FIRST - self.knees[0] * scale, scale


def _f_of_luma(luma: Values) -> Values:
    return colour.lab_f(colour.decode(np.clip(luma, 0, 1)))


def _luma_of_f(f: Values) -> Values:
    return colour.encode(np.clip(colour.lab_f_inverse(f), 0, 1))


_KNEES = np.array([ENCODE_KNEE, colour.LAB_DELTA**3])
_FIRST_LUMA, _SECOND_LUMA = (float(luma) for luma in colour.encode(_KNEES))
_FIRST_F, _SECOND_F = (float(f) for f in colour.lab_f(_KNEES))
F_OF_LUMA = Curve(_f_of_luma, 0, 1, (_FIRST_LUMA, _SECOND_LUMA))
LUMA_OF_F = Curve(_luma_of_f, 4 / 29, 1, (_FIRST_F, _SECOND_F))


def is_quick(job: Job) -> bool:
    """Whether the quick pass can do it, on this processor."""
    return job.settings.colour == "tone" and job.lightness is None and len(job.inputs) <= MOST and has_tone_pass()


def has_tone_pass() -> bool:
    """Whether this processor has the vectors that the pass is made for."""
    return bool(library().tone_lanes())


@lru_cache(maxsize=2)
def curves(codes: int) -> Array[c_float]:
    """The structure Curves of kernels/tone.c, for pictures of `codes` codes (256 or 65536)."""
    fine, highest = codes > 256, codes - 1
    start, scale = F_OF_LUMA.place
    f_start, f_scale = LUMA_OF_F.place
    places = np.array([start, scale / highest, f_start, f_scale])
    tables = [pieces_of(F_OF_LUMA, fine), highest * pieces_of(LUMA_OF_F, fine)]
    flat = np.concatenate([places, *(table.ravel() for table in tables)])
    return (c_float * len(flat))(*flat)


def pieces_of(curve: Curve, fine: bool) -> Values:
    """Terms of the polynomials of a curve, lowest power first: Terms in kernels/lanes.h."""
    loops = library()
    count, degree, shift = loops.tone_pieces(), loops.tone_degree(fine), loops.tone_piece_shift()
    start, scale = curve.place
    low, high = start + scale * curve.low, start + scale * curve.high

    def function(place: Values) -> Values:
        return curve.function((place - start) / scale)

    first, last = (int(np.float32(place).view(np.int32)) >> shift for place in (low, high))
    assert last - first < count, "the range has more pieces than a register holds"
    terms = np.zeros((loops.tone_terms(), count))
    for piece in range(first, last + 1):
        begin, end = (float(np.int32(number << shift).view(np.float32)) for number in (piece, piece + 1))
        origin = begin if fine else 0.0
        terms[: degree + 1, piece % count] = _polynomial(function, max(begin, low), min(end, high), origin, degree)
    return terms


def _polynomial(function: Callable[[Values], Values], begin: float, end: float, origin: float, degree: int) -> Values:
    """Terms of the polynomial in x - origin that goes through the function at Chebyshev's points of begin..end."""
    fitted = np.polynomial.Chebyshev.interpolate(function, degree, domain=[begin, end])
    found = np.zeros(degree + 1)
    terms = fitted.convert(kind=np.polynomial.Polynomial, domain=[origin - 1, origin + 1], window=[-1, 1]).coef
    found[: len(terms)] = terms
    return found
