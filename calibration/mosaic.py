"""Which samples a colour filter array measured, and which demosaicking interpolated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MEASURED = 0.8
"""Of the largest variance: a mean of two pixels or more has at most half."""


def native_sites(variance: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether the sensor measured a sample, for each position in a 2 x 2 cell and each channel (2 x 2 x 3).

    variance: temporal, height x width x 3, of an evenly lit picture. Where a channel was interpolated its noise is
    averaged; with no filter array, or a denoised picture, all sites are equal and count as measured.
    """
    noise = np.array([[np.median(variance[y::2, x::2], axis=(0, 1)) for x in (0, 1)] for y in (0, 1)])
    return np.asarray(noise >= _MEASURED * noise.max(axis=(0, 1)))


def at_native_sites(native: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """`native` for every pixel: height x width x 3."""
    return np.tile(native, ((height + 1) // 2, (width + 1) // 2, 1))[:height, :width]
