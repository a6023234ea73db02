"""sRGB and CIELAB: the colour part of the method, in float64, from primaries and white point to tables.

Everything numeric that another language needs is derived here (`LAB_FROM_BGR`, `BGR_FROM_LAB`, the tables): nothing is
typed twice. Channel order is BGR throughout. Works in the floating dtype it is given.

Sources: IEC 61966-2-1 (sRGB transfer function), ITU-R BT.709 (primaries, D65), CIE 15 (CIELAB).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.srgb import decode as decode
from livemef.capture.srgb import encode as encode

Plane = NDArray[np.floating[Any]]

RED, GREEN, BLUE = (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)
WHITE_D65 = (0.3127, 0.3290)

LAB_DELTA = 6 / 29
"""CIELAB's cube root becomes a straight line below LAB_DELTA ** 3 of the white."""


def _xyz(chromaticity: tuple[float, float]) -> NDArray[np.float64]:
    x, y = chromaticity
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _xyz_over_white_from_bgr() -> NDArray[np.float64]:
    primaries = np.stack([_xyz(BLUE), _xyz(GREEN), _xyz(RED)], axis=1)
    white = _xyz(WHITE_D65)
    scaled: NDArray[np.float64] = primaries * np.linalg.solve(primaries, white)
    return scaled / white[:, None]


XYZ_FROM_BGR = _xyz_over_white_from_bgr()
"""3x3: linear BGR to X/Xn, Y/Yn, Z/Zn; each row sums to one, so white is (1, 1, 1)."""

BGR_FROM_XYZ = np.linalg.inv(XYZ_FROM_BGR)


def lab_f(ratio: Plane) -> Plane:
    """CIELAB's compression of a tristimulus value over the white's (>= 0)."""
    line = ratio / (3 * LAB_DELTA**2) + 4 / 29
    return np.where(ratio > LAB_DELTA**3, np.cbrt(ratio), line)


def lab_f_inverse(compressed: Plane) -> Plane:
    """Undo `lab_f`; values below 4/29 give negative light, which only `limit_to_gamut` may remove."""
    line = 3 * LAB_DELTA**2 * (compressed - 4 / 29)
    return np.where(compressed > LAB_DELTA, compressed**3, line)


def lab_from_linear(bgr: Plane) -> tuple[Plane, Plane, Plane]:
    """Linear BGR (..., 3) in 0..1 to L* (0..100), a*, b*."""
    x, y, z = np.moveaxis(lab_f(bgr @ XYZ_FROM_BGR.T.astype(bgr.dtype)), -1, 0)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def linear_from_lab(lightness: Plane, a: Plane, b: Plane) -> Plane:
    """CIELAB to linear BGR (..., 3); outside 0..1 where the colour is outside the sRGB gamut."""
    y = (lightness + 16) / 116
    xyz = lab_f_inverse(np.stack([y + a / 500, y, y - b / 200], axis=-1))
    return xyz @ BGR_FROM_XYZ.T.astype(xyz.dtype)


def limit_to_gamut(bgr: Plane, luminance: Plane) -> Plane:
    """Bring linear BGR (..., 3) into 0..1 by mixing in the least possible grey of the same luminance (..., 0..1).

    Luminance, and so L*, is kept exactly, and so is the hue in the sense of the dominant wavelength (h_ab moves a
    little). Scaling a*, b* at constant h_ab would be the obvious rule, but the sRGB gamut is not star-shaped in CIELAB:
    near yellow (h_ab 98 to 103, L* above 92) a ray of constant hue leaves the gamut and enters it again, so that chroma
    would jump from 85 to 40 between neighbouring pixels. In linear light the gamut is a cube: convex, no jumps.
    """
    grey = np.clip(luminance, 0, 1)[..., None]
    highest = np.maximum(bgr.max(axis=-1, keepdims=True), 1)
    lowest = np.minimum(bgr.min(axis=-1, keepdims=True), 0)
    tiny = np.finfo(bgr.dtype).tiny
    keep = np.minimum((1 - grey) / np.maximum(highest - grey, tiny), grey / np.maximum(grey - lowest, tiny))
    return np.asarray(np.clip(grey + keep * (bgr - grey), 0, 1))


def from_codes(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """uint8 or uint16 codes to encoded values 0..1."""
    return pixels / float(np.iinfo(pixels.dtype).max)


def to_codes(encoded: Plane, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Encoded values 0..1 to the nearest uint8 or uint16 codes."""
    return np.asarray(np.floor(encoded * np.iinfo(dtype).max + 0.5).astype(dtype))


def decode_table(codes: int) -> NDArray[np.float32]:
    """Linear light of `codes` equally spaced encoded values 0..1: 256 and 65536 for pictures."""
    return decode(np.linspace(0, 1, codes)).astype(np.float32)


def encode_table(steps: int) -> Plane:
    """Encoded value 0..1 over the square root of linear light, `steps` intervals, `steps` + 1 entries.

    The square root spreads the entries as the eye does: interpolated linearly, 4096 steps are good to 1e-6.
    """
    return encode(np.linspace(0, 1, steps + 1) ** 2)
