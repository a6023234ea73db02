"""The method, whole, in float64: what every fast path is measured against, in codes of the final picture.

CBM (Son, Go, Lee, Lee, Mathematics 2025, 13(22), 3629; weights, gamma and network size are our reading): the lightness
comes from a network, compensated by a gamma and raised to a white level; the colour comes from the exposures, weighted
by the chroma map; and the result stays within the gamut. With `network_lines` the network sees a small picture, and a
local affine model in both lightnesses brings its result to full size; without, it sees the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.engine.runtime import LightnessNet
from livemef.fusion.fuser import check_exposures
from livemef.fusion.method import (
    chroma_map,
    colour,
    colour_transfer,
    downscale,
    drift,
    guide_planes,
    guided_upsampling,
)
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.motion import compensation, exposure_synthesis
from livemef.fusion.motion.compensation import UNKNOWN, Moments
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.motion.steadiness import Fold, StreamMemory
from livemef.fusion.settings import FusionSettings

Plane = NDArray[np.floating[Any]]
Lab = tuple[Plane, Plane, Plane]


def fuse(
    exposures: Sequence[Pixels],
    net: LightnessNet,
    settings: FusionSettings,
    moments: Moments = UNKNOWN,
    memory: StreamMemory | None = None,
) -> Pixels:
    """Fuse exposures (BGR uint8 or uint16, dark to bright, one shape); more than two are folded from the dark end.

    Folding: fuse(fuse(1, 2), 3), each step a whole picture in the exposures' dtype. What moved between them is dealt
    with first. memory: of the stream that the bracket belongs to. Raises FusionError.
    """
    check_exposures(exposures)
    if settings.motion == "off":
        smalls = [small_picture(pixels, settings) for pixels in exposures]
    else:
        exposures, smalls = at_one_moment(exposures, settings, moments, memory)
    fused, small_fused = exposures[0], smalls[0]
    memory = memory or StreamMemory()
    steered = memory if moments.place is not None and settings.motion != "off" else None
    means = memory.colour.follow(moments.place, exposures[0].shape, len(exposures) - 1)
    for number, (brighter, small_brighter) in enumerate(zip(exposures[1:], smalls[1:], strict=True)):
        fold, pair = Fold(number, number == len(exposures) - 2, settings.window_radius), (fused, brighter)
        fused = fuse_pair(pair, (small_fused, small_brighter), net, settings, means[number], fold, steered)
        small_fused = small_picture(fused, settings)
    return fused


def at_one_moment(
    exposures: Sequence[Pixels], settings: FusionSettings, moments: Moments, memory: StreamMemory | None = None
) -> tuple[list[Pixels], list[Plane]]:
    """The exposures as they would have been at the reference's moment, and their small pictures (made small first)."""
    height, width = exposures[0].shape[:2]
    shape = compensation.grid_shape(height, width, settings.small_lines)
    grids = [_averages(pixels, *shape).astype(np.float32) for pixels in exposures]
    found = compensation.at_one_moment(
        grids, (height, width), settings.small_lines, settings.motion, moments, None, memory
    )
    still = list(exposures)
    for index, todo in found.compensations.items():
        still[index] = exposure_synthesis.exposure(exposures[found.reference], exposures[index], todo)
    return still, found.smalls


def fuse_pair(
    pair: tuple[Pixels, Pixels],
    smalls: tuple[Plane, Plane],
    net: LightnessNet,
    settings: FusionSettings,
    means: RunningMeans,
    fold: Fold | None = None,
    memory: StreamMemory | None = None,
) -> Pixels:
    """Fuse two exposures, of which the small pictures are given. fold: which step it is of a stream of that memory."""
    under, over = pair
    height, width = under.shape[:2]
    small_under, small_over = (small_lab(encoded, settings) for encoded in smalls)
    part = guide_planes.chroma_part(np.hypot(*small_under[1:]), np.hypot(*small_over[1:]))
    encoded_under, encoded_over = (colour.from_codes(pixels) for pixels in (under, over))
    under_l, over_l = (guide_lightness(codes, settings) for codes in (encoded_under, encoded_over))
    if settings.network_lines:
        fused = guide_planes.network_lightness(net, small_under[0], small_over[0])
        target = guide_planes.target_lightness(fused, small_over[0], settings, means)
        planes = guide_planes.affine_planes(small_under[0], small_over[0], target, settings)
        if memory is not None and fold is not None:
            planes, part = memory.steer(fold, planes, part, (small_under[0], small_over[0]), DefinedLoops())
        lightness = affine_lightness(guided_upsampling.bilinear_rows(planes, height, width), under_l, over_l)
    else:
        curve = guide_planes.full_curve(small_under[0], small_over[0], net, settings, means)
        lightness = curve(guide_planes.network_lightness(net, under_l, over_l).astype(np.float64))
    part = guided_upsampling.bilinear_rows(part[..., None], height, width)[..., 0]
    factors = None
    if settings.colour == "tone":
        small_factors = drift.factors(means.drift_with(drift.evidence(*smalls, settings.shoulder)))
        factors = guided_upsampling.bilinear_rows(small_factors, height, width)
    return colour.to_codes(coloured(encoded_under, encoded_over, lightness, part, factors, settings), under.dtype)


def coloured(
    under: Plane, over: Plane, lightness: Plane, part: Plane, factors: Plane | None, settings: FusionSettings
) -> Plane:
    """Encoded BGR of the fused picture from both exposures' encoded BGR, the fused L*, the under-exposed one's part of
    the regional chroma, and, for colour "tone", the drift from one to the other."""
    if settings.colour == "tone":
        assert factors is not None
        return colour_transfer.tone([under, over], lightness, [part, 1 - part], [factors], settings.shoulder)
    return colour.encode(colour_pixels(colour.decode(under), colour.decode(over), lightness, part, settings))


def small_picture(pixels: Pixels, settings: FusionSettings) -> Plane:
    """The small picture, h x w x 3, encoded 0..1: codes are averaged."""
    return _averages(pixels, *downscale.small_shape(pixels.shape[0], pixels.shape[1], settings.small_lines))


def _averages(pixels: Pixels, height: int, width: int) -> Plane:
    return downscale.area_average(pixels, height, width) / np.iinfo(pixels.dtype).max


def small_lab(encoded: Plane, settings: FusionSettings) -> Lab:
    """Lightness (see `guide_lightness`), a*, b* of a small picture."""
    encoded = encoded.astype(np.float64)
    lightness, a, b = colour.lab_from_linear(colour.decode(encoded))
    return guide_lightness(encoded, settings) if settings.colour == "tone" else lightness, a, b


def guide_lightness(encoded: Plane, settings: FusionSettings) -> Plane:
    """The lightness (0..100) that the network sees and the fused one is made of: L* of encoded BGR (..., 3), or, for
    colour "tone", that of its luma."""
    if settings.colour == "tone":
        return colour_transfer.luma_lightness(encoded)
    return colour.lab_from_linear(colour.decode(encoded))[0]


def affine_lightness(coefficients: Plane, under: Plane, over: Plane) -> Plane:
    """A L_under + B L_over + C, within 0..100."""
    a, b, c = np.moveaxis(coefficients, -1, 0)
    return np.asarray(np.clip(a * under + b * over + c, 0, 100))


def colour_pixels(
    linear_under: Plane, linear_over: Plane, lightness: Plane, part: Plane, settings: FusionSettings
) -> Plane:
    """Linear BGR of the fused picture, colour "chromaticity" or "lab", from both exposures' linear BGR, the fused L*
    and the under-exposed one's part of the regional chroma."""
    lightness_u, a_u, b_u = colour.lab_from_linear(linear_under)
    lightness_o, a_o, b_o = colour.lab_from_linear(linear_over)
    trust_u = chroma_map.reliability(lightness_u, linear_under.max(axis=-1))
    trust_u = trust_u * chroma_map.brightened_trust(lightness_u, lightness)
    trust_o = chroma_map.reliability(lightness_o, linear_over.max(axis=-1))
    share = chroma_map.under_share(part, trust_u, trust_o, settings.chroma)
    luminance = np.clip(colour.lab_f_inverse((lightness + 16) / 116), 0, 1)
    if settings.colour == "chromaticity":
        mixed = scaled_light(((share, linear_under), (1 - share, linear_over)), luminance)
        return colour.limit_to_gamut(mixed, luminance)
    a, b = share * a_u + (1 - share) * a_o, share * b_u + (1 - share) * b_o
    return colour.limit_to_gamut(colour.linear_from_lab(lightness, a, b), luminance)


def scaled_light(shares: Iterable[tuple[Plane, Plane]], luminance: Plane) -> Plane:
    """Linear BGR that keeps the exposures' chromaticities: each one's light is scaled to `luminance`, and mixed.

    shares: (share, linear BGR) of each exposure. Scaling light by s^3 scales L* + 16, a* and b* by s, so that hue
    angle and saturation stay those of the exposures. An exposure darker than L* 8 is brightened as if it lay there,
    lest the noise of darkness be scaled up without bound; grey makes up for what is missing then.
    """
    weights, least = colour.XYZ_FROM_BGR[1], np.maximum(np.minimum(colour.LAB_DELTA**3, luminance), 1e-9)
    parts = [(share * luminance / np.maximum(linear @ weights, least))[..., None] * linear for share, linear in shares]
    mixed = np.sum(parts, axis=0)
    return np.asarray(mixed + (luminance - mixed @ weights)[..., None])
