"""DEM: Wang, Chen, Wu, Li, "Detail-enhanced multi-scale exposure fusion in YUV color space", IEEE TCSVT 2020.

The released algorithm, without the paper's separate detail layer. It reproduces the scores that MEFB publishes for DEM.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.methods.checks import check_exposures, to_uint8

Plane = NDArray[np.float64]

_TO_YUV = np.array([[0.114, 0.587, 0.299], [0.436, -0.289, -0.147], [-0.100, -0.515, 0.615]])
_TO_BGR = np.array([[1.0, 2.03, 0.0], [1.0, -0.39, -0.58], [1.0, 0.0, 1.14]])
_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
_WELL_EXPOSED_SIGMA = 0.2
_DETAIL_GAIN = 1.5


def fuse(exposures: Sequence[Pixels]) -> Pixels:
    """Fuse in YUV with a Laplacian pyramid two levels shallower than Mertens', favouring the bright exposures.

    exposures: two or more HxWx3 BGR uint8 of one size, dark to bright. Returns HxWx3 BGR uint8. Raises FusionError
    for anything else.
    """
    check_exposures(exposures)
    yuv = [_transform(picture.astype(np.float64) / 255, _TO_YUV) for picture in exposures]
    levels = int(np.log2(min(yuv[0].shape[:2]))) - 2
    weights = [_gaussian_pyramid(weight, levels) for weight in _weights(yuv)]
    luma = [_laplacian_pyramid(planes[..., 0], levels) for planes in yuv]
    chroma = [_laplacian_pyramid(planes[..., 1:], levels) for planes in yuv]

    fused_luma = [_blend(weights, luma, level) for level in range(levels - 1)]
    fused_luma.append(_blend_base([pyramid[-1] for pyramid in weights], [pyramid[-1] for pyramid in luma]))
    fused_chroma = [_blend(weights, chroma, level) for level in range(levels)]
    fused = np.dstack([_reconstruct(fused_luma), _reconstruct(fused_chroma)])
    return to_uint8(255 * _transform(fused, _TO_BGR))


def _transform(planes: Plane, matrix: Plane) -> Plane:
    return np.asarray(cv2.transform(planes, matrix), np.float64)


def _weights(yuv: Sequence[Plane]) -> list[Plane]:
    """Contrast times colourfulness times well-exposedness, then times the squared mean luma; they sum to 1."""
    weights: list[Plane] = []
    for planes in yuv:
        luma = planes[..., 0]
        contrast: Plane = np.abs(cv2.Laplacian(luma, cv2.CV_64F, ksize=1, borderType=cv2.BORDER_REPLICATE))
        colour = np.abs(planes[..., 1]) + np.abs(planes[..., 2]) + 1
        exposed = np.exp(-0.5 * ((luma - 0.5) / _WELL_EXPOSED_SIGMA) ** 2)
        weights.append(contrast * colour * exposed + 1e-12)
    total = np.sum(weights, axis=0)
    # The second factor can underflow to nothing only for black pictures: all of them then count alike.
    brightness = np.array([planes[..., 0].mean() ** 2 for planes in yuv]) + 1e-300
    weights = [weight / total * factor for weight, factor in zip(weights, brightness, strict=True)]
    total = np.sum(weights, axis=0)
    return [np.asarray(weight / total) for weight in weights]


def _blend(weights: Sequence[list[Plane]], bands: Sequence[list[Plane]], level: int) -> Plane:
    pairs = zip(weights, bands, strict=True)
    return np.asarray(np.sum([_like(weight[level], band[level]) * band[level] for weight, band in pairs], axis=0))


def _like(weight: Plane, band: Plane) -> Plane:
    return weight if band.ndim == weight.ndim else weight[..., np.newaxis]


def _blend_base(weights: Sequence[Plane], bases: Sequence[Plane]) -> Plane:
    """The coarsest luma level: smoothed weights, raised where an under-exposed picture of three or more has detail."""
    under_exposed = -(-len(bases) // 2) - 1
    smoothed = [_smooth(weight) for weight in weights]
    for index in range(under_exposed):
        detail = np.abs(_laplacian_pyramid(bases[index], 2)[0])
        smoothed[index] = smoothed[index] + _DETAIL_GAIN * (detail > 0) * _smooth(detail)
    total = np.sum([weight + 1e-12 for weight in smoothed], axis=0)
    weighted = [weight * base for weight, base in zip(smoothed, bases, strict=True)]
    return np.asarray(np.sum(weighted, axis=0) / total)


def _smooth(plane: Plane) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (3, 3), 1.0, borderType=cv2.BORDER_REPLICATE))


def _down(plane: Plane) -> Plane:
    filtered = cv2.sepFilter2D(plane, cv2.CV_64F, _BINOMIAL, _BINOMIAL, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(filtered[::2, ::2])


def _up(plane: Plane, height: int, width: int) -> Plane:
    """Twice the size: zeros in between, filtered; one replicated row and column all round keeps the border bright."""
    padded = cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    spread = np.zeros((2 * padded.shape[0], 2 * padded.shape[1], *padded.shape[2:]))
    spread[::2, ::2] = 4 * padded
    filtered = cv2.sepFilter2D(spread, cv2.CV_64F, _BINOMIAL, _BINOMIAL, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(filtered[2 : 2 + height, 2 : 2 + width])


def _gaussian_pyramid(plane: Plane, levels: int) -> list[Plane]:
    pyramid = [plane]
    for _ in range(levels - 1):
        pyramid.append(_down(pyramid[-1]))
    return pyramid


def _laplacian_pyramid(plane: Plane, levels: int) -> list[Plane]:
    gaussian = _gaussian_pyramid(plane, levels)
    bands = [fine - _up(coarse, *fine.shape[:2]) for fine, coarse in pairwise(gaussian)]
    return [*bands, gaussian[-1]]


def _reconstruct(pyramid: Sequence[Plane]) -> Plane:
    plane = pyramid[-1]
    for band in reversed(pyramid[:-1]):
        plane = band + _up(plane, *band.shape[:2])
    return plane
