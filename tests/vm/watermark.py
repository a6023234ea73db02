"""The truth of a frame, drawn into it: its number and its exposure, in squares that survive YUV and JPEG.

Two rows of 16 squares of 8 pixels, between the rows that livemef.capture.frame.brightness looks at.
"""

import numpy as np

from livemef.capture.frame import Pixels

_SQUARE, _BITS = 8, 16
_TOPS = (0, 16)


def draw(pixels: Pixels, number: int, exposure_us: float) -> None:
    """Write both into the picture; the exposure in steps of 100 us."""
    white = np.iinfo(pixels.dtype).max
    for top, value in zip(_TOPS, (number, round(exposure_us / 100)), strict=True):
        for bit in range(_BITS):
            square = pixels[top : top + _SQUARE, bit * _SQUARE : (bit + 1) * _SQUARE]
            square[:] = white if value >> bit & 1 else 0


def read(pixels: Pixels) -> tuple[int, float]:
    """Number (modulo 65536) and exposure in microseconds."""
    half = np.iinfo(pixels.dtype).max // 2
    centre = _SQUARE // 2
    values = [
        sum(int(pixels[top + centre, bit * _SQUARE + centre, 1] > half) << bit for bit in range(_BITS)) for top in _TOPS
    ]
    return values[0], values[1] * 100.0
