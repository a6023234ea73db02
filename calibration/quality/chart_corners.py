"""Where a ColorChecker lies, to a tenth of a pixel: from the centroids of its patches."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.calibration.colour_chart import patch_corners

Values = NDArray[np.float64]

REACH = 0.8
"""Half the side of the box in which a patch is looked for, in patch sides: more than a detector errs."""
LEAST_CONTRAST = 0.02
"""Between a patch and the frame around it, of linear light over that of the brightest patch."""
LEAST_PATCHES = 10
FARTHEST = 0.03
"""From where the fit puts a centroid, in patch sides, for it to count."""


CHART_SIZE = 6.75, 4.45
"""Width and height of the patches together, in patch sides."""


_UNIT_CORNERS: Values = np.array(
    [[0, 0], [CHART_SIZE[0], 0], [CHART_SIZE[0], CHART_SIZE[1]], [0, CHART_SIZE[1]]], np.float64
)
"""Outer corners of the corner patches, in patch sides."""
_UNIT_CENTRES = patch_corners(_UNIT_CORNERS, 1.0).mean(axis=1)


def on_chart(corners: Values, places: Sequence[tuple[float, float]]) -> Values:
    """Pixels (n x 2, x and y) of places in patch sides from the first corner, in the chart's plane."""
    onto = cv2.getPerspectiveTransform(_UNIT_CORNERS.astype(np.float32), corners.astype(np.float32))
    points = np.array(places, np.float64).reshape(1, -1, 2)
    return np.asarray(cv2.perspectiveTransform(points, onto)[0], np.float64)


def refined(light: Values, corners: Values) -> Values:
    """The corners (4 x 2, x and y) of a chart that was found roughly; unchanged where too few patches stand out.

    light: linear, height x width x 3. Each patch is the connected region about its centre that is more like the patch
    than like the frame; a homography is fitted to the regions' centroids, without those that do not agree.
    """
    outlines = patch_corners(corners, 1.0)
    white = float(max(np.median(_box(light, outline, 0.2)) for outline in outlines))
    seen, ideal = [], []
    for number, outline in enumerate(outlines):
        centroid = _centroid(light, outline, LEAST_CONTRAST * white)
        if centroid is not None:
            seen.append(centroid)
            ideal.append(_UNIT_CENTRES[number])
    if len(seen) < LEAST_PATCHES:
        return corners
    side = float(np.linalg.norm(outlines[:, 1] - outlines[:, 0], axis=1).mean())
    found, _ = cv2.findHomography(np.array(ideal), np.array(seen), cv2.RANSAC, max(FARTHEST * side, 0.3))
    if found is None:
        return corners
    return np.asarray(cv2.perspectiveTransform(_UNIT_CORNERS[None], found)[0], np.float64)


def _centroid(light: Values, outline: Values, contrast: float) -> Values | None:
    """Of the patch inside a rough outline (4 x 2); None where it does not stand out, or is not as large as a patch."""
    left, top = (outline.mean(axis=0) - REACH * _side(outline)).round().astype(int)
    box = _box(light, outline, REACH)
    if box.size == 0 or left < 0 or top < 0:
        return None
    patch = np.median(_box(light, outline, 0.2).reshape(-1, 3), axis=0)
    flat = box.reshape(-1, 3)
    dark = flat[flat.sum(axis=1) <= np.percentile(flat.sum(axis=1), 10)]
    frame = np.median(dark, axis=0)
    step = patch - frame
    if np.linalg.norm(step) < contrast:
        return None
    share = np.clip((box - frame) @ step / (step @ step), 0, 1).astype(np.float32)
    unlike = np.linalg.norm(box - patch, axis=2) > 2 * np.linalg.norm(step)  # a brighter neighbour
    _, regions = cv2.connectedComponents(((share > 0.5) & ~unlike).astype(np.uint8), connectivity=4)
    centre = regions.shape[0] // 2, regions.shape[1] // 2
    region = (regions == regions[centre]).astype(np.uint8)
    area = float(region.sum()) / _side(outline) ** 2
    if not regions[centre] or not 0.6 < area < 1.5:
        return None
    weight = share * cv2.dilate(region, np.ones((5, 5), np.uint8))
    y, x = np.mgrid[: box.shape[0], : box.shape[1]]
    centroid = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    return np.asarray(centroid + np.array([left, top]), np.float64)


def _side(outline: Values) -> float:
    return float(np.linalg.norm(np.roll(outline, -1, axis=0) - outline, axis=1).mean())


def _box(light: Values, outline: Values, reach: float) -> Values:
    """What lies within `reach` patch sides of the outline's centre."""
    low = (outline.mean(axis=0) - reach * _side(outline)).round().astype(int)
    high = (outline.mean(axis=0) + reach * _side(outline)).round().astype(int)
    return light[max(0, low[1]) : high[1] + 1, max(0, low[0]) : high[0] + 1]
