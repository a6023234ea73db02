"""The method, whole, in float64: what every fast path is measured against, in codes of the final picture.

CBM (Son, Go, Lee, Lee, Mathematics 2025, 13(22), 3629; weights, gamma and network size are our reading): the lightness
comes from a network, compensated by a gamma and raised to a white level; the colour comes from the exposures, weighted
by the chroma map; and the result stays within the gamut. With `network_lines` the network sees a small picture, and a
local affine model in the exposures' lightnesses brings its result to full size; without, it sees the whole picture.
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
from livemef.fusion.motion import compensation, exposure_synthesis, pixel_samples
from livemef.fusion.motion.compensation import UNKNOWN, Moments
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.motion.steadiness import StreamMemory
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
    """Fuse two or more exposures (BGR uint8 or uint16, dark to bright, one shape).

    What moved between them is dealt with first. memory: of the stream that the bracket belongs to. Raises FusionError.
    """
    check_exposures(exposures)
    if settings.motion == "off":
        smalls = [small_picture(pixels, settings) for pixels in exposures]
    else:
        exposures, smalls = at_one_moment(exposures, settings, moments, memory)
    memory = memory or StreamMemory()
    means = memory.colour.follow(moments.place, exposures[0].shape, len(exposures))
    steered = memory if moments.place is not None and settings.motion != "off" else None
    return fuse_still(exposures, smalls, net, settings, means, steered)


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
        neighbour = still[compensation.towards(found.reference, index)]
        still[index] = exposure_synthesis.exposure(neighbour, exposures[index], todo)
    if memory is not None and moments.place is not None and settings.network_lines:

        def lightness(pixels: Pixels) -> Plane:
            return guide_lightness(colour.from_codes(pixels), settings)

        mask = found.report().mask
        pixel_samples.note(memory, exposures, found, mask, lightness, exposure_synthesis.exposure)
    return still, found.smalls


def fuse_still(
    exposures: Sequence[Pixels],
    smalls: Sequence[Plane],
    net: LightnessNet,
    settings: FusionSettings,
    means: RunningMeans,
    memory: StreamMemory | None = None,
) -> Pixels:
    """Fuse exposures of one moment, of which the small pictures are given. memory: of the stream, which steers."""
    height, width = exposures[0].shape[:2]
    labs = [small_lab(encoded, settings) for encoded in smalls]
    small_lights = [lightness for lightness, _, _ in labs]
    parts = guide_planes.compared_parts([np.hypot(a, b) for _, a, b in labs], settings)
    codes = [colour.from_codes(pixels) for pixels in exposures]
    lights = [guide_lightness(encoded, settings) for encoded in codes]
    if settings.network_lines:
        fused = guide_planes.small_lightness(net, small_lights)
        target = guide_planes.target_lightness(fused, small_lights[-1], settings, means)
        affine = guide_planes.affine_planes(small_lights, target, settings)
        if memory is not None:
            past = memory.past(parts.shape[:2], settings.window_radius, DefinedLoops())
            planes = memory.steer(np.concatenate([affine, parts], axis=-1), small_lights, past, DefinedLoops())
            affine, parts = np.split(planes, [affine.shape[2]], axis=-1)
        lightness = affine_lightness(guided_upsampling.bilinear_rows(affine, height, width), lights)
    else:
        curve = guide_planes.full_curve(small_lights, net, settings, means)
        lightness = curve(guide_planes.network_lightness(net, lights).astype(np.float64))
    parts = guided_upsampling.bilinear_rows(parts, height, width)
    factors = []
    if settings.colour == "tone":
        shown = drift.evidence_of_all(smalls, settings.shoulder)
        small_factors = [drift.factors(planes) for planes in means.drift_with(shown)]
        factors = [guided_upsampling.bilinear_rows(planes, height, width) for planes in small_factors]
    return colour.to_codes(coloured(codes, lightness, parts, factors, settings), exposures[0].dtype)


def coloured(
    exposures: Sequence[Plane], lightness: Plane, parts: Plane, factors: Sequence[Plane], settings: FusionSettings
) -> Plane:
    """Encoded BGR of the fused picture from the exposures' encoded BGR, the fused L*, the parts (H x W x N - 1) of all
    but the brightest in the regional chroma (H x W x 0 where it is not compared), and, for colour "tone", the drift
    from each exposure to the next."""
    shares = [*np.moveaxis(parts, -1, 0), 1 - parts.sum(axis=-1)] if parts.shape[-1] else []
    if settings.colour == "tone":
        return colour_transfer.tone(exposures, lightness, shares, factors, settings.shoulder)
    return colour.encode(colour_pixels([colour.decode(code) for code in exposures], lightness, shares, settings))


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


def affine_lightness(coefficients: Plane, lights: Sequence[Plane]) -> Plane:
    """The sum of A L over the exposures, and C, within 0..100."""
    lightness = coefficients[..., 0] * lights[0]
    for index, light in enumerate(lights[1:], 1):
        lightness = lightness + coefficients[..., index] * light
    return np.asarray(np.clip(lightness + coefficients[..., -1], 0, 100))


def colour_pixels(linear: Sequence[Plane], lightness: Plane, parts: Sequence[Plane], settings: FusionSettings) -> Plane:
    """Linear BGR of the fused picture, colour "chromaticity" or "lab", from the exposures' linear BGR, the fused L* and
    the exposures' parts in the regional chroma."""
    labs = [colour.lab_from_linear(light) for light in linear]
    trusts = [chroma_map.reliability(lab[0], light.max(axis=-1)) for lab, light in zip(labs, linear, strict=True)]
    for index, (own, _, _) in enumerate(labs[:-1]):
        trusts[index] = trusts[index] * chroma_map.brightened_trust(own, lightness)
    shares = chroma_map.shares(parts, trusts, settings.chroma)
    luminance = np.clip(colour.lab_f_inverse((lightness + 16) / 116), 0, 1)
    if settings.colour == "chromaticity":
        return colour.limit_to_gamut(scaled_light(zip(shares, linear, strict=True), luminance), luminance)
    a, b = (np.sum([share * lab[axis] for share, lab in zip(shares, labs, strict=True)], axis=0) for axis in (1, 2))
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
