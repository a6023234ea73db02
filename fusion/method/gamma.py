"""The fused lightness as it is shown: gamma compensation of the network's output (the paper's), and white level."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]
Gamma = float | Literal["adaptive"]

ADAPTIVE_RANGE = (0.8, 1.25)
"""The adaptive exponent stays in here: it corrects the lightness, it does not restyle the picture."""

TOP_PART = 0.01
"""Part of a picture, its brightest, above whose lower end it counts as white."""

TOP_STEP = 0.5
"""L* between the nodes of the histogram in which that end is looked up."""

NODES = round(100 / TOP_STEP) + 1
"""Of that histogram, from 0 to 100."""

MOST_WHITENING = 1.15
"""Factor by which the lightest end is raised at most."""


def adaptive_gamma(mean_lightness: float, target: float) -> float:
    """The exponent that would bring `mean_lightness` (0..1) to `target` (0..1), held to ADAPTIVE_RANGE.

    Continuous in the mean, so that a slowly changing scene gives a slowly changing exponent, frame by frame.
    """
    low, high = ADAPTIVE_RANGE
    mean = min(max(mean_lightness, 1e-3), 1 - 1e-3)
    return min(max(math.log(target) / math.log(mean), low), high)


def exponent(gamma: Gamma, lightness: Plane, target: float) -> float:
    """The exponent to apply: the fixed one, or the adaptive one for this fused lightness (0..1)."""
    return adaptive_gamma(float(lightness.mean(dtype=np.float64)), target) if gamma == "adaptive" else float(gamma)


def compensate(lightness: Plane, gamma: float) -> Plane:
    """Lightness 0..1 to the power `gamma`; below 1 brightens. Black and white stay where they are."""
    return np.asarray(np.clip(lightness, 0, 1) ** gamma)


def top_lightness(lightness: Plane) -> float:
    """The L* (0..100) above which TOP_PART of the picture lies.

    By a histogram in which each pixel counts for the two nodes on either side: continuous in every pixel, whatever the
    precision in which it is computed.
    """
    position = np.clip(lightness, 0, 100).ravel() / TOP_STEP
    node = np.minimum(position.astype(np.int64), NODES - 2)
    upper = position - node
    lower: NDArray[np.float64] = np.bincount(node, 1 - upper, NODES).astype(np.float64)
    return top_of_counts(lower + np.bincount(node + 1, upper, NODES))


def top_of_counts(counts: NDArray[np.float64]) -> float:
    """The same, from the histogram: a node's count is spread evenly over TOP_STEP around it."""
    above = np.cumsum(counts[::-1])[::-1]
    wanted = TOP_PART * above[0]
    node = int(np.flatnonzero(above >= wanted)[-1])
    return float(np.clip((node - 0.5 + (above[node] - wanted) / counts[node]) * TOP_STEP, 1, 100))


def white_gain(target: Plane, brightest: Plane, white: float) -> float:
    """Factor (1..MOST_WHITENING) for the lightest end of `target`, so that it reaches L* `white`, or what the brightest
    exposure reaches if that is less (both planes L*, 0..100). 1 if `white` is 0."""
    if not white:
        return 1.0
    reach = min(white, top_lightness(brightest))
    return min(max(reach / top_lightness(target), 1.0), MOST_WHITENING)


def whiten(lightness: Plane, gain: float) -> Plane:
    """L* (0..100) with its lightest end raised by `gain`: L (1 + (gain - 1) L / 100), hardly anything near black."""
    return np.asarray(np.clip(lightness * (1 + (gain - 1) * lightness / 100), 0, 100))
