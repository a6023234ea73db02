"""From a lightness fused small to a lightness fused in full: a local affine model in the exposures' lightness.

In each window of the small picture the fused lightness is fitted as the sum of A_i L_i over the exposures, plus C
(least squares, A held towards zero by eps); the smoothed coefficients are interpolated and applied to the
full-resolution lightnesses, which supply all detail. The guided filter (He, Sun, Tang 2010) with as many guides as
exposures, used as in the fast guided filter (He, Sun 2015). Computed in float64, or, on a GPU, summed in whole numbers:
variances are small differences.

A network that sees two exposures at a time loses contrast where three and more are merged step by step. So from three
on A lies between the fit's and that which gives a window the contrast of its strongest exposure, where the structures
are mixed by strength: structural patch decomposition (Ma, Li, Yong, Wang, Meng, Zhang, "Robust multi-exposure image
fusion: a structural patch decomposition approach", IEEE TIP 26(5), 2017) with the network's local mean. The more
contrast a window has, the more the fit counts: beside strong edges the other makes halos.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.floating[Any]]


CHANNELS = 64
"""Planes that OpenCV filters at a time; it takes 128."""

EDGE = 15.0
"""Standard deviation (L*) of a window's strongest exposure at which the fit and `structure_factors` count alike."""

HEADROOM = 1.5
"""Standard deviations of a window's strongest exposure that are to lie between its mean and white."""

MOST_GAIN = 2.0
"""Of `structure_factors`: factor on the mixed structure at most, where the exposures' structures cancel each other."""


def box_mean(planes: Planes, radius: int) -> Planes:
    """Mean over (2 radius + 1)^2 windows, cut off at the border, of height x width x N planes."""
    if planes.shape[2] > CHANNELS:
        parts = np.split(planes, range(CHANNELS, planes.shape[2], CHANNELS), axis=2)
        return np.concatenate([box_mean(part, radius) for part in parts], axis=2)
    size = (2 * radius + 1, 2 * radius + 1)
    sums = cv2.boxFilter(planes, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter(np.ones(planes.shape[:2]), -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums.reshape(planes.shape) / count[..., None], np.float64)


def affine_coefficients(guides: Sequence[Planes], fused: Planes, radius: int, eps: float) -> Planes:
    """Coefficients A of each guide, then C (height x width x N + 1), of fused ~ sum A_i guide_i + C, smoothed.

    Two guides: least squares. More: between those and `structure_factors`. The windows' means are those of `fused`, of
    three and more `below_white`.
    Guides and `fused` are height x width, L* in 0..100; `radius` in small pixels, `eps` in L* squared.
    """
    pairs = list(itertools.combinations_with_replacement(range(len(guides)), 2))
    products = [*guides, fused, *(guides[i] * guides[j] for i, j in pairs), *(guide * fused for guide in guides)]
    means = np.moveaxis(box_mean(np.stack(products, axis=-1), radius), -1, 0)
    mean, mean_f, rest = means[: len(guides)], means[len(guides)], means[len(guides) + 1 :]
    covariance = {(i, j): rest[place] - mean[i] * mean[j] + eps * (i == j) for place, (i, j) in enumerate(pairs)}
    wanted = [rest[len(pairs) + i] - mean[i] * mean_f for i in range(len(guides))]
    if len(guides) == 2:
        factors, c = _two_unknowns(covariance, wanted), mean_f
    else:
        factors, c = _more_factors(covariance, wanted, eps), below_white(mean_f, covariance, len(guides), eps)
    for factor, own in zip(factors, mean, strict=True):
        c = c - factor * own
    return box_mean(np.stack([*factors, c], axis=-1), radius)


def _two_unknowns(matrix: dict[tuple[int, int], Planes], wanted: Sequence[Planes]) -> list[Planes]:
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[0, 1]
    return [
        (wanted[0] * matrix[1, 1] - wanted[1] * matrix[0, 1]) / determinant,
        (wanted[1] * matrix[0, 0] - wanted[0] * matrix[0, 1]) / determinant,
    ]


def _more_factors(matrix: dict[tuple[int, int], Planes], wanted: Sequence[Planes], eps: float) -> list[Planes]:
    fitted, kept = _unknowns(matrix, wanted), structure_factors(matrix, len(wanted), eps)
    share = structure_share(matrix, len(wanted))
    return [own + share * (other - own) for own, other in zip(fitted, kept, strict=True)]


def structure_share(matrix: dict[tuple[int, int], Planes], size: int) -> Planes:
    """Share of `structure_factors`, 0..1; the fit has the rest."""
    return np.asarray(EDGE**2 / (EDGE**2 + strongest_variance(matrix, size)))


def below_white(mean: Planes, matrix: dict[tuple[int, int], Planes], size: int, eps: float) -> Planes:
    """The windows' mean L*, lower where the contrast of `structure_factors` would else end in white: about the sun,
    where all exposures but one clip, the merged lightness is white all over. Hardly so beside strong edges: halos.
    """
    deviation = np.sqrt(np.maximum(strongest_variance(matrix, size) - eps, 0))
    share = structure_share(matrix, size)
    return np.asarray(mean - share**2 * np.maximum(mean + HEADROOM * deviation - 100, 0))


def strongest_variance(matrix: dict[tuple[int, int], Planes], size: int) -> Planes:
    """The largest of the variances, those on the diagonal."""
    return np.asarray(np.max([matrix[i, i] for i in range(size)], axis=0))


def structure_factors(matrix: dict[tuple[int, int], Planes], size: int, eps: float) -> list[Planes]:
    """Factor on each of `size` exposures with which their sum has the variance of the strongest in every window.

    matrix: covariances (i, j), i <= j, in windows, L* squared, with `eps` added to the variances. The exposures'
    structures are weighted by variance. Contrast below the root of `eps` counts as noise and goes.
    """
    strongest = strongest_variance(matrix, size)
    weights = [matrix[i, i] / strongest for i in range(size)]
    spread = np.sum([(1 + (i != j)) * weights[i] * weights[j] * plane for (i, j), plane in matrix.items()], axis=0)
    gain = np.sqrt(np.maximum(strongest - eps, 0) / np.maximum(spread, strongest / MOST_GAIN**2))
    return [np.asarray(gain * weight) for weight in weights]


def _unknowns(matrix: dict[tuple[int, int], Planes], wanted: Sequence[Planes]) -> list[Planes]:
    """Of a symmetric system at every pixel; matrix[i, j] for i <= j."""
    size = len(wanted)
    square = [[matrix[min(i, j), max(i, j)] for j in range(size)] for i in range(size)]
    stacked = np.moveaxis(np.array(square), (0, 1), (-2, -1))
    found = np.linalg.solve(stacked, np.stack(wanted, axis=-1)[..., None])[..., 0]
    return [np.asarray(found[..., i]) for i in range(size)]


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
