"""Colour transfer `tone`: each exposure's colour as the camera would have rendered it at the fused lightness.

A camera's tone curve has a shoulder: what is brightened runs to white, and a dark channel gains more than a bright one.
It is taken for a logistic curve of the logarithm of exposure, so that an exposure step multiplies the *odds* of an
encoded value c, c / (P - c), by one factor for all channels; P is the setting `shoulder`. Each exposure takes the
step after which its luma is the wanted one; the results are mixed by how near the exposure is to it and how far it can
be trusted (of two exposures also by how they compare in chroma, as in the paper), and grey is added until the mixture
has that luma. Where a channel clips, the next darker exposure shows how much stronger than the others it is. Saturated
colours are not darkened below a part of the brightest exposure's L*.

All of it is done on encoded values 0..1, for any number of exposures. Lightness here is that of the neutral grey with a
pixel's *luma* (`luma_lightness`), which for colours differs from the L* of its luminance: so an exposure that has the
fused lightness already is not changed, whatever its colour, and neutral pixels stay neutral.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import chroma_map, colour

Plane = NDArray[np.floating[Any]]

LEAST_LUMA = 0.09
"""Luma (of a grey of L* 8) below which an exposure is brightened as if it lay there: noise is not scaled up without
bound. Grey makes up for what is missing then."""

RANGE = (0.001, 0.999)
"""Lumas are held in here: at 0 and 1 the factor on the odds would be 0 or infinite."""

LEAST_CODE = 1e-12
"""Keeps the saturation of black from being 0 / 0."""

NEAR_FLOOR, NEAR_FLOOR_OF_MORE = 0.05, 0.01
"""Least weight of an exposure for lying far from the fused lightness: of two, and of more, which lie closer."""

LEAST_STEP = 4.0
"""L* that two neighbouring exposures are taken to lie apart, at least."""

CLIP_RAMP = (0.93, 0.99)
"""Encoded value of a pixel's largest channel between which its hue stops being true: `chroma_map.CLIP_RAMP` encoded."""

SEEN_RAMP = (0.02, 0.08)
"""Encoded value of a darker exposure's channel between which it begins to be seen."""

CLIPPED_FROM = 1.4
"""Of `clipped_gain`: ratio from which on a clipped channel is raised: less lies between any two close exposures."""

COLOUR_FLOOR = 0.6
"""Part of the brightest exposure's L* below which no pure colour is darkened, and a less saturated one by as much less:
luma underrates saturated colours, so that a step of a few L* near black would be an edge from black to full red."""

FIT_STEP_EV, FIT_CLIP, FIT_RANGE = 3.0, 0.97, (1.05, 5.0)
"""Of `fitted_shoulder`: the step in stops, the encoded value from which on the response clips, the range."""

LUMA = colour.XYZ_FROM_BGR[1]
"""Weights of B, G, R in luma (ITU-R BT.709): those of luminance, on encoded values."""


def grey_code(lightness: Plane) -> Plane:
    """Encoded value of the neutral grey of this L* (0..100)."""
    return colour.encode(np.clip(colour.lab_f_inverse((lightness + 16) / 116), 0, 1))


def luma_lightness(code: Plane) -> Plane:
    """L* (0..100) of the neutral grey with the luma of encoded BGR (..., 3)."""
    return 116 * colour.lab_f(colour.decode(code @ LUMA)) - 16


def exposed(code: Plane, luma: Plane, shoulder: float, drift: Plane | float = 1.0) -> Plane:
    """Encoded values (..., 3) after the exposure step that takes a grey of their luma to one of `luma` (...).

    drift (..., 3): a further factor on the odds of each channel. The result may exceed 1.
    """
    end = np.clip(luma, *RANGE)[..., None]
    start = np.clip(code @ LUMA, *RANGE)[..., None]
    start = np.maximum(start, np.minimum(LEAST_LUMA, end))
    numerator, denominator = end * (shoulder - start) * drift, start * (shoulder - end)
    return np.asarray(shoulder * numerator * code / (shoulder * denominator + (numerator - denominator) * code))


def clipped_gain(darker: Plane, code: Plane, shoulder: float) -> Plane:
    """By what part the odds of an exposure's clipped channels are too low beside its luma (..., 3; 0 where none clips),
    as the next darker exposure shows them. Both are encoded.

    Where red clips and green nearly does, what is darkened would turn from orange to greenish yellow.
    """
    held = np.maximum(code, CLIP_RAMP[0])
    luma_darker, luma = (np.clip(encoded @ LUMA, *RANGE)[..., None] for encoded in (darker, code))
    lumas = luma * (shoulder - luma_darker) / (luma_darker * (shoulder - luma))
    ratio = lumas * darker * (shoulder - held) / ((shoulder - darker) * held)
    seen = chroma_map.ramp(*CLIP_RAMP, code) * chroma_map.ramp(*SEEN_RAMP, darker)
    return np.asarray(seen * np.maximum(ratio - CLIPPED_FROM, 0))


def nearness(lightness: Plane, exposures: Sequence[Plane]) -> tuple[list[Plane], list[Plane]]:
    """How near each exposure's L* is to the fused L*, and t (0..1), how far that is from each exposure to the next.

    Hat functions: 1 at the exposure's own L*, 0 at its neighbours', held above NEAR_FLOOR or NEAR_FLOOR_OF_MORE. One
    fewer t than exposures.
    """
    floor = NEAR_FLOOR if len(exposures) == 2 else NEAR_FLOOR_OF_MORE
    t: list[Plane] = [
        np.clip((lightness - dark) / np.maximum(bright - dark, LEAST_STEP), 0, 1)
        for dark, bright in itertools.pairwise(exposures)
    ]
    rising = [np.ones_like(lightness), *t]
    falling = [*(1 - step for step in t), np.ones_like(lightness)]
    return [np.maximum(up * down, floor) for up, down in zip(rising, falling, strict=True)], t


def least_lightness(brightest: Plane) -> Plane:
    """The L* (...) below which a pixel is not darkened, from the brightest exposure's encoded BGR (..., 3).

    COLOUR_FLOOR of its own L* for a pure colour, 0 for a grey, between them by saturation: 1 - luma / largest channel.
    """
    saturation = 1 - (brightest @ LUMA) / np.maximum(brightest.max(axis=-1), LEAST_CODE)
    return np.asarray(COLOUR_FLOOR * saturation * luma_lightness(brightest))


def tone(
    codes: Sequence[Plane], lightness: Plane, parts: Sequence[Plane], drifts: Sequence[Plane], shoulder: float
) -> Plane:
    """Encoded BGR (H x W x 3, 0..1) of the fused lightness (H x W, 0..100, see `luma_lightness`) from the exposures'
    encoded BGR, dark to bright.

    parts: each exposure's part of the regional chroma (H x W, in all 1); none where it is not compared, see
    `guide_planes.compares_chroma`. drifts: for each exposure but the brightest the factor (H x W x 3) by which its odds
    grow more than a grey's on the way to the next one, see `drift`. Saturated colours are held above `least_lightness`.
    """
    own = [luma_lightness(code) for code in codes]
    lightness = np.maximum(lightness, least_lightness(codes[-1]))
    near, t = nearness(lightness, own)
    luma = grey_code(lightness)
    mixed, total = np.zeros_like(codes[0]), np.zeros_like(lightness)[..., None]
    for index, code in enumerate(codes):
        trust = chroma_map.reliability(own[index], code.max(axis=-1), CLIP_RAMP)
        if parts:
            trust = trust * parts[index]
        weight = (trust * near[index])[..., None]
        factor: Plane | float = 1 + (drifts[index] - 1) * t[index][..., None] if index < len(drifts) else 1.0
        if index:
            far = 1 - t[index - 1][..., None]
            factor = factor * (1 + far * clipped_gain(codes[index - 1], code, shoulder))
        mixed += weight * exposed(code, luma, shoulder, factor)
        total += weight
    mixed /= total
    return np.asarray(np.clip(mixed + (luma - mixed @ LUMA)[..., None], 0, 1))


def fitted_shoulder(light: Sequence[Sequence[float]]) -> float:
    """The setting `shoulder` for a measured response: that which follows `FIT_STEP_EV` stops of exposure best.

    light: linear light of each channel at equally spaced encoded values 0..1, rising. Compared are the encoded values
    that the response gives with those of `exposed`, for all pairs of a channel's and a grey's value that do not clip.
    """
    candidates = np.geomspace(*FIT_RANGE, 80)
    return float(candidates[np.argmin(np.mean([_misses(np.asarray(one), candidates) for one in light], axis=0))])


def _misses(light: Plane, shoulders: NDArray[np.float64]) -> list[float]:
    """Mean square of what is missed with each shoulder, for one channel."""
    codes = np.linspace(0, 1, len(light))
    code = np.linspace(0.06, 0.9, 60)
    after = np.interp(np.interp(code, codes, light) * 2.0**FIT_STEP_EV, light, codes)
    code, after = code[after < FIT_CLIP], after[after < FIT_CLIP]
    if code.size == 0:
        return [0.0] * len(shoulders)
    grey, grey_after = code[:, None], after[:, None]
    misses = []
    for top in shoulders:
        step = grey_after * (top - grey) / (grey * (top - grey_after))
        misses.append(float(np.square(top * step * code / (top + (step - 1) * code) - after).mean()))
    return misses
