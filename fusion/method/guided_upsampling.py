"""From a lightness fused small to a lightness fused in full: a local affine model in both exposures' lightness.

In each window of the small picture the fused lightness is fitted as A L_under + B L_over + C (least squares, A and B
held towards zero by eps); the smoothed coefficients are interpolated and applied to the full-resolution lightnesses,
which supply all detail. The guided filter (He, Sun, Tang 2010) with two guides, used as in the fast guided filter
(He, Sun 2015). Computed in float64, or, on a GPU, summed in whole numbers: variances are small differences.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float64]


def box_mean(planes: Planes, radius: int) -> Planes:
    """Mean over (2 radius + 1)^2 windows, cut off at the border, of height x width x N planes."""
    size = (2 * radius + 1, 2 * radius + 1)
    sums = cv2.boxFilter(planes, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter(np.ones(planes.shape[:2]), -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums.reshape(planes.shape) / count[..., None], np.float64)


def affine_coefficients(under: Planes, over: Planes, fused: Planes, radius: int, eps: float) -> Planes:
    """Coefficients A, B, C (height x width x 3) of fused ~ A under + B over + C, smoothed.

    The three planes are height x width, L* in 0..100; `radius` in small pixels, `eps` in L* squared.
    """
    products = [under, over, fused, under * under, over * over, under * over, under * fused, over * fused]
    mean_u, mean_o, mean_f, uu, oo, uo, uf, of = np.moveaxis(box_mean(np.stack(products, axis=-1), radius), -1, 0)
    var_u, var_o = uu - mean_u * mean_u + eps, oo - mean_o * mean_o + eps
    cov = uo - mean_u * mean_o
    with_u, with_o = uf - mean_u * mean_f, of - mean_o * mean_f
    determinant = var_u * var_o - cov * cov
    a = (with_u * var_o - with_o * cov) / determinant
    b = (with_o * var_u - with_u * cov) / determinant
    c = mean_f - a * mean_u - b * mean_o
    return box_mean(np.stack([a, b, c], axis=-1), radius)


def _interpolation(size: int, small: int, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any], Planes]:
    position = np.clip((np.arange(start, stop) + 0.5) * (small / size) - 0.5, 0, small - 1)
    first = np.minimum(position.astype(np.int64), max(small - 2, 0))
    return first, np.minimum(first + 1, small - 1), position - first


def bilinear_rows(planes: Planes, height: int, width: int, top: int = 0, bottom: int | None = None) -> Planes:
    """Rows top..bottom of height x width x N planes interpolated from small ones; pixel centres at half-integers."""
    above, below, down = _interpolation(height, planes.shape[0], top, height if bottom is None else bottom)
    left, right, along = _interpolation(width, planes.shape[1], 0, width)
    wide = planes[:, left] + along[None, :, None] * (planes[:, right] - planes[:, left])
    return np.asarray(wide[above] + down[:, None, None] * (wide[below] - wide[above]), np.float64)
