"""Gamma compensation of the fused lightness: the paper's correction of the network's output."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Gamma = float | Literal["adaptive"]

ADAPTIVE_RANGE = (0.8, 1.25)
"""The adaptive exponent stays in here: it corrects the lightness, it does not restyle the picture."""


def adaptive_gamma(mean_lightness: float, target: float) -> float:
    """The exponent that would bring `mean_lightness` (0..1) to `target` (0..1), held to ADAPTIVE_RANGE.

    Continuous in the mean, so that a slowly changing scene gives a slowly changing exponent, frame by frame.
    """
    low, high = ADAPTIVE_RANGE
    mean = min(max(mean_lightness, 1e-3), 1 - 1e-3)
    return min(max(math.log(target) / math.log(mean), low), high)


def exponent(gamma: Gamma, lightness: NDArray[np.floating[Any]], target: float) -> float:
    """The exponent to apply: the fixed one, or the adaptive one for this fused lightness (0..1)."""
    return adaptive_gamma(float(lightness.mean(dtype=np.float64)), target) if gamma == "adaptive" else float(gamma)


def compensate(lightness: NDArray[np.floating[Any]], gamma: float) -> NDArray[np.floating[Any]]:
    """Lightness 0..1 to the power `gamma`; below 1 brightens. Black and white stay where they are."""
    return np.asarray(np.clip(lightness, 0, 1) ** gamma)
