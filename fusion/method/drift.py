"""Colour drift between two exposures: how far a camera's colours do not follow the tone curve that is assumed.

Dark colours of a real camera do not rise exactly along the curve of `colour_transfer`: saturation matrix, white balance
and black level see to that. Where both exposures of a pair show a channel, the logarithm of its odds says by how much
more, or less, than a grey's it grows; where one is too dark or clips, it is drawn on from around.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import chroma_map, guided_upsampling
from livemef.fusion.method.colour_transfer import LUMA, SEEN_RAMP

Plane = NDArray[np.floating[Any]]
Planes = NDArray[np.floating[Any]]

STRENGTH = 0.75
"""Part of the measured drift that is applied."""

CLIP_RAMP = (0.85, 0.97)
"""Encoded values of the brighter exposure between which a channel begins to clip."""

RADII, FALL = (12,), 0.3
"""Box radii in small pixels, and last of all the whole picture; each counts FALL times the one before."""

PRIOR = 0.03
"""Weight of "no drift", over that of a whole picture that shows every channel twice."""

MOST = 1.5
"""Natural logarithm of the odds' factor to which a single measurement is held."""

LIFT = 1 / 256
"""Added to encoded values for the logarithm's sake."""


def evidence(dark: Plane, bright: Plane, shoulder: float) -> Planes:
    """What two small pictures (h x w x 3, encoded 0..1) show: h x w x 6, per channel the logarithm of the drift times
    how well it was seen (0..1), then how well it was seen."""
    dark, bright = dark.astype(np.float64), bright.astype(np.float64)
    luma_dark, luma_bright = ((picture @ LUMA)[..., None] for picture in (dark, bright))
    measured = np.log(
        _odds(bright, shoulder) * _odds(luma_dark, shoulder) / (_odds(dark, shoulder) * _odds(luma_bright, shoulder))
    )
    seen = chroma_map.ramp(*SEEN_RAMP, dark) * (1 - chroma_map.ramp(*CLIP_RAMP, bright))
    return np.concatenate([seen * np.clip(measured, -MOST, MOST), seen], axis=-1)


def evidence_of_all(smalls: Sequence[Plane], shoulder: float) -> Planes:
    """`evidence` of each exposure and the next brighter one: N - 1 x h x w x 6."""
    return np.stack([evidence(dark, bright, shoulder) for dark, bright in itertools.pairwise(smalls)])


def factors(shown: Planes) -> Planes:
    """The factor (h x w x 3) on each channel's odds from the darker to the brighter exposure, from `evidence`."""
    total = np.zeros_like(shown)
    for index, radius in enumerate(radii(*shown.shape[:2])):
        total += FALL**index * guided_upsampling.box_mean(shown, radius)
    return np.asarray(np.exp(STRENGTH * total[..., :3] / (total[..., 3:] + prior())))


def radii(height: int, width: int) -> tuple[int, ...]:
    """Of the boxes over small pictures of this size; the last one covers all of it from anywhere."""
    return *RADII, max(height, width)


def prior() -> float:
    """Weight of "no drift" in the boxes' sum."""
    return PRIOR * float(FALL ** len(RADII))


def _odds(code: Plane, shoulder: float) -> Plane:
    return np.asarray((code + LIFT) / (shoulder - code))
