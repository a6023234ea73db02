"""Colour fidelity: hue and chroma of a fused picture against its exposures.

Each pixel is compared, in CIELAB, with its best exposure: among those with no channel near black or clipping, the one
with lightness nearest to mid-grey. Source colours below a smallest chroma are ignored, the others weighted by chroma.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.method.colour import decode_table, lab_from_linear

Lab = NDArray[np.floating[Any]]

_DARKEST_TRUSTED, _BRIGHTEST_TRUSTED = 5, 250
_MIDDLE_LIGHTNESS = 50.0
_LEAST_CHROMA = 8.0


@dataclass(frozen=True)
class ColourFidelity:
    """hue_error: chroma-weighted mean of the hue difference in degrees. chroma_ratio: fused over source, sums of C*ab.

    trusted: share of the picture's pixels that were compared, 0..1. Both scores are NaN if it is 0.
    """

    hue_error: float
    chroma_ratio: float
    trusted: float


def colour_fidelity(exposures: Sequence[Pixels], fused: Pixels) -> ColourFidelity:
    """Compare a fused picture (HxWx3 BGR uint8) with its exposures (the same shape and dtype)."""
    reference, trusted = _best_source(exposures)
    a, b = reference[..., 1], reference[..., 2]
    chroma = np.hypot(a, b)
    counted = trusted & (chroma > _LEAST_CHROMA)
    if not counted.any():
        return ColourFidelity(float("nan"), float("nan"), 0.0)
    result = _lab(fused)
    source, got = (a + 1j * b)[counted], (result[..., 1] + 1j * result[..., 2])[counted]
    weight = np.abs(source)
    difference = np.abs(np.angle(got * np.conj(source), deg=True))
    return ColourFidelity(
        hue_error=float((difference * weight).sum() / weight.sum()),
        chroma_ratio=float(np.abs(got).sum() / weight.sum()),
        trusted=float(counted.mean()),
    )


def _best_source(exposures: Sequence[Pixels]) -> tuple[Lab, NDArray[np.bool_]]:
    """CIELAB of each pixel's best exposure, HxWx3, and the mask (HxW) of pixels that have one."""
    best = _lab(exposures[0])
    distance = np.full(best.shape[:2], np.inf)
    for picture in exposures:
        usable = (picture.min(axis=2) >= _DARKEST_TRUSTED) & (picture.max(axis=2) <= _BRIGHTEST_TRUSTED)
        lab = _lab(picture)
        own = np.where(usable, np.abs(lab[..., 0] - _MIDDLE_LIGHTNESS), np.inf)
        nearer = own < distance
        best[nearer] = lab[nearer]
        distance = np.minimum(distance, own)
    return best, np.isfinite(distance)


def _lab(picture: Pixels) -> Lab:
    """CIELAB (D65) of an HxWx3 BGR uint8 picture in sRGB."""
    return np.stack(lab_from_linear(decode_table(256)[picture]), axis=-1)
