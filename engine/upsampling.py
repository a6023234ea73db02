"""Guided upsampling of fused lightness in torch, differentiable, so that training includes this step of live use.

Guided filter (He, Sun, Tang, "Guided image filtering", ECCV 2010) with every exposure as a guide: least squares of
fused ~ sum of A_i L_i + C in windows of the small planes; the coefficients are averaged, interpolated bilinearly
(half-pixel centres) and applied to the large planes. For two exposures the result is that of
fusion.method.guided_upsampling.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """Fused lightness [N,1,H,W] at the size of the guides `large` [N,E,H,W], L*/100.

    small: the guides at the small size, [N,E,h,w]. fused: the network's output there, [N,1,h,w].
    """
    small, fused = small.double(), fused.double()
    guides = channels(small)
    own = [a * b for i, a in enumerate(guides) for b in guides[i:]]
    moments = channels(_box(torch.cat([small, *own, fused, small * fused], dim=1)))
    count = len(guides)
    means, products = moments[:count], iter(moments[count : count + len(own)])
    mean_fused, with_fused = moments[count + len(own)], moments[count + len(own) + 1 :]
    matrix = [[means[0]] * count for _ in guides]
    for i in range(count):
        for j in range(i, count):
            matrix[i][j] = matrix[j][i] = next(products) - means[i] * means[j] + (EPSILON if i == j else 0.0)
    weights = _solve(matrix, [product - mean * mean_fused for product, mean in zip(with_fused, means, strict=True)])
    constant = mean_fused - sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    coefficients = _box(torch.cat([*weights, constant], dim=1)).float()
    size = (large.shape[-2], large.shape[-1])
    wide = functional.interpolate(coefficients, size=size, mode="bilinear", align_corners=False)
    return (wide[:, :-1] * large).sum(dim=1, keepdim=True) + wide[:, -1:]


def _solve(matrix: Sequence[Sequence[Tensor]], right: Sequence[Tensor]) -> list[Tensor]:
    """The solution of a linear system in every pixel by elimination without pivoting, which is stable since the
    matrix is symmetric and positive definite."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i, pivot in enumerate(rows):
        for row in rows[i + 1 :]:
            factor = row[i] / pivot[i]
            row[i + 1 :] = [value - factor * other for value, other in zip(row[i + 1 :], pivot[i + 1 :], strict=True)]
    solution: list[Tensor] = []
    for i in reversed(range(len(rows))):
        known = sum((a * x for a, x in zip(rows[i][i + 1 : -1], solution, strict=True)), torch.zeros_like(rows[i][-1]))
        solution.insert(0, (rows[i][-1] - known) / rows[i][i])
    return solution


def _box(planes: Tensor) -> Tensor:
    size = 2 * RADIUS + 1
    mean: Tensor = functional.avg_pool2d(planes, size, stride=1, padding=RADIUS, count_include_pad=False)
    return mean
