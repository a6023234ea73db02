"""DBM: Lee, Lee, Kwon, "DCT-based multi-exposure fusion", Journal of Sensors 2017, 2837970 - our reading.

According to the abstract, JPEG's quantisation measures image quality, and a Gauss error function of camera
characteristics raises global luminance. The equations are not available to us. Here the number of AC coefficients that
survive baseline quantisation weights an exposure in a block's detail; error functions of the block's brightness weight
it in the block's mean and colour. The constants replace the paper's camera characteristics. Weights of the mean taken
from single blocks invert local contrast, so they are smoothed across blocks, with the width that scored best on real
scenes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.methods.checks import check_exposures, to_uint8

Planes = NDArray[np.float32]
Blocks = NDArray[np.float32]

_SIDE = 8
_STEP = 4
_NOISE_FLOOR, _NOISE_SPREAD = 0.15, 0.10
_SATURATION, _SATURATION_SPREAD = 0.75, 0.15
_SMOOTHING = 8.0
"""Standard deviation, in blocks, of the Gaussian over the shares of the mean."""
_QUANTISATION = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
"""Luminance table of the JPEG standard's Annex K: quality 50."""


def fuse(exposures: Sequence[Pixels]) -> Pixels:
    """Fuse 8x8 blocks, half overlapping under a raised-cosine window so that no block border shows.

    exposures: two or more HxWx3 BGR uint8 of one size, dark to bright. Returns HxWx3 BGR uint8. Raises FusionError
    for anything else.

    An exposure's share is one number a block, so mixing the coefficients equals mixing the pixels: only the forward
    transform, which the shares are read from, is computed.
    """
    check_exposures(exposures)
    height, width = exposures[0].shape[:2]
    padded = [_padded(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb).astype(np.float32)) for picture in exposures]
    rows, columns = padded[0].shape[0] - _STEP, padded[0].shape[1] - _STEP
    ramp = np.sin(np.pi * (np.arange(_SIDE) + 0.5) / _SIDE).astype(np.float32) ** 2
    window = np.outer(ramp, ramp)[..., np.newaxis]
    fused = np.zeros_like(padded[0])
    for top, left in product((0, _STEP), repeat=2):
        inside = np.s_[top : top + rows, left : left + columns]
        blocks = _fuse_blocks([_to_blocks(planes[inside]) for planes in padded]) * window
        fused[inside] += blocks.transpose(0, 2, 1, 3, 4).reshape(rows, columns, 3)
    codes = to_uint8(fused[_STEP : _STEP + height, _STEP : _STEP + width])
    return np.asarray(cv2.cvtColor(codes, cv2.COLOR_YCrCb2BGR))


def _padded(planes: Planes) -> Planes:
    """Replicated borders: half a block before, and after it what whole blocks need at both offsets."""
    after = [-(-(side + _STEP) // _SIDE) * _SIDE - side for side in planes.shape[:2]]
    return np.asarray(cv2.copyMakeBorder(planes, _STEP, after[0], _STEP, after[1], cv2.BORDER_REPLICATE), np.float32)


def _to_blocks(planes: Planes) -> Blocks:
    """HxWxC to (H/8)x(W/8)x8x8xC."""
    rows, columns, channels = planes.shape
    shape = (rows // _SIDE, _SIDE, columns // _SIDE, _SIDE, channels)
    return planes.reshape(shape).transpose(0, 2, 1, 3, 4)


def _fuse_blocks(sources: Sequence[Blocks]) -> Blocks:
    means = [blocks[..., 0].mean(axis=(2, 3)) for blocks in sources]
    details = [surviving_coefficients(blocks[..., 0]) + 0.5 for blocks in sources]
    total_detail = np.sum(details, axis=0)
    trusts = _brightness_trust(means)
    bases = [detail / total_detail * trust + 1e-6 for detail, trust in zip(details, trusts, strict=True)]
    total_base = np.sum(bases, axis=0)
    fused = np.zeros_like(sources[0])
    for blocks, mean, detail, base in zip(sources, means, details, bases, strict=True):
        detail_share = _spread(detail / total_detail)
        base_share = _spread(_smooth(base / total_base))
        level = _spread(mean)
        fused[..., 0] += detail_share * (blocks[..., 0] - level) + base_share * level
        fused[..., 1:] += base_share[..., np.newaxis] * blocks[..., 1:]
    return fused


def _smooth(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(share, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REPLICATE))


def _spread(per_block: NDArray[np.floating[Any]]) -> Blocks:
    return per_block[..., np.newaxis, np.newaxis].astype(np.float32)


def surviving_coefficients(luma: Blocks) -> NDArray[np.float32]:
    """How many of each 8x8 block's 63 AC coefficients JPEG quality 50 keeps; luma ...x8x8 in codes 0..255."""
    order, place = np.mgrid[:_SIDE, :_SIDE]
    basis = np.cos(np.pi * order * (2 * place + 1) / (2 * _SIDE)) * np.sqrt(2 / _SIDE)
    basis[0] /= np.sqrt(2)
    transform = basis.astype(np.float32)
    kept = np.abs(transform @ luma @ transform.T) > _QUANTISATION / 2
    kept[..., 0, 0] = False
    return np.asarray(kept.sum(axis=(-2, -1)), np.float32)


def _brightness_trust(means: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """All but the darkest exposure fade out towards saturation, all but the brightest fade in above the noise floor."""
    trusts = [np.ones(mean.shape) for mean in means]
    for trust, mean in zip(trusts[1:], means[1:], strict=True):
        trust *= 1 - _gauss_step(mean, _SATURATION, _SATURATION_SPREAD)
    for trust, mean in zip(trusts[:-1], means[:-1], strict=True):
        trust *= _gauss_step(mean, _NOISE_FLOOR, _NOISE_SPREAD)
    return trusts


def _gauss_step(mean: NDArray[np.float32], centre: float, spread: float) -> NDArray[np.float64]:
    """(1 + erf) / 2 of the block mean (codes 0..255), read from a table of 1025 nodes: exact to 1e-6."""
    nodes = np.linspace(0.0, 1.0, 1025)
    values = [0.5 * (1 + math.erf((node - centre) / (math.sqrt(2) * spread))) for node in nodes]
    return np.asarray(np.interp(mean / 255, nodes, values))
