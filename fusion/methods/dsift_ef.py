"""DSIFT_EF: Liu, Wang, "Dense SIFT for ghost-free multi-exposure fusion", J. Vis. Commun. Image R. 31, 2015.

`fuse` is the static, winner-take-all setting with scale 16, which MEFB ran; it reproduces its published scores.
`fuse_dynamic` is the setting for scenes in which things move: an exposure counts where its neighbourhood looks like the
others'.
The weight maps are refined with the recursive filter of Gastal, Oliveira, "Domain transform for edge-aware image and
video processing", ACM TOG 30(4), 2011.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.methods.checks import check_exposures, to_uint8
from livemef.fusion.metrics.mef_ssim import RGB2GRAY

Plane = NDArray[np.float64]

_SCALE = 16
_ORIENTATIONS = 8
_SHARPNESS = 9
"""Exponent of the cosine that assigns a gradient to orientations; odd, so that the opposite direction is cut."""
_DARKEST, _BRIGHTEST = 0.10, 0.90
_LEAST_NORM, _LARGEST_PART = 1.0, 0.2
_LIKENESS, _NEIGHBOURS = 0.05, 19
"""Scale of the distance between descriptors, and the side of the window over which it is averaged."""
_SIGMA_SPACE, _SIGMA_RANGE, _ITERATIONS = 100.0, 4.0, 3


def fuse(exposures: Sequence[Pixels]) -> Pixels:
    """Per pixel the exposure with the most gradient wins; the maps are smoothed along edges; a weighted mean in RGB.

    exposures: two or more HxWx3 BGR uint8 of one size, dark to bright. Returns HxWx3 BGR uint8. Raises FusionError
    for anything else.
    """
    pictures, greys = _read(exposures)
    winner = np.argmax([_contrast(grey) for grey in greys], axis=0)
    exposed = _normalised(_exposed(greys))
    return _mixed(pictures, [(winner == index) * mask for index, mask in enumerate(exposed)])


def fuse_dynamic(exposures: Sequence[Pixels]) -> Pixels:
    """As `fuse`, for moving scenes: weights are contrast times likeness to the other exposures.

    Takes about 300 bytes a pixel and exposure.
    """
    pictures, greys = _read(exposures)
    alike = [mask * like for mask, like in zip(_exposed(greys), _likeness(greys), strict=True)]
    return _mixed(pictures, [_contrast(grey) * part for grey, part in zip(greys, _normalised(alike), strict=True)])


def _read(exposures: Sequence[Pixels]) -> tuple[list[Plane], list[Plane]]:
    check_exposures(exposures)
    pictures = [picture.astype(np.float64) / 255 for picture in exposures]
    return pictures, [np.asarray(cv2.transform(picture, RGB2GRAY), np.float64) for picture in pictures]


def _exposed(greys: Sequence[Plane]) -> list[Plane]:
    return [((grey > _DARKEST) & (grey < _BRIGHTEST)).astype(np.float64) for grey in greys]


def _mixed(pictures: Sequence[Plane], maps: Sequence[Plane]) -> Pixels:
    weights = _normalised([_refine(plane, picture) for plane, picture in zip(maps, pictures, strict=True)])
    fused = sum(weight[..., np.newaxis] * picture for weight, picture in zip(weights, pictures, strict=True))
    return to_uint8(255 * np.asarray(fused))


def _normalised(planes: Sequence[Plane]) -> list[Plane]:
    total = np.sum([plane + 1e-25 for plane in planes], axis=0)
    return [(plane + 1e-25) / total for plane in planes]


def _contrast(grey: Plane) -> Plane:
    """Sum of the un-normalised dense SIFT descriptor (2x2 cells, 8 orientations) at every pixel.

    The sum is linear in the orientation planes, so these are added up before the one cell filter.
    """
    return np.asarray(sum(_cells(np.asarray(sum(_orientations(_padded(grey))), np.float64), grey.shape)))


def _likeness(greys: Sequence[Plane]) -> list[Plane]:
    """For each exposure how much every pixel's neighbourhood looks like that of the other exposures."""
    descriptors = [_descriptor(grey) for grey in greys]
    total = [np.zeros(grey.shape) for grey in greys]
    for one, other in itertools.combinations(range(len(greys)), 2):
        distance = np.square(descriptors[one] - descriptors[other]).sum(axis=2, dtype=np.float64)
        window = (_NEIGHBOURS, _NEIGHBOURS)
        near = np.exp(-0.5 * cv2.blur(distance, window, borderType=cv2.BORDER_REPLICATE) / _LIKENESS**2)
        total[one] += near
        total[other] += near
    return total


def _descriptor(grey: Plane) -> NDArray[np.float32]:
    """The dense SIFT descriptor, HxWx32; those of some length are brought to length 1, no part above 0.2 before."""
    planes = [cell for plane in _orientations(_padded(grey)) for cell in _cells(plane, grey.shape)]
    found = np.stack(planes, axis=2).astype(np.float32)
    norm = np.linalg.norm(found, axis=2, keepdims=True)
    cut = np.minimum(found / np.maximum(norm, 1e-12), _LARGEST_PART)
    unit = cut / np.maximum(np.linalg.norm(cut, axis=2, keepdims=True), 1e-12)
    return np.asarray(np.where(norm > _LEAST_NORM, unit, found), np.float32)


def _padded(grey: Plane) -> Plane:
    padded = np.pad(grey, _SCALE // 2 - 1)
    return padded / max(float(padded.max()), 1e-12)


def _cells(plane: Plane, shape: tuple[int, ...]) -> list[Plane]:
    """A padded orientation plane summed over the 2 x 2 cells around every pixel."""
    margin = _SCALE // 2 - 1
    taps = np.arange(_SCALE, 0, -1)
    window = np.maximum(0.0, 1 - np.abs(taps - (_SCALE / 2 - 0.5)) / (_SCALE / 2))
    cells = cv2.sepFilter2D(plane, cv2.CV_64F, window, window, anchor=(margin, margin), borderType=cv2.BORDER_CONSTANT)
    height, width = shape
    near, far = margin - _SCALE // 4, margin + _SCALE // 4
    return [np.asarray(cells[y : y + height, x : x + width]) for y in (near, far) for x in (near, far)]


def _orientations(grey: Plane) -> Iterator[Plane]:
    """Gradient magnitude, counted in every orientation by a power of the cosine between them."""
    blur = cv2.getGaussianKernel(5, 1.0)
    vertical, horizontal = np.gradient(blur @ blur.T)
    along_x = _correlate(grey, horizontal * 2 / np.abs(horizontal).sum())
    along_y = _correlate(grey, vertical * 2 / np.abs(vertical).sum())
    magnitude = np.hypot(along_x, along_y)
    unit_x, unit_y = along_x / np.maximum(magnitude, 1e-300), along_y / np.maximum(magnitude, 1e-300)
    for angle in np.arange(_ORIENTATIONS) * 2 * np.pi / _ORIENTATIONS:
        cosine = np.maximum(unit_x * np.cos(angle) + unit_y * np.sin(angle), 0.0)
        yield cosine**_SHARPNESS * magnitude


def _correlate(plane: Plane, kernel: Plane) -> Plane:
    return np.asarray(cv2.filter2D(plane, cv2.CV_64F, kernel, borderType=cv2.BORDER_CONSTANT))


def _refine(plane: Plane, guide: Plane) -> Plane:
    """Domain-transform recursive filter of a plane (HxW), edges from the guide (HxWx3, 0..1)."""
    ratio = _SIGMA_SPACE / _SIGMA_RANGE
    across = 1 + ratio * np.abs(np.diff(guide, axis=1)).sum(axis=2)
    down = 1 + ratio * np.abs(np.diff(guide, axis=0)).sum(axis=2)
    for iteration in range(_ITERATIONS):
        sigma = _SIGMA_SPACE * np.sqrt(3) * 2.0 ** (_ITERATIONS - iteration - 1) / np.sqrt(4.0**_ITERATIONS - 1)
        feedback = np.exp(-np.sqrt(2) / sigma)
        plane = _smooth_rows(np.ascontiguousarray(plane.T), feedback**across.T).T
        plane = _smooth_rows(plane, feedback**down)
    return plane


def _smooth_rows(plane: Plane, feedback: Plane) -> Plane:
    """One first-order recursion down the rows and one back up; feedback[i] couples row i and row i + 1."""
    rows, coupling = plane.copy(), np.ascontiguousarray(feedback)
    for index in range(1, len(rows)):
        rows[index] += coupling[index - 1] * (rows[index - 1] - rows[index])
    for index in range(len(rows) - 2, -1, -1):
        rows[index] += coupling[index] * (rows[index + 1] - rows[index])
    return rows
