"""Histogram and waveform of a picture, as monitors show them: measured at full size, at every n-th pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.bracketing.exposure_statistics import frame_statistics
from livemef.capture.frame import Pixels

LEVELS = 256
WAVEFORM_COLUMNS, WAVEFORM_ROWS = 256, 128
_PIXELS = 65536
"""About so many pixels of a picture are measured: some 250 for each column of the waveform."""
_FULL_BRIGHTNESS = 0.06
"""Share of a column's pixels in one row of the waveform from which it is white."""

_LUMA = np.array([[0.0722, 0.7152, 0.2126]])
"""Of blue, green, red: Rec. 709."""

Luma = NDArray[np.uint8]


@dataclass(frozen=True)
class Scope:
    """What is measured of a picture.

    pixels: how many were looked at. clipped, dark: shares, 0..1, as automatic exposure counts them. histogram: LEVELS
    counts of r, g, b and y (luma of Rec. 709, encoded). waveform: uint8, WAVEFORM_ROWS x WAVEFORM_COLUMNS, top = white;
    brighter where more pixels of that column of the picture have that luma.
    """

    pixels: int
    clipped: float
    dark: float
    histogram: dict[str, list[int]]
    waveform: Luma

    def described(self, seq: int) -> dict[str, Any]:
        """As JSON values; the waveform travels as a picture."""
        shares = {"clipped": round(self.clipped, 5), "dark": round(self.dark, 5)}
        return {"seq": seq, "pixels": self.pixels, **shares, "histogram": self.histogram}


def scope_of(pixels: Pixels) -> Scope:
    """The scope of a picture (BGR or grey, uint8 or uint16, sRGB-encoded)."""
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    every = max(1, math.isqrt(colour.shape[0] * colour.shape[1] // _PIXELS))
    some = np.ascontiguousarray(colour[every // 2 :: every, every // 2 :: every])
    if some.dtype == np.uint16:
        some = cv2.convertScaleAbs(some, alpha=255 / 65535)
    luma: Luma = np.asarray(cv2.transform(some, _LUMA), np.uint8).reshape(some.shape[:2])
    channels = {"b": some[..., 0], "g": some[..., 1], "r": some[..., 2], "y": luma}
    statistics = frame_statistics(colour, 1.0)
    return Scope(
        luma.size,
        statistics.clipped,
        statistics.noisy,
        {name: np.bincount(values.reshape(-1), minlength=LEVELS).tolist() for name, values in channels.items()},
        _waveform(luma),
    )


def _waveform(luma: Luma) -> Luma:
    height, width = luma.shape
    column = np.arange(width) * WAVEFORM_COLUMNS // width
    row = WAVEFORM_ROWS - 1 - luma.astype(np.intp) * WAVEFORM_ROWS // LEVELS
    counts = np.bincount((row * WAVEFORM_COLUMNS + column).reshape(-1), minlength=WAVEFORM_ROWS * WAVEFORM_COLUMNS)
    of_column = np.maximum(np.bincount(column, minlength=WAVEFORM_COLUMNS) * height, 1)
    share = counts.reshape(WAVEFORM_ROWS, WAVEFORM_COLUMNS) / of_column
    drawn = np.sqrt(np.minimum(share / _FULL_BRIGHTNESS, 1))
    if width < WAVEFORM_COLUMNS:  # a narrow picture: its columns are wider than the waveform's
        drawn = drawn[:, column[np.arange(WAVEFORM_COLUMNS) * width // WAVEFORM_COLUMNS]]
    levels: Luma = np.rint(255 * drawn).astype(np.uint8)
    return levels
