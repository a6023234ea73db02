"""What a frame shows of its exposure: how much of it clips, and how much is lost in the noise. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import FrameRecord, Pixels
from livemef.capture.srgb import decode, decoded_codes

MOST_CLIPPED, MOST_NOISY = 0.005, 0.01
"""Largest shares of pixels that clip in the short exposure, and that lie below the noise floor in the long one."""
CLIPS = 0.95
"""Linear value of the largest channel from which a pixel counts as clipped."""
NOISE_FLOOR = 0.001
"""Linear luminance, 1 = white: twice the noise of a usual sensor at gain 1."""
FLOOR_CODES = 3.0
"""Codes of the picture above black that the noise floor has at the least: fewer are too coarse to be measured. With
8 bits and the curve of sRGB they are NOISE_FLOOR."""
_PIXELS = 8192
"""About so many pixels of a frame are measured."""

Response = Sequence[Sequence[float]]
"""A measured response: linear light 0..1 of blue, green and red at equally spaced codes 0..1."""


@dataclass(frozen=True)
class FrameStatistics:
    """Statistics of one frame. light: of its exposure (us x gain); linear values 0..1.

    clipped, noisy: shares of pixels at least CLIPS and below `floor`. high: quantile of the largest channel, half of
    MOST_CLIPPED from the top; low: quantile of luminance, half of MOST_NOISY from the bottom. floor: the noise floor.
    """

    light: float
    clipped: float
    noisy: float
    high: float
    low: float
    floor: float = NOISE_FLOOR


def frame_statistics(
    pixels: Pixels, light: float, record: FrameRecord | None = None, measured: Response | None = None
) -> FrameStatistics:
    """Statistics of a frame (BGR, uint8 or uint16), from some thousands of its pixels.

    light: of its exposure. measured: the camera's response; without it that of sRGB is assumed, unless the frame's
    record says that it is linear.
    """
    top = np.iinfo(pixels.dtype).max
    every = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] // _PIXELS))
    seen = pixels[every // 2 :: every, every // 2 :: every].reshape(-1, 3)
    black = record.black_level if record is not None and record.response == "linear" else 0.0
    lowest = np.full((1, 3), black + FLOOR_CODES)
    linear = _linear(seen, record, measured, top)
    floor = max(NOISE_FLOOR, float(_linear(lowest, record, measured, top).min()))
    largest = np.maximum(np.maximum(linear[:, 0], linear[:, 1]), linear[:, 2])  # max(axis=1) is slow
    luminance = linear @ (0.0722, 0.7152, 0.2126)
    return FrameStatistics(
        light=light,
        clipped=float((largest >= CLIPS).mean()),
        noisy=float((luminance < floor).mean()),
        high=float(np.quantile(largest, 1 - MOST_CLIPPED / 2)),
        low=float(np.quantile(luminance, MOST_NOISY / 2)),
        floor=floor,
    )


def _linear(
    codes: NDArray[Any], record: FrameRecord | None, measured: Response | None, top: int
) -> NDArray[np.float64]:
    """Linear light 0..1 of codes 0..top, n x 3, which need not be whole numbers."""
    if measured is not None:
        curves = [
            np.interp(codes[:, c] / top, np.linspace(0, 1, len(light)), light) for c, light in enumerate(measured)
        ]
        return np.clip(np.stack(curves, axis=1), 0.0, 1.0)
    if record is not None and record.response == "linear":
        range_of_codes = max(record.white_level - record.black_level, 1.0)
        return np.clip((codes - record.black_level) / range_of_codes, 0.0, 1.0)
    if np.issubdtype(codes.dtype, np.integer):
        return np.asarray(decoded_codes(top)[codes])
    return np.asarray(decode(codes / top), np.float64)
