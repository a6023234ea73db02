"""Checks of the input that all fusion methods share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError

SMALLEST_SIDE = 16
"""Smallest side in pixels: below it the methods' pyramids and windows do not fit."""


def check_exposures(exposures: Sequence[Pixels]) -> None:
    """Raise FusionError unless these are two or more BGR uint8 pictures of one size."""
    if len(exposures) < 2:
        raise FusionError(f"{len(exposures)} exposure given: fusing needs two or more, dark to bright")
    first = exposures[0].shape
    for number, picture in enumerate(exposures):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise FusionError(f"exposure {number} is {picture.dtype} of shape {picture.shape}: give uint8 BGR, HxWx3")
        if picture.shape != first:
            raise FusionError(
                f"exposure {number} is {picture.shape[1]}x{picture.shape[0]}, exposure 0 is "
                f"{first[1]}x{first[0]}: give pictures of one size"
            )
    if min(first[:2]) < SMALLEST_SIDE:
        raise FusionError(f"pictures of {first[1]}x{first[0]}: the shorter side must be {SMALLEST_SIDE} or more")


def to_uint8(values: NDArray[np.floating[Any]]) -> Pixels:
    """Values clipped to 0..255 and rounded to uint8; any shape."""
    return np.asarray(np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8))
