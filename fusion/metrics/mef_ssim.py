"""MEF-SSIM: structural similarity of a fused picture and its exposures.

Ma, Zeng, Wang, "Perceptual quality assessment for multi-exposure image fusion", IEEE TIP 24(11), 2015, and its colour
form, Ma, Duanmu, Yeganeh, Wang, "Multi-exposure image fusion by optimizing a structural similarity index", IEEE TCI
4(1), 2018. Computed from local moments, so that each scale takes a few separable filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError

Plane = NDArray[np.float64]

_WINDOW = 11
_MARGIN = _WINDOW // 2
_COUNT = _WINDOW * _WINDOW
_GAUSSIAN_SIGMA = 1.5
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)
SMALLEST_SIDE = _WINDOW * 2 ** (len(_SCALE_WEIGHTS) - 1)
"""Pixels: the coarsest scale must still hold one window."""
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_LARGEST_POWER = 10.0
RGB2GRAY = np.array([[0.1140209042551033, 0.5870430744511212, 0.2989360212937755]])
"""MATLAB's rgb2gray, for B, G, R."""


def mef_ssim(exposures: Sequence[Pixels], fused: Pixels) -> float:
    """MEF-SSIM of a fused picture, 1 at best; three scales, grey.

    exposures: two or more HxWx3 BGR uint8; fused: HxWx3 BGR uint8 of the same size. Raises FusionError if the shorter
    side is below 44 pixels. A picture whose structure is mostly inverted at some scale scores 0.
    """
    if min(fused.shape[:2]) < SMALLEST_SIDE:
        raise FusionError(f"MEF-SSIM needs a shorter side of {SMALLEST_SIDE} pixels, this picture is {fused.shape[:2]}")
    sources, result = [grey(picture) for picture in exposures], grey(fused)
    scores = []
    for scale in range(len(_SCALE_WEIGHTS)):
        if scale:
            sources, result = [_halve(source) for source in sources], _halve(result)
        scores.append(max(float(_structure_map(sources, result).mean()), 0.0))
    return float(np.prod(np.array(scores) ** _SCALE_WEIGHTS))


def grey(picture: Pixels) -> Plane:
    """BT.601 luma as float64, rounded to whole codes 0..255 as MATLAB's rgb2gray does for uint8."""
    return np.floor(np.asarray(cv2.transform(picture.astype(np.float64), RGB2GRAY), np.float64) + 0.5)


def _halve(plane: Plane) -> Plane:
    mean = cv2.filter2D(plane, cv2.CV_64F, np.full((2, 2), 0.25), anchor=(0, 0), borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(mean[::2, ::2])


def _box(plane: Plane) -> Plane:
    mean = cv2.boxFilter(plane, cv2.CV_64F, (_WINDOW, _WINDOW))
    return np.asarray(mean[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])


def _gauss(plane: Plane) -> Plane:
    mean = cv2.GaussianBlur(plane, (_WINDOW, _WINDOW), _GAUSSIAN_SIGMA)
    return np.asarray(mean[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])


def _consistency_power(spread_of_sum: Plane, spreads: Sequence[Plane]) -> Plane:
    """The exponent tan(pi/2 R) of the weights, at most 10; R near 1 means that the exposures agree in structure."""
    eps = np.finfo(np.float64).eps
    agreement = np.minimum((spread_of_sum + eps) / (np.sum(spreads, axis=0) + eps), 1 - eps)
    return np.asarray(np.minimum(np.tan(np.pi / 2 * agreement), _LARGEST_POWER))


def _norm(mean_of_square: Plane, mean: Plane, count: int) -> Plane:
    """Norm of the deviation from the mean in each window of `count` pixels."""
    return np.asarray(np.sqrt(np.maximum(count * (mean_of_square - mean * mean), 0.0)))


def _structure_map(sources: Sequence[Plane], fused: Plane) -> Plane:
    means = [_box(source) for source in sources]
    squares = [_box(source * source) for source in sources]
    spreads = [_norm(square, mean, _COUNT) for square, mean in zip(squares, means, strict=True)]
    total = np.sum(sources, axis=0)
    power = _consistency_power(_norm(_box(total * total), _box(total), _COUNT), spreads)
    strengths = [spread + 0.001 for spread in spreads]
    shares = [(strength / _WINDOW) ** power + np.finfo(np.float64).eps for strength in strengths]
    share_total = np.sum(shares, axis=0)
    factors = [share / share_total / strength for share, strength in zip(shares, strengths, strict=True)]
    crosses = {
        (j, k): _box(sources[j] * sources[k]) - means[j] * means[k] for j, k in combinations(range(len(sources)), 2)
    }
    variances = [square - mean * mean for square, mean in zip(squares, means, strict=True)]
    length = np.sqrt(np.maximum(_COUNT * _quadratic(factors, variances, crosses), 0.0))
    scale = np.where(length > 0, np.max(strengths, axis=0) / np.maximum(length, 1e-300), 1.0)
    return _compare([factor * scale for factor in factors], sources, fused)


def _quadratic(factors: Sequence[Plane], variances: Sequence[Plane], crosses: dict[tuple[int, int], Plane]) -> Plane:
    """Variance of the sum of factor times plane, from the planes' variances and covariances."""
    own = sum(f * f * v for f, v in zip(factors, variances, strict=True))
    return np.asarray(own + sum(2 * factors[j] * factors[k] * cross for (j, k), cross in crosses.items()))


def _compare(factors: Sequence[Plane], sources: Sequence[Plane], fused: Plane) -> Plane:
    """Contrast and structure terms of SSIM between the reference patch (weighted sum of sources) and the fused one."""
    means = [_gauss(source) for source in sources]
    variances = [_gauss(source * source) - mean * mean for source, mean in zip(sources, means, strict=True)]
    crosses = {
        (j, k): _gauss(sources[j] * sources[k]) - means[j] * means[k] for j, k in combinations(range(len(sources)), 2)
    }
    wanted = _quadratic(factors, variances, crosses)
    fused_mean = _gauss(fused)
    got = _gauss(fused * fused) - fused_mean * fused_mean
    terms = zip(factors, sources, means, strict=True)
    shared = sum(factor * (_gauss(source * fused) - mean * fused_mean) for factor, source, mean in terms)
    return np.asarray((2 * shared + _C2) / (wanted + got + _C2))


# The colour form ----------------------------------------------------------------------------------------------------

_GLOBAL_SIGMA, _LOCAL_SIGMA, _MID_GREY = 0.2, 0.5, 0.5
_COLOUR_POWER = 4.0


def mef_ssim_colour(exposures: Sequence[Pixels], fused: Pixels) -> float:
    """MEF-SSIM_c of a fused picture, 1 at best; one scale, colour patches as one vector, local brightness included.

    Our reading of the paper's constants: 11x11 uniform window, structure power 4, brightness weights of sigma 0.2
    (whole picture) and 0.5 (window) around mid-grey. Same arguments as `mef_ssim`.
    """
    if min(fused.shape[:2]) < _WINDOW:
        raise FusionError(f"MEF-SSIM_c needs {_WINDOW} pixels a side, this picture is {fused.shape[:2]}")
    sources = [picture.astype(np.float64) for picture in exposures]
    result = fused.astype(np.float64)
    means = [_patch_mean(source) for source in sources]
    spreads = [
        _norm(_patch_mean(source * source), mean, 3 * _COUNT) for source, mean in zip(sources, means, strict=True)
    ]
    shares = [(spread / _WINDOW + 1e-6) ** _COLOUR_POWER for spread in spreads]
    share_total = np.sum(shares, axis=0)
    factors = [share / share_total / (spread + 0.001) for share, spread in zip(shares, spreads, strict=True)]
    variances = [spread * spread / (3 * _COUNT) for spread in spreads]
    crosses = {
        (j, k): _patch_mean(sources[j] * sources[k]) - means[j] * means[k]
        for j, k in combinations(range(len(sources)), 2)
    }
    length = np.sqrt(np.maximum(3 * _COUNT * _quadratic(factors, variances, crosses), 0.0))
    strongest = np.max(spreads, axis=0)
    scale = np.where(length > 0, strongest / np.maximum(length, 1e-300), 0.0)
    fused_mean = _patch_mean(result)
    got = _patch_mean(result * result) - fused_mean * fused_mean
    terms = zip(factors, sources, means, strict=True)
    shared = scale * sum(f * (_patch_mean(s * result) - m * fused_mean) for f, s, m in terms)
    wanted_mean = _wanted_brightness(sources, means)
    brightness = (2 * wanted_mean * fused_mean + _C1) / (wanted_mean**2 + fused_mean**2 + _C1)
    structure = (2 * shared + _C2) / (strongest**2 / (3 * _COUNT) + got + _C2)
    return float((brightness * structure).mean())


def _patch_mean(picture: Plane) -> Plane:
    return _box(np.ascontiguousarray(picture.mean(axis=2)))


def _wanted_brightness(sources: Sequence[Plane], means: Sequence[Plane]) -> Plane:
    shares = []
    for source, mean in zip(sources, means, strict=True):
        whole = (source.mean() / 255 - _MID_GREY) ** 2 / (2 * _GLOBAL_SIGMA**2)
        local = (mean / 255 - _MID_GREY) ** 2 / (2 * _LOCAL_SIGMA**2)
        shares.append(np.exp(-whole - local))
    weighted = [share * mean for share, mean in zip(shares, means, strict=True)]
    return np.asarray(np.sum(weighted, axis=0) / np.sum(shares, axis=0))
