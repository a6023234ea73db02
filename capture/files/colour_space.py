"""Colour spaces of three primaries and a curve each, and the conversion of pictures from them to sRGB.

Relative colorimetric: white stays white (Bradford adaptation), colours outside sRGB are clipped channel by channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.capture.srgb import Values, decode, encode

Curve = Callable[[Values], Values]
"""Encoded values to linear light, both 0..1; rising."""
Matrix = NDArray[np.float64]
Chromaticity = tuple[float, float]

D50 = np.array([0.9642, 1.0, 0.8249])
"""White of the ICC's profile connection space, XYZ."""
D65: Chromaticity = (0.3127, 0.3290)
D50_CHROMATICITY: Chromaticity = (0.34567, 0.35850)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_LARGEST = 1000.0
"""Of an element of a matrix of primaries that means anything: those of real ones are below 4."""
_ROWS = 256
"""Rows that are converted at a time: the intermediate floats need twelve bytes a pixel."""
_INVERSE_STEPS = 1 << 18
"""Of the tables from light to encoded values."""
_NO_CHANGE = 0.75 / 255
"""A space that moves no colour further than this is sRGB as somebody else rounded it."""


@dataclass(frozen=True, eq=False)
class ColourSpace:
    """RGB with primaries and curves. to_xyz: linear RGB columns to XYZ relative to D50. curves: of red, green, blue."""

    name: str
    to_xyz: Matrix
    curves: tuple[Curve, Curve, Curve]


def xyz_matrix(primaries: tuple[Chromaticity, Chromaticity, Chromaticity], white: Chromaticity = D65) -> Matrix:
    """Linear RGB to XYZ, adapted from `white` to D50. Raises ValueError for primaries that span no triangle."""
    columns = np.stack([_xyz(*primary) for primary in primaries], axis=1)
    try:
        columns = columns * np.linalg.solve(columns, _xyz(*white))
        scale = np.diag((_BRADFORD @ D50) / (_BRADFORD @ _xyz(*white)))
        matrix: Matrix = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ columns
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        raise ValueError("its primaries span no triangle") from None
    if not max(np.abs(matrix).max(), np.abs(inverse).max()) < _LARGEST:
        raise ValueError("its primaries span hardly a triangle")
    return matrix


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    if not 0 < y <= 1 or not -1 <= x <= 2:
        raise ValueError("a chromaticity of its primaries is impossible")
    return np.array([x / y, 1.0, (1.0 - x - y) / y])


def power_curve(gamma: float) -> Curve:
    """Linear light = encoded to the power `gamma`."""
    return lambda encoded: np.asarray(np.power(encoded, gamma))


def bt709_curve(encoded: Values) -> Values:
    """Inverse of the camera curve of ITU-R BT.709 and BT.2020: encoded 0..1 to linear light."""
    return np.where(encoded < 0.081, encoded / 4.5, ((encoded + 0.099) / 1.099) ** (1 / 0.45))


def lightness_curve(encoded: Values) -> Values:
    """Encoded values as CIE L*/100: to relative luminance, 0..1 (CIE 15)."""
    return np.where(encoded <= 0.08, encoded * 100 / 903.2963, ((encoded + 0.16) / 1.16) ** 3)


SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_PRIMARIES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
P3_PRIMARIES = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
BT2020_PRIMARIES = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
BT601_625_PRIMARIES = ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06))
BT601_525_PRIMARIES = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))

_SRGB_COLUMNS = np.stack([_xyz(*primary) for primary in SRGB_PRIMARIES], axis=1)
XYZ_FROM_LINEAR_SRGB: Matrix = _SRGB_COLUMNS * np.linalg.solve(_SRGB_COLUMNS, _xyz(*D65))
"""Linear red, green and blue of sRGB to XYZ under D65, without adaptation."""

SRGB = ColourSpace("sRGB", xyz_matrix(SRGB_PRIMARIES), (decode,) * 3)
LSTAR_RGB = ColourSpace(
    "L*-RGB (encoding of eciRGB v2)",
    xyz_matrix(((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), D50_CHROMATICITY),
    (lightness_curve,) * 3,
)
"""Wide enough for all patches of a ColorChecker, evenly spaced to the eye: for archival masters."""
ADOBE_RGB = ColourSpace("Adobe RGB (1998)", xyz_matrix(ADOBE_PRIMARIES), (power_curve(563 / 256),) * 3)


def is_srgb(space: ColourSpace) -> bool:
    """Does the space, within the rounding of other makers' profiles, mean the same colours as sRGB?"""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    grid16 = grid.astype(np.uint16) * 257
    return bool(np.abs(_converted(grid16, space).astype(int) - grid16).max() <= _NO_CHANGE * 65535)


def to_srgb(pixels: Pixels, space: ColourSpace) -> tuple[Pixels, str]:
    """A picture in `space` (BGR, uint8 or uint16) as sRGB of the same type, and the space's name.

    If the space is sRGB: the picture itself, and "".
    """
    return (pixels, "") if is_srgb(space) else (_converted(pixels, space), space.name)


def _converted(pixels: Pixels, space: ColourSpace) -> Pixels:
    highest = int(np.iinfo(pixels.dtype).max)
    codes = np.arange(highest + 1) / highest
    tables = [np.nan_to_num(np.clip(curve(codes), 0, 1)).astype(np.float32) for curve in reversed(space.curves)]
    matrix = (np.linalg.inv(SRGB.to_xyz) @ space.to_xyz)[::-1, ::-1].astype(np.float32)
    out = np.empty_like(pixels)
    for top in range(0, pixels.shape[0], _ROWS):
        rows = pixels[top : top + _ROWS]
        light = np.stack([table[rows[..., channel]] for channel, table in enumerate(tables)], axis=-1)
        linear = np.clip(np.asarray(cv2.transform(light, matrix), np.float32), 0, 1)
        out[top : top + _ROWS] = np.rint(encode(linear) * highest)
    return out


def light_in(pixels: Pixels, space: ColourSpace) -> NDArray[np.float32]:
    """Linear light of a picture in `space`: BGR with sRGB's primaries, beyond 0..1 where the space is wider."""
    codes = np.arange(int(np.iinfo(pixels.dtype).max) + 1) / np.iinfo(pixels.dtype).max
    tables = [np.asarray(curve(codes), np.float32) for curve in reversed(space.curves)]
    light = np.stack([table[pixels[..., channel]] for channel, table in enumerate(tables)], axis=-1)
    matrix = (np.linalg.inv(SRGB.to_xyz) @ space.to_xyz)[::-1, ::-1].astype(np.float32)
    return np.asarray(cv2.transform(light, matrix), np.float32)


def from_srgb(pixels: Pixels, space: ColourSpace) -> Pixels:
    """An sRGB picture (BGR, uint8 or uint16) in another space, of the same type. What lies outside is clipped."""
    highest = int(np.iinfo(pixels.dtype).max)
    light_of = decode(np.arange(highest + 1) / highest).astype(np.float32)
    matrix = (np.linalg.inv(space.to_xyz) @ SRGB.to_xyz)[::-1, ::-1].astype(np.float32)
    codes = np.linspace(0, 1, _INVERSE_STEPS)
    roots = np.linspace(0, 1, _INVERSE_STEPS)  # of light: its square root is graded as the eye does
    tables = [np.interp(roots**2, curve(codes), codes) * highest for curve in reversed(space.curves)]
    out = np.empty_like(pixels)
    for top in range(0, pixels.shape[0], _ROWS):
        light = np.clip(cv2.transform(light_of[pixels[top : top + _ROWS]], matrix), 0, 1)
        places = np.rint(np.sqrt(light) * (_INVERSE_STEPS - 1)).astype(np.int32)
        for channel, table in enumerate(tables):
            out[top : top + _ROWS, :, channel] = np.rint(table[places[..., channel]])
    return out
