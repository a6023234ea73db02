"""Small planes of the exposures of a bracket that steer every pixel of the large pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.engine.runtime import LightnessNet
from livemef.fusion.method import chroma_map, guided_upsampling, surround
from livemef.fusion.method.gamma import compensate, exponent, white_gain, whiten
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.settings import FusionSettings

Plane = NDArray[np.floating[Any]]
Planes = NDArray[np.floating[Any]]

CHROMA_RADIUS = 2
"""Regional chroma is averaged over 2 CHROMA_RADIUS + 1 small pixels: 6 % of the shorter side at 90 lines."""


def network_lightness(net: LightnessNet, lights: Sequence[Plane]) -> NDArray[np.float32]:
    """The network's fused lightness, 0..1, of the exposures' L* planes (0..100), dark to bright.

    The network takes two. More are fused as a tree of neighbours: the first with the second, the third with the fourth,
    and so on until one is left; nothing is rounded in between.
    """
    planes = [np.asarray(light / 100, np.float32) for light in lights]
    while len(planes) > 1:
        fused = [net(dark, bright) for dark, bright in zip(planes[::2], planes[1::2], strict=False)]
        planes = fused + planes[2 * len(fused) :]
    return planes[0]


def small_lightness(net: LightnessNet, lights: Sequence[Plane]) -> NDArray[np.float32]:
    """The same of small pictures' L* planes; the last one's own in a black surround, which the network does not see."""
    part = surround.surround(lights[-1])
    if part is None:
        return network_lightness(net, lights)
    fused = network_lightness(net, surround.filled(lights, part))
    return surround.restored(fused, lights[-1], part).astype(np.float32)


@dataclass(frozen=True)
class LightnessCurve:
    """From the network's lightness to the fused L*: gamma compensation, then the white level.

    exponent: of lightness 0..1. gain: see `gamma.whiten`.
    """

    exponent: float
    gain: float

    def __call__(self, fused: Plane) -> Plane:
        """L* (0..100) of the network's lightness (0..1)."""
        return whiten(100 * compensate(fused, self.exponent), self.gain)


def lightness_curve(fused: Plane, brightest: Plane, settings: FusionSettings, means: RunningMeans) -> LightnessCurve:
    """The curve for a bracket, from its small picture: the network's lightness (0..1), and the brightest exposure's L*.

    The white gain is averaged over the brackets of a stream.
    """
    gamma = exponent(settings.gamma, fused, settings.adaptive_target)
    return LightnessCurve(gamma, means.white_with(white_gain(_compensated(fused, gamma), brightest, settings.white)))


def _compensated(fused: Plane, gamma: float) -> Planes:
    return np.asarray(100 * compensate(fused.astype(np.float64), gamma), np.float64)


def target_lightness(fused: Plane, brightest: Plane, settings: FusionSettings, means: RunningMeans) -> Planes:
    """The L* (0..100) that the small picture shall have, from the network's lightness: see `lightness_curve`."""
    plain = _compensated(fused, exponent(settings.gamma, fused, settings.adaptive_target))
    return np.asarray(whiten(plain, means.white_with(white_gain(plain, brightest, settings.white))), np.float64)


def full_curve(
    lights: Sequence[Plane], net: LightnessNet, settings: FusionSettings, means: RunningMeans
) -> LightnessCurve:
    """The curve for a picture whose network runs at full size: read from the small picture where it depends on it."""
    if settings.gamma != "adaptive" and not settings.white:
        return LightnessCurve(float(settings.gamma), 1.0)
    return lightness_curve(network_lightness(net, lights), lights[-1], settings, means)


def affine_planes(lights: Sequence[Plane], target: Planes, settings: FusionSettings) -> Planes:
    """Coefficients A of each exposure, then C (h x w x N + 1), of the target L* in the small pictures' L* planes."""
    guides = [light.astype(np.float64) for light in lights]
    return guided_upsampling.affine_coefficients(guides, target, settings.window_radius, settings.window_eps)


def compares_chroma(exposures: int, settings: FusionSettings) -> bool:
    """Whether so many exposures' parts of the regional chroma steer the colour. Not where `tone` mixes three or more:
    they would draw it to the most colourful exposure, where those nearest in lightness show the colour."""
    return exposures == 2 or settings.colour != "tone"


def compared_parts(chromas: Sequence[Plane], settings: FusionSettings) -> Planes:
    """`chroma_parts`, or no planes (h x w x 0) where chroma is not compared."""
    if compares_chroma(len(chromas), settings):
        return chroma_parts(chromas)
    return np.zeros((*chromas[0].shape, 0))


def chroma_parts(chromas: Sequence[Plane]) -> Planes:
    """Part in the regional chroma scales of every exposure but the brightest, which has the rest (h x w x N - 1), from
    the small pictures' C*ab planes."""
    planes = np.stack(chromas, axis=-1).astype(np.float64)
    return parts_of(guided_upsampling.box_mean(planes, CHROMA_RADIUS))


def parts_of(regional: Planes) -> Planes:
    """The same from the regional chroma scales (h x w x N)."""
    parts = chroma_map.parts(list(np.moveaxis(regional, -1, 0)))
    return np.stack(parts[:-1], axis=-1).astype(np.float64)
