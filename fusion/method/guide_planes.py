"""Small planes of a pair of exposures that steer every pixel of the large pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.engine.runtime import LightnessNet
from livemef.fusion.method import chroma_map, guided_upsampling
from livemef.fusion.method.gamma import compensate, exponent, white_gain, whiten
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.settings import FusionSettings

Plane = NDArray[np.floating[Any]]
Planes = NDArray[np.float64]

CHROMA_RADIUS = 2
"""Regional chroma is averaged over 2 CHROMA_RADIUS + 1 small pixels: 6 % of the shorter side at 90 lines."""


def network_lightness(net: LightnessNet, under: Plane, over: Plane) -> NDArray[np.float32]:
    """The network's fused lightness, 0..1, of two L* planes (0..100)."""
    return net((under / 100).astype(np.float32), (over / 100).astype(np.float32))


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


def lightness_curve(fused: Plane, over: Plane, settings: FusionSettings, means: RunningMeans) -> LightnessCurve:
    """The curve for a bracket, from its small picture: the network's lightness (0..1), and L* of the brighter exposure.

    The white gain is averaged over the brackets of a stream.
    """
    gamma = exponent(settings.gamma, fused, settings.adaptive_target)
    return LightnessCurve(gamma, means.white_with(white_gain(_compensated(fused, gamma), over, settings.white)))


def _compensated(fused: Plane, gamma: float) -> Planes:
    return np.asarray(100 * compensate(fused.astype(np.float64), gamma), np.float64)


def target_lightness(fused: Plane, over: Plane, settings: FusionSettings, means: RunningMeans) -> Planes:
    """The L* (0..100) that the small picture shall have, from the network's lightness: see `lightness_curve`."""
    plain = _compensated(fused, exponent(settings.gamma, fused, settings.adaptive_target))
    return np.asarray(whiten(plain, means.white_with(white_gain(plain, over, settings.white))), np.float64)


def full_curve(
    under: Plane, over: Plane, net: LightnessNet, settings: FusionSettings, means: RunningMeans
) -> LightnessCurve:
    """The curve for a picture whose network runs at full size: read from the small picture where it depends on it."""
    if settings.gamma != "adaptive" and not settings.white:
        return LightnessCurve(float(settings.gamma), 1.0)
    return lightness_curve(network_lightness(net, under, over), over, settings, means)


def affine_planes(under: Plane, over: Plane, target: Planes, settings: FusionSettings) -> Planes:
    """Coefficients A, B, C (h x w x 3) of the target L* in the small pictures' L* planes."""
    guides = under.astype(np.float64), over.astype(np.float64)
    return guided_upsampling.affine_coefficients(*guides, target, settings.window_radius, settings.window_eps)


def chroma_part(chroma_under: Plane, chroma_over: Plane) -> Planes:
    """The under-exposed picture's part (h x w) of the regional chroma scales, from the small pictures' C*ab planes."""
    planes = np.stack([chroma_under, chroma_over], axis=-1).astype(np.float64)
    part = chroma_map.under_part(*np.moveaxis(guided_upsampling.box_mean(planes, CHROMA_RADIUS), -1, 0))
    return part.astype(np.float64)
