"""Loss terms of training, in torch and differentiable in `fused`. Each returns one value a patch, [N].

All planes are float32 [N,1,H,W], L*/100 (0..1), exposures [N,E,H,W].
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations_with_replacement

import torch
from torch import Tensor
from torch.nn import functional

from livemef.engine.lightness import channels, to_grey_code
from livemef.engine.recipe import LossShares

WINDOW = 11
COUNT = WINDOW * WINDOW
GAUSSIAN_SIGMA = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001)
CONTRAST_CONSTANT = (0.03 * 255.0) ** 2
LARGEST_POWER = 10.0
LOWEST_SCORE = 1e-4
SMALLEST_SIDE = WINDOW * 2 ** (len(SCALE_WEIGHTS) - 1)


def mef_ssim(exposures: Tensor, fused: Tensor) -> Tensor:
    """MEF-SSIM (Ma, Zeng, Wang, IEEE TIP 24(11), 2015) of fused lightness [N,1,H,W] to its exposures [N,E,H,W], E at
    least 2: [N], 1 at best.

    Computed on the sRGB codes (0..255, not rounded) of the neutral greys with these lightnesses. Height and width must
    be 44 pixels or more.
    """
    grey, result = (to_grey_code(planes) - 127.5 for planes in (exposures, fused))
    total = sum(SCALE_WEIGHTS)
    score = torch.ones(len(fused), device=fused.device)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            grey, result = _halve(grey), _halve(result)
        level = _structure(grey, result).mean(dim=(1, 2, 3)).clamp_min(LOWEST_SCORE)
        score = score * level ** (weight / total)
    return score


def absolute_error(fused: Tensor, target: Tensor) -> Tensor:
    """Mean |fused - target| of each patch."""
    return (fused - target).abs().mean(dim=(1, 2, 3))


def coarse_error(fused: Tensor, target: Tensor, cell: int) -> Tensor:
    """Mean absolute difference of the averages over cell x cell pixels: compares brightness and large shapes only."""
    return functional.avg_pool2d(fused - target, cell).abs().mean(dim=(1, 2, 3))


def gradient_error(fused: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the gradients (differences of neighbouring pixels), rows plus columns."""
    difference = fused - target
    rows = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    columns = (difference[..., 1:] - difference[..., :-1]).abs().mean(dim=(1, 2, 3))
    return rows + columns


def patch_loss(shares: LossShares, exposures: Tensor, fused: Tensor, target: Tensor) -> Tensor:
    """The weighted sum of the terms, [N]; exposures: [N,E,H,W]. Terms of share 0 are not computed."""
    loss = torch.zeros(len(fused), device=fused.device)
    if shares.absolute:
        loss = loss + shares.absolute * absolute_error(fused, target)
    if shares.structure:
        loss = loss + shares.structure * (1.0 - mef_ssim(exposures, fused.clamp(0.0, 1.0)))
    if shares.coarse:
        loss = loss + shares.coarse * coarse_error(fused, target, shares.coarse_cell)
    if shares.gradient:
        loss = loss + shares.gradient * gradient_error(fused, target)
    return loss


def _structure(exposures: Tensor, fused: Tensor) -> Tensor:
    """Map of the contrast and structure terms of SSIM between the reference patch (the sum of the exposures times
    their factors, which are constant within a window) and the fused one."""
    with torch.no_grad():
        factors = _reference_factors(exposures)
        means, products = _moments(exposures, GAUSSIAN)
        reference = _variance_of_sum(factors, means, products)
    planes = torch.cat([fused, fused * fused, exposures * fused], dim=1)
    mean, square, *shared_products = channels(_filter(planes, GAUSSIAN))
    terms = zip(channels(factors), channels(means), shared_products, strict=True)
    shared = sum(factor * (product - own * mean) for factor, own, product in terms)
    quality: Tensor = (2.0 * shared + CONTRAST_CONSTANT) / (reference + square - mean**2 + CONTRAST_CONSTANT)
    return quality


def _moments(exposures: Tensor, kernel: tuple[float, ...]) -> tuple[Tensor, dict[tuple[int, int], Tensor]]:
    """Filtered exposures [N,E,h,w], and the filtered products of exposures j <= k, each [N,1,h,w]."""
    planes = channels(exposures)
    index = list(combinations_with_replacement(range(len(planes)), 2))
    filtered = _filter(torch.cat([exposures, *(planes[j] * planes[k] for j, k in index)], dim=1), kernel)
    return filtered[:, : len(planes)], dict(zip(index, channels(filtered[:, len(planes) :]), strict=True))


def _variance_of_sum(factors: Tensor, means: Tensor, products: dict[tuple[int, int], Tensor]) -> Tensor:
    """Variance in each window of the sum of factor times exposure, [N,1,h,w]."""
    f, m = channels(factors), channels(means)
    total = torch.zeros_like(f[0])
    for (j, k), product in products.items():
        total = total + (1.0 if j == k else 2.0) * f[j] * f[k] * (product - m[j] * m[k])
    return total


def _reference_factors(exposures: Tensor) -> Tensor:
    """Weights of the exposures in the reference patch of MEF-SSIM, [N,E,h,w], up to its mean, which the score
    ignores."""
    means, products = _moments(exposures, BOX)
    own = torch.cat([products[index, index] for index in range(exposures.shape[1])], dim=1)
    spreads = (COUNT * (own - means**2).clamp_min(0.0)).sqrt()
    variance = _variance_of_sum(torch.ones_like(means), means, products)
    spread_of_sum = (COUNT * variance).clamp_min(0.0).sqrt()
    agreement = ((spread_of_sum + 1e-6) / (spreads.sum(dim=1, keepdim=True) + 1e-6)).clamp(0.0, 1.0 - 1e-6)
    power = torch.tan(torch.pi / 2.0 * agreement).clamp(max=LARGEST_POWER)
    strengths = spreads + 0.001
    shares = (strengths / WINDOW) ** power + 1e-15
    factors = shares / shares.sum(dim=1, keepdim=True) / strengths
    length = (COUNT * _variance_of_sum(factors, means, products)).clamp_min(0.0).sqrt()
    strongest = strengths.max(dim=1, keepdim=True).values
    return factors * torch.where(length > 0, strongest / length.clamp_min(1e-30), 1.0)


def _halve(plane: Tensor) -> Tensor:
    """The plane at half the size by 2 x 2 means; an odd last row or column is replicated."""
    below, right = plane.shape[-2] % 2, plane.shape[-1] % 2
    return functional.avg_pool2d(functional.pad(plane, (0, right, 0, below), mode="replicate"), 2)


def _filter(planes: Tensor, kernel: tuple[float, ...]) -> Tensor:
    """Separable filter, valid region, as products with banded matrices: much faster than convolutions on a CPU."""
    rows = _band(planes.shape[-2], kernel).to(planes)
    columns = _band(planes.shape[-1], kernel).to(planes)
    return rows.T @ planes @ columns


@lru_cache(maxsize=32)
def _band(size: int, kernel: tuple[float, ...]) -> Tensor:
    """Matrix of size x (size - 10) whose column i holds the kernel in rows i to i + 10."""
    band = torch.zeros(size, size - WINDOW + 1)
    for offset, value in enumerate(kernel):
        band.diagonal(-offset).fill_(value)
    return band


def _gaussian_kernel() -> tuple[float, ...]:
    raw = [math.exp(-((i - WINDOW // 2) ** 2) / (2.0 * GAUSSIAN_SIGMA**2)) for i in range(WINDOW)]
    return tuple(value / sum(raw) for value in raw)


GAUSSIAN = _gaussian_kernel()
BOX = (1.0 / WINDOW,) * WINDOW
