"""The numbers that compiled code needs (`Constants` of kernels/pixels.h), from the definition: none is typed."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Structure, c_float
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.srgb import ENCODE_KNEE
from livemef.fusion.method import chroma_map, colour, colour_transfer, drift, guided_upsampling

LOW_TERMS, HIGH_TERMS, FINE_LOW_TERMS, FINE_HIGH_TERMS = 4, 6, 8, 14
"""As in kernels/pixels.h."""


Function = Callable[[NDArray[np.float64]], NDArray[np.floating[Any]]]


class Ramp(Structure):
    """0 below `start`, 1 above start + 1 / scale."""

    _fields_ = [("start", c_float), ("scale", c_float)]


class Curve(Structure):
    """A line up to `low`, then polynomials up to `high` and beyond, each in a place that runs from -1 to 1."""

    _fields_ = [
        ("low", c_float),
        ("high", c_float),
        ("slope", c_float),
        ("offset", c_float),
        ("low_place", Ramp),
        ("high_place", Ramp),
        ("low_terms", c_float * LOW_TERMS),
        ("high_terms", c_float * HIGH_TERMS),
        ("fine_low_terms", c_float * FINE_LOW_TERMS),
        ("fine_high_terms", c_float * FINE_HIGH_TERMS),
    ]


class Constants(Structure):
    """See kernels/pixels.h."""

    _fields_ = [
        ("xyz_from_bgr", c_float * 9),
        ("bgr_from_xyz", c_float * 9),
        ("cube_knee", c_float),
        ("line_slope", c_float),
        ("line_offset", c_float),
        ("f_knee", c_float),
        ("inverse_slope", c_float),
        ("black_f", c_float),
        ("dark", Ramp),
        ("clip", Ramp),
        ("dark_floor", c_float),
        ("clip_loss", c_float),
        ("brightening", c_float),
        ("tie", Ramp),
        ("wide_tie", Ramp),
        ("shoulder", c_float),
        ("least_luma", c_float),
        ("luma_low", c_float),
        ("luma_high", c_float),
        ("near_floor", c_float),
        ("near_floor_of_more", c_float),
        ("least_step", c_float),
        ("colour_floor", c_float),
        ("least_code", c_float),
        ("code_clip", Ramp),
        ("clipped_from", c_float),
        ("luma_of_f", Curve),
        ("f_of_luma", Curve),
        ("seen_dark", Ramp),
        ("seen_clip", Ramp),
        ("drift_lift", c_float),
        ("most_drift", c_float),
        ("edge_variance", c_float),
        ("least_spread", c_float),
        ("headroom", c_float),
    ]


def _ramp(start: float, end: float) -> Ramp:
    return Ramp(start, 1 / (end - start))


def _matrix(values: NDArray[np.floating[Any]]) -> Any:
    return (c_float * 9)(*values.ravel())


def _polynomial(function: Function, start: float, end: float, terms: int) -> Any:
    """Terms, lowest power first, of a function interpolated at Chebyshev's points; start to end become -1 to 1."""

    def at(place: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        return function((start + end) / 2 + (end - start) / 2 * place)

    fitted = np.polynomial.Chebyshev.interpolate(at, terms - 1).convert(kind=np.polynomial.Polynomial)
    return (c_float * terms)(*fitted.coef)


def _curve(function: Function, low: float, high: float, end: float = 1.0) -> Curve:
    """A function that is a line up to `low`."""
    ends = function(np.array([0.9 * low, low]))
    slope = float(ends[1] - ends[0]) / (0.1 * low)
    return Curve(
        low=low,
        high=high,
        slope=slope,
        offset=float(ends[1]) - slope * low,
        low_place=Ramp((low + high) / 2, 2 / (high - low)),
        high_place=Ramp((high + end) / 2, 2 / (end - high)),
        low_terms=_polynomial(function, low, high, LOW_TERMS),
        high_terms=_polynomial(function, high, end, HIGH_TERMS),
        fine_low_terms=_polynomial(function, low, high, FINE_LOW_TERMS),
        fine_high_terms=_polynomial(function, high, end, FINE_HIGH_TERMS),
    )


@lru_cache(maxsize=8)
def constants(shoulder: float) -> Constants:
    """For a setting `shoulder`; from the definition, `livemef.fusion.method`. Not to be changed."""
    delta = colour.LAB_DELTA
    code_knees = float(colour.encode(np.array(ENCODE_KNEE))), float(colour.encode(np.array(delta**3)))
    f_knees = float(colour.lab_f(np.array(ENCODE_KNEE))), delta
    dark = [(lightness + 16) / 116 for lightness in chroma_map.DARK_RAMP]
    return Constants(
        xyz_from_bgr=_matrix(colour.XYZ_FROM_BGR),
        bgr_from_xyz=_matrix(colour.BGR_FROM_XYZ),
        cube_knee=delta**3,
        line_slope=1 / (3 * delta**2),
        line_offset=4 / 29,
        f_knee=delta,
        inverse_slope=3 * delta**2,
        black_f=16 / 116,
        dark=_ramp(*dark),
        clip=_ramp(*chroma_map.CLIP_RAMP),
        dark_floor=chroma_map.DARK_FLOOR,
        clip_loss=1 - chroma_map.CLIP_FLOOR,
        brightening=chroma_map.BRIGHTENING,
        tie=_ramp(0.5 - chroma_map.tie_width(2) / 2, 0.5 + chroma_map.tie_width(2) / 2),
        wide_tie=_ramp(0.5 - chroma_map.tie_width(3) / 2, 0.5 + chroma_map.tie_width(3) / 2),
        shoulder=shoulder,
        least_luma=colour_transfer.LEAST_LUMA,
        luma_low=colour_transfer.RANGE[0],
        luma_high=colour_transfer.RANGE[1],
        near_floor=colour_transfer.NEAR_FLOOR,
        near_floor_of_more=colour_transfer.NEAR_FLOOR_OF_MORE,
        least_step=colour_transfer.LEAST_STEP / 116,
        colour_floor=colour_transfer.COLOUR_FLOOR,
        least_code=colour_transfer.LEAST_CODE,
        code_clip=_ramp(*colour_transfer.CLIP_RAMP),
        clipped_from=colour_transfer.CLIPPED_FROM,
        luma_of_f=_curve(lambda f: colour.encode(colour.lab_f_inverse(f)), *f_knees),
        f_of_luma=_curve(lambda luma: colour.lab_f(colour.decode(luma)), *code_knees),
        seen_dark=_ramp(*colour_transfer.SEEN_RAMP),
        seen_clip=_ramp(*drift.CLIP_RAMP),
        drift_lift=drift.LIFT,
        most_drift=drift.MOST,
        edge_variance=guided_upsampling.EDGE**2,
        least_spread=1 / guided_upsampling.MOST_GAIN**2,
        headroom=guided_upsampling.HEADROOM,
    )
