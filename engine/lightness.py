"""Conversions of lightness L* in torch, differentiable: luminance, and the sRGB code of the neutral grey."""

from __future__ import annotations

import torch
from torch import Tensor

_SRGB_KNEE, _SRGB_SLOPE = 0.0031308, 12.92
_EPSILON = 6.0 / 29.0


def to_luminance(lightness: Tensor) -> Tensor:
    """Linear luminance (0..1) of lightness L*/100 (0..1), CIE 1976; any shape."""
    f = (lightness * 100.0 + 16.0) / 116.0
    return torch.where(f > _EPSILON, f**3, (f - 4.0 / 29.0) * (3.0 * _EPSILON**2))


def from_luminance(luminance: Tensor) -> Tensor:
    """Lightness L*/100 (0..1) of linear luminance (0..1), CIE 1976; any shape."""
    f = torch.where(
        luminance > _EPSILON**3,
        luminance.clamp_min(_EPSILON**3) ** (1.0 / 3.0),
        luminance / (3.0 * _EPSILON**2) + 4.0 / 29.0,
    )
    return (116.0 * f - 16.0) / 100.0


def to_grey_code(lightness: Tensor) -> Tensor:
    """sRGB code (0..255, not rounded) of the neutral grey of lightness L*/100 (0..1); any shape."""
    luminance = to_luminance(lightness)
    root = luminance.clamp_min(_SRGB_KNEE) ** (1.0 / 2.4)
    return 255.0 * torch.where(luminance > _SRGB_KNEE, 1.055 * root - 0.055, _SRGB_SLOPE * luminance)


def channels(planes: Tensor) -> tuple[Tensor, ...]:
    """The C channels of [N,C,H,W], each [N,1,H,W]."""
    return tuple(planes[:, index : index + 1] for index in range(planes.shape[1]))
