"""The chroma map: whose a*, b* a pixel gets, by comparing the chroma scales of the exposures.

The rule (larger chroma, or a weighted mean) is the method's; the regional smoothing, the reliability ramps, the blend
near ties and the lesser trust in brightened colours are ours, each against a defect that the bare rule shows on real
pictures. Plain numpy in the floating dtype it is given.

The compiled loops restate these rules: docs/add-a-fusion-method.md says how a change reaches the live picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]
Rule = Literal["select", "weighted"]
Transfer = Literal["tone", "chromaticity", "lab"]

DARK_RAMP, DARK_FLOOR = (2.0, 12.0), 0.02
"""L* between which a pixel's chroma stops being noise, and the trust that is left below."""

CLIP_RAMP, CLIP_FLOOR = (0.85, 0.98), 0.1
"""Linear light of a pixel's largest channel between which its hue stops being true (clipped red turns orange yellow),
and the trust that is left above: a hue somewhat off is better than one found in the dark.
"""

BRIGHTENING = 1.3
"""Ratio of L* + 16, fused over under-exposed, up to which the under-exposed picture's colour is taken at its word.
Beyond, its trust falls with the fourth power: noise, quantisation and the camera's tone curve turn dark colours loud.
"""

CHROMA_OFFSET = 1.0
"""C*ab added to both chroma scales: two grey regions count as equal, whatever their noise."""

TIE_WIDTH, WIDE_TIE = 0.25, 1.0
"""`select` blends where the weights' normalised difference is within +-TIE_WIDTH: a hard switch flickers and bands.
With more than two exposures WIDE_TIE: where three disagree in hue, a narrow one makes patches."""


def ramp(start: float, end: float, value: Plane) -> Plane:
    """0 below `start`, 1 above `end`, straight between."""
    return np.asarray(np.clip((value - start) / (end - start), 0, 1))


def smoothstep(start: float, end: float, value: Plane) -> Plane:
    """A ramp t with rounded corners: 3t^2 - 2t^3."""
    t = ramp(start, end, value)
    return np.asarray(t * t * (3 - 2 * t))


def reliability(lightness: Plane, largest: Plane, clip_ramp: tuple[float, float] = CLIP_RAMP) -> Plane:
    """How far a pixel's chroma can be believed, above 0, up to 1: from its L* and its largest channel (0..1, linear, as
    `clip_ramp` is)."""
    clipped = ramp(*clip_ramp, largest)
    return np.asarray(np.maximum(ramp(*DARK_RAMP, lightness), DARK_FLOOR) * (1 - (1 - CLIP_FLOOR) * clipped))


def brightened_trust(lightness: Plane, lightness_out: Plane) -> Plane:
    """Factor 0..1 on the reliability of all exposures but the brightest, for being shown at L* `lightness_out`."""
    return np.asarray(np.minimum(BRIGHTENING * (lightness + 16) / (lightness_out + 16), 1) ** 4)


def parts(chromas: Sequence[Plane]) -> list[Plane]:
    """Part 0..1 that each exposure has in the sum of all regional chroma scales (C*ab >= 0)."""
    return _of_their_sum([chroma + CHROMA_OFFSET for chroma in chromas])


def _of_their_sum(planes: Sequence[Plane]) -> list[Plane]:
    total = planes[0]
    for plane in planes[1:]:
        total = total + plane
    return [np.asarray(plane / total) for plane in planes]


def tie_width(exposures: int) -> float:
    """Of `select`, for so many exposures."""
    return TIE_WIDTH if exposures == 2 else WIDE_TIE


def shares(parts: Sequence[Plane], trusts: Sequence[Plane], rule: Rule) -> list[Plane]:
    """Share 0..1 of each exposure's colour; together 1.

    parts: from `parts`; trusts: from `reliability`. `select` compares each exposure with the strongest of the others,
    decides as far as any can be trusted, and mixes where none can.
    """
    mixed = _of_their_sum([part * trust for part, trust in zip(parts, trusts, strict=True)])
    if rule == "weighted":
        return mixed
    half = tie_width(len(parts)) / 2
    chosen = []
    for index, own in enumerate(mixed):
        strongest = np.max([other for place, other in enumerate(mixed) if place != index], axis=0)
        chosen.append(smoothstep(0.5 - half, 0.5 + half, own / (own + strongest)))
    trust, decided = np.max(trusts, axis=0), _of_their_sum(chosen)
    return [np.asarray(own + trust * (one - own)) for own, one in zip(mixed, decided, strict=True)]
