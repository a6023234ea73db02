"""Does a fused picture have the colours that the camera itself gives at that lightness?

A camera's tone curve turns hue and saturation as the exposure changes, so that no single exposure is the truth for all
lightnesses. A full series is: it shows every pixel at several lightnesses, and what lies between two of them is
interpolated. Each pixel of the fused picture is compared with that rendering at its own L*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.method.colour import decode_table, lab_from_linear

LEAST_EXPOSURES = 3
"""Between two exposures there would be nothing but a straight line: no rendering of the camera's."""

LARGE_ERROR = 20.0
"""Distance in a*, b* from which on a pixel counts as wrongly coloured."""

Plane = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class CameraColour:
    """How far the colours are from the camera's own.

    error: mean distance in a*, b*. large: share of the pixels, 0..1, with an error above LARGE_ERROR. chroma: sum of
    C*ab over the camera's. hue: mean hue difference in degrees, weighted by the camera's chroma. All NaN for fewer than
    LEAST_EXPOSURES exposures; chroma and hue also where the camera's pictures have no chroma at all.
    """

    error: float
    large: float
    chroma: float
    hue: float


UNDEFINED = CameraColour(math.nan, math.nan, math.nan, math.nan)


def camera_colour(series: Sequence[Pixels], fused: Pixels) -> CameraColour:
    """Compare a fused picture (H x W x 3 BGR uint8) with the full series of its scene (same shape and dtype, dark to
    bright)."""
    if len(series) < LEAST_EXPOSURES:
        return UNDEFINED
    lightness, a, b = _lab(fused)
    camera_a, camera_b = camera_rendering(series, lightness)
    error = np.hypot(a - camera_a, b - camera_b)
    own, wanted = a + 1j * b, camera_a + 1j * camera_b
    chroma = float(np.abs(wanted).sum())
    turned = np.abs(np.angle(own * np.conj(wanted), deg=True)) * np.abs(wanted)
    return CameraColour(
        error=float(error.mean()),
        large=float((error > LARGE_ERROR).mean()),
        chroma=float(np.abs(own).sum()) / chroma if chroma else math.nan,
        hue=float(turned.sum()) / chroma if chroma else math.nan,
    )


def camera_rendering(series: Sequence[Pixels], lightness: Plane) -> tuple[Plane, Plane]:
    """a* and b* (H x W) of the series' pixels at these L* (0..100): on a straight line between the two exposures on
    either side, those of the nearest exposure beyond the ends."""
    dark = _lab(series[0])
    a, b = dark[1].copy(), dark[2].copy()
    for picture in series[1:]:
        bright = _lab(picture)
        rise = np.maximum(bright[0] - dark[0], 1e-6)
        part = np.clip((lightness - dark[0]) / rise, 0, 1)
        reached = lightness > dark[0]
        a = np.where(reached, dark[1] + part * (bright[1] - dark[1]), a)
        b = np.where(reached, dark[2] + part * (bright[2] - dark[2]), b)
        dark = bright
    return a, b


def _lab(picture: Pixels) -> tuple[Plane, Plane, Plane]:
    return lab_from_linear(decode_table(256)[picture].astype(np.float64))
