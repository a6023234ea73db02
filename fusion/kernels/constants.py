"""The numbers that compiled code needs (`Constants` of kernels/pixels.h), from the definition: none is typed."""

from __future__ import annotations

from ctypes import Structure, c_float
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import chroma_map, colour


class Ramp(Structure):
    """0 below `start`, 1 above start + 1 / scale."""

    _fields_ = [("start", c_float), ("scale", c_float)]


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
    ]


def _ramp(start: float, end: float) -> Ramp:
    return Ramp(start, 1 / (end - start))


def _matrix(values: NDArray[np.floating[Any]]) -> Any:
    return (c_float * 9)(*values.ravel())


@lru_cache(maxsize=1)
def constants() -> Constants:
    """From livemef.fusion.method.colour and fusion.chroma_map. Not to be changed."""
    delta = colour.LAB_DELTA
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
        tie=_ramp(0.5 - chroma_map.TIE_WIDTH / 2, 0.5 + chroma_map.TIE_WIDTH / 2),
    )
