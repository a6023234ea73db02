"""Guided upsampling of fused lightness in torch, differentiable, so that training includes this step of live use.

Guided filter with two guides (He, Sun, Tang, "Guided image filtering", ECCV 2010): least squares of
fused ~ A dark + B bright + C in windows of the small planes; the coefficients are averaged, interpolated bilinearly
(half-pixel centres) and applied to the large planes. Same result as fusion.method.guided_upsampling.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from livemef.engine.lightness import channels

RADIUS = 4
EPSILON = 1.0 / 100.0**2
"""Regularisation: 1 in units of L* (0..100) squared, converted to L*/100."""


def shrink(planes: Tensor, factor: int) -> Tensor:
    """The planes [N,C,H,W] smaller by `factor`, by means; incomplete cells at the lower and right are dropped."""
    return functional.avg_pool2d(planes, factor)


def upsample(large: Tensor, small: Tensor, fused: Tensor) -> Tensor:
    """Fused lightness [N,1,H,W] at the size of the guides `large` [N,2,H,W], L*/100.

    small: the guides at the small size, [N,2,h,w]. fused: the network's output there, [N,1,h,w].
    """
    small, fused = small.double(), fused.double()
    products = [small, fused, small * small, small.prod(dim=1, keepdim=True), small * fused]
    moments = channels(_box(torch.cat(products, dim=1)))
    mean_d, mean_b, mean_f, dd, bb, db, df, bf = moments
    var_d, var_b, cov = dd - mean_d**2 + EPSILON, bb - mean_b**2 + EPSILON, db - mean_d * mean_b
    with_d, with_b = df - mean_d * mean_f, bf - mean_b * mean_f
    determinant = var_d * var_b - cov**2
    a = (with_d * var_b - with_b * cov) / determinant
    b = (with_b * var_d - with_d * cov) / determinant
    c = mean_f - a * mean_d - b * mean_b
    coefficients = _box(torch.cat([a, b, c], dim=1)).float()
    size = (large.shape[-2], large.shape[-1])
    a, b, c = channels(functional.interpolate(coefficients, size=size, mode="bilinear", align_corners=False))
    return a * large[:, :1] + b * large[:, 1:] + c


def _box(planes: Tensor) -> Tensor:
    size = 2 * RADIUS + 1
    mean: Tensor = functional.avg_pool2d(planes, size, stride=1, padding=RADIUS, count_include_pad=False)
    return mean
