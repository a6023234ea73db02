"""The encoded value at which a stream's exposures clip, where it is not the top of the codes.

Footage of limited range that was read as full has its white at 235 of 255; many a camera's or raw converter's tone
curve ends below the top. What clips piles up at one value there, while the darker exposure shows many values for it.
"""

from __future__ import annotations

import numpy as np

from livemef.fusion.motion.intensity_mapping import KNOTS, Curve

ABOVE = 0.005
"""Part of all samples that may lie above the value: single codes of noise, or of a codec's ringing."""

PILE, WIDTH = 0.03, 0.02
"""Part of all samples that must lie within so much (encoded) below it."""

DARKER_SPAN = 1.15
"""Ratio from the least to the largest value of the darker exposure that these samples must span: what is merely of one
brightness, a wall or an even sky, is so in both exposures."""

LEAST, MOST = 0.75, 0.97
"""Values in between are taken for it; from MOST on the top of the codes serves as well."""


def found(dark: Curve, bright: Curve) -> float:
    """The value at which the brightest exposure clips, from its histogram and the next darker one's (3 x KNOTS + 1
    each, see intensity_mapping.histograms); 1 where nothing shows that it is another than the top of the codes."""
    above = _part_above(bright)
    top = _last(above >= ABOVE)
    start = top - round(WIDTH * KNOTS)
    if not LEAST <= top / KNOTS < MOST or above[start] < PILE:
        return 1.0
    above_dark = _part_above(dark)
    least, largest = (_last(above_dark >= part) for part in (above[start], ABOVE))
    return top / KNOTS if largest >= DARKER_SPAN * least else 1.0


def _part_above(counts: Curve) -> Curve:
    """Part of the samples at each knot and above."""
    sums = np.cumsum(counts.sum(axis=0)[::-1])[::-1]
    return np.asarray(sums / max(float(sums[0]), 1e-9))


def _last(there: np.ndarray) -> int:
    return int(np.flatnonzero(there)[-1])


def followed(before: float, dark: Curve, bright: Curve) -> float:
    """The same in a stream in which it was `before`: kept while nothing clips, until something is brighter."""
    now = found(dark, bright)
    if now < 1 or before == 1:
        return now
    return before if _last(_part_above(bright) >= ABOVE) <= round((before + WIDTH) * KNOTS) else 1.0
