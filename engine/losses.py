"""Loss terms of training, in torch and differentiable in `fused`. Each returns one value a patch, [N].

All planes are float32 [N,1,H,W], L*/100 (0..1).
"""

from __future__ import annotations

import math
from functools import lru_cache

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


def mef_ssim(dark: Tensor, bright: Tensor, fused: Tensor) -> Tensor:
    """MEF-SSIM (Ma, Zeng, Wang, IEEE TIP 24(11), 2015) of fused lightness, [N], 1 at best.

    Computed on the sRGB codes (0..255, not rounded) of the neutral greys with these lightnesses. Height and width must
    be 44 pixels or more.
    """
    grey = [to_grey_code(plane) - 127.5 for plane in (dark, bright, fused)]
    total = sum(SCALE_WEIGHTS)
    score = torch.ones(len(fused), device=fused.device)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            grey = [_halve(plane) for plane in grey]
        level = _structure(*grey).mean(dim=(1, 2, 3)).clamp_min(LOWEST_SCORE)
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


def patch_loss(shares: LossShares, dark: Tensor, bright: Tensor, fused: Tensor, target: Tensor) -> Tensor:
    """The weighted sum of the terms, [N]; terms of share 0 are not computed."""
    loss = torch.zeros(len(fused), device=fused.device)
    if shares.absolute:
        loss = loss + shares.absolute * absolute_error(fused, target)
    if shares.structure:
        loss = loss + shares.structure * (1.0 - mef_ssim(dark, bright, fused.clamp(0.0, 1.0)))
    if shares.coarse:
        loss = loss + shares.coarse * coarse_error(fused, target, shares.coarse_cell)
    if shares.gradient:
        loss = loss + shares.gradient * gradient_error(fused, target)
    return loss


def _structure(dark: Tensor, bright: Tensor, fused: Tensor) -> Tensor:
    with torch.no_grad():
        factor_dark, factor_bright = _wanted_factors(dark, bright)
    planes = [dark, bright, fused]
    products = [dark * dark, bright * bright, dark * bright, fused * fused, dark * fused, bright * fused]
    means = _filter(torch.cat([*planes, *products], dim=1), GAUSSIAN)
    mean_d, mean_b, mean_f, dd, bb, db, ff, df, bf = channels(means)
    var_d, var_b, cov = dd - mean_d**2, bb - mean_b**2, db - mean_d * mean_b
    wanted = factor_dark**2 * var_d + factor_bright**2 * var_b + 2.0 * factor_dark * factor_bright * cov
    shared = factor_dark * (df - mean_d * mean_f) + factor_bright * (bf - mean_b * mean_f)
    got = ff - mean_f**2
    quality: Tensor = (2.0 * shared + CONTRAST_CONSTANT) / (wanted + got + CONTRAST_CONSTANT)
    return quality


def _wanted_factors(dark: Tensor, bright: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the two exposures in the reference patch of MEF-SSIM, up to its mean, which the score ignores."""
    planes = torch.cat([dark, bright, dark * dark, bright * bright, dark * bright], dim=1)
    mean_d, mean_b, dd, bb, db = channels(_filter(planes, BOX))
    var_d, var_b = (dd - mean_d**2).clamp_min(0.0), (bb - mean_b**2).clamp_min(0.0)
    cov = db - mean_d * mean_b
    spread_d, spread_b = (COUNT * var_d).sqrt(), (COUNT * var_b).sqrt()
    spread_sum = (COUNT * (var_d + var_b + 2.0 * cov)).clamp_min(0.0).sqrt()
    agreement = ((spread_sum + 1e-6) / (spread_d + spread_b + 1e-6)).clamp(0.0, 1.0 - 1e-6)
    power = torch.tan(torch.pi / 2.0 * agreement).clamp(max=LARGEST_POWER)
    strength_d, strength_b = spread_d + 0.001, spread_b + 0.001
    share_d, share_b = (strength_d / WINDOW) ** power + 1e-15, (strength_b / WINDOW) ** power + 1e-15
    factor_d = share_d / (share_d + share_b) / strength_d
    factor_b = share_b / (share_d + share_b) / strength_b
    length2 = COUNT * (factor_d**2 * var_d + factor_b**2 * var_b + 2.0 * factor_d * factor_b * cov)
    length = length2.clamp_min(0.0).sqrt()
    scale = torch.where(length > 0, torch.maximum(strength_d, strength_b) / length.clamp_min(1e-30), 1.0)
    return factor_d * scale, factor_b * scale


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
