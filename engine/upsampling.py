"""From a small fused plane to a large one, differentiably: training goes through the same step as live use.

The two-guide guided filter (He, Sun, Tang 2010): least squares fused ~ A dark + B bright + C in windows of the
small planes, coefficients averaged, interpolated (half-pixel centres) and applied to the large planes. Same
result as fusion's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from livemef.engine.lightness import channels

RADIUS = 4
EPSILON = 1.0 / 100.0**2
"""1 on L* of 0..100, here on L*/100."""


def shrink(planes: Tensor, factor: int) -> Tensor:
    """Mean over factor x factor pixels; what does not fill a cell at the lower and right border is left out."""
    return functional.avg_pool2d(planes, factor)


def upsample(large: Tensor, small: Tensor, fused: Tensor) -> Tensor:
    """Fused lightness [N,1,H,W] at the size of `large` [N,2,H,W] from small [N,2,h,w] and [N,1,h,w]; L*/100."""
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
