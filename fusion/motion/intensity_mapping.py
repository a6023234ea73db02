"""What would this exposure have looked like with the other's exposure time? Codes of one as codes of the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import colour

Curve = NDArray[np.float64]
"""Encoded values 0..1 at KNOTS + 1 equally spaced encoded values 0..1, never falling."""

KNOTS = 1024
CLIPS = 0.97
"""Encoded values from here up may be clipped."""
SMALLEST_RATIO, LARGEST_RATIO = 1.0, 4096.0


@dataclass(frozen=True)
class ExposureMap:
    """Encoded values of the darker exposure as the brighter one would give them, and the reverse.

    brighter: stays at 1 from where the brighter exposure clips. darker: ends, at 1, with the darkest value that clips.
    """

    brighter: Curve
    darker: Curve

    @cached_property
    def slope(self) -> Curve:
        """Of `brighter`, at the knots."""
        return np.gradient(self.brighter, 1 / KNOTS)


def at(curve: Curve, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The curve at encoded values 0..1, interpolated."""
    position = np.asarray(values, np.float32) * np.float32(KNOTS)
    first = np.minimum(position.astype(np.int32), KNOTS - 1)
    table = curve.astype(np.float32)
    low = table[first]
    return np.asarray(low + (position - first) * (table[first + 1] - low), np.float32)


def nearest(curve: Curve, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The curve at the knots nearest to encoded values 0..1: quicker than `at`."""
    return curve.astype(np.float32).take((values * np.float32(KNOTS) + np.float32(0.5)).astype(np.int32))


def code_table(curve: Curve, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The curve as codes for every code of the dtype (256 or 65536 entries)."""
    codes = int(np.iinfo(dtype).max) + 1
    encoded = np.interp(np.linspace(0, 1, codes), np.linspace(0, 1, KNOTS + 1), curve)
    return colour.to_codes(encoded, dtype)


@lru_cache(maxsize=32)
def of_light_ratio(ratio: float) -> ExposureMap:
    """For exposures whose light differs by `ratio` (1 or more), sRGB-encoded."""
    ratio = min(max(ratio, SMALLEST_RATIO), LARGEST_RATIO)
    linear = colour.decode(np.linspace(0, 1, KNOTS + 1))
    return ExposureMap(
        np.asarray(colour.encode(np.minimum(linear * ratio, 1)), np.float64),
        np.asarray(colour.encode(linear / ratio), np.float64),
    )


def of_pictures(darker: NDArray[np.floating[Any]], brighter: NDArray[np.floating[Any]]) -> ExposureMap:
    """For two exposures of one scene (same shape, encoded 0..1) of unknown response: their histograms are matched.

    Equal shares of both pictures' samples lie below a value and below what it maps to, whatever moved within the
    picture (Grossberg and Nayar, "Determining the camera response from images", PAMI 2003).
    """
    dark, bright = _histogram(darker), _histogram(brighter)
    darkened = _matched(bright, dark)
    return ExposureMap(_matched(dark, bright), np.minimum(darkened, darkened[round(CLIPS * KNOTS)]))


def _histogram(values: NDArray[np.floating[Any]]) -> Curve:
    knots = np.rint(np.asarray(values, np.float64) * KNOTS).astype(np.int64).ravel()
    return np.bincount(knots, minlength=KNOTS + 1).astype(np.float64)


def _matched(source: Curve, target: Curve) -> Curve:
    """The value with the same rank in `target` for each value of `source`, both histograms over the knots."""
    ranks = np.cumsum(source) - source / 2
    held = np.flatnonzero(target)
    curve = np.interp(ranks, (np.cumsum(target) - target / 2)[held], held / KNOTS)
    return np.asarray(np.maximum.accumulate(curve), np.float64)
