"""What a pair of exposures says in small: the planes that steer every pixel of the large pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.engine.runtime import LightnessNet
from livemef.fusion.method import chroma_map, guided_upsampling
from livemef.fusion.method.gamma import compensate, exponent
from livemef.fusion.settings import FusionSettings

Plane = NDArray[np.floating[Any]]
Planes = NDArray[np.float64]

CHROMA_RADIUS = 2
"""Regional chroma is averaged over 2 CHROMA_RADIUS + 1 small pixels: 6 % of the shorter side at 90 lines."""


def network_lightness(net: LightnessNet, under: Plane, over: Plane) -> NDArray[np.float32]:
    """The network's fused lightness, 0..1, of two L* planes (0..100)."""
    return net((under / 100).astype(np.float32), (over / 100).astype(np.float32))


def target_lightness(fused: Plane, settings: FusionSettings) -> Planes:
    """The L* (0..100) that the small picture shall have, from the network's 0..1: gamma compensation."""
    gamma = exponent(settings.gamma, fused, settings.adaptive_target)
    return np.asarray(100 * compensate(fused.astype(np.float64), gamma), np.float64)


def affine_planes(under: Plane, over: Plane, target: Planes, settings: FusionSettings) -> Planes:
    """Coefficients A, B, C (h x w x 3) of the target L* in the small pictures' L* planes."""
    guides = under.astype(np.float64), over.astype(np.float64)
    return guided_upsampling.affine_coefficients(*guides, target, settings.window_radius, settings.window_eps)


def full_gamma(under: Plane, over: Plane, net: LightnessNet, settings: FusionSettings) -> float:
    """The exponent for a picture whose network runs at full size: adaptive ones are read from the small picture."""
    if settings.gamma != "adaptive":
        return float(settings.gamma)
    return exponent("adaptive", network_lightness(net, under, over), settings.adaptive_target)


def chroma_part(chroma_under: Plane, chroma_over: Plane) -> Planes:
    """The under-exposed picture's part (h x w) of the regional chroma scales, from the small pictures' C*ab planes."""
    planes = np.stack([chroma_under, chroma_over], axis=-1).astype(np.float64)
    part = chroma_map.under_part(*np.moveaxis(guided_upsampling.box_mean(planes, CHROMA_RADIUS), -1, 0))
    return part.astype(np.float64)
