"""All that one picture of a target sheet shows: colour, sharpness at several places, evenness, scale."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.calibration.colour_chart import lab_d50
from livemef.calibration.errors import CalibrationError
from livemef.calibration.quality.chart import ChartQuality, draw_chart, measure_chart
from livemef.calibration.quality.chart_corners import CHART_SIZE, on_chart
from livemef.calibration.quality.edge import EdgeQuality, measure_edge
from livemef.calibration.quality.targets import Box, Place, Target

Values = NDArray[np.float64]

LEAST_FIELDS = 5
"""Even fields inside the picture, for its evenness to be stated."""
MARK_REACH = 0.27
"""Half the side of the box in which a mark is looked for, in patch sides."""
MARK_CONTRAST = 0.1
"""Linear light between mark and ground, 1 = white."""


@dataclass(frozen=True)
class Evenness:
    """How even the light on even fields is. lightness: largest less smallest mean L*, over the largest, 0..1.

    chroma: the largest distance of a field's mean a*, b* from those of all fields.
    """

    lightness: float
    chroma: float


@dataclass(frozen=True)
class SheetQuality:
    """What a picture of a target shows; what the target does not have, or lies outside the picture, is None or missing.

    edges: quality of each slanted edge. pixels_per_mm: at the sheet. marks: where the marks of the scale are, x and y
    in pixels.
    """

    chart: ChartQuality
    edges: tuple[EdgeQuality, ...] = ()
    evenness: Evenness | None = None
    pixels_per_mm: float | None = None
    marks: tuple[Place, Place] | None = None

    @property
    def edge(self) -> EdgeQuality | None:
        """The worst of each value over all edges; None without edges."""
        if not self.edges:
            return None
        return EdgeQuality(
            mtf50=min(edge.mtf50 for edge in self.edges),
            mtf10=min(edge.mtf10 for edge in self.edges),
            sampling_efficiency=min(edge.sampling_efficiency for edge in self.edges),
            largest=max(edge.largest for edge in self.edges),
            misregistration_px=max(edge.misregistration_px for edge in self.edges),
            tilt_degrees=min(edge.tilt_degrees for edge in self.edges),
        )


def measure_sheet(light: Values, target: Target, corners: Sequence[tuple[float, float]] | None = None) -> SheetQuality:
    """Quality of a picture of a target: linear light, height x width x 3, BGR with sRGB's primaries, judged as it is.

    corners: of its chart, as in ChartQuality; None: it is looked for. Raises CalibrationError if there is no chart, or
    a box that should hold an edge holds none.
    """
    chart = measure_chart(light, corners)
    places = np.array(chart.corners)
    edges = tuple(_edge(light, region) for box in target.edges if (region := _region(light, places, box)) is not None)
    marks = None if target.marks is None else _marks(light, places, target.marks)
    return SheetQuality(
        chart=chart,
        edges=edges,
        evenness=evenness(light, places, target.even),
        pixels_per_mm=_scale(places, target, marks),
        marks=marks,
    )


def draw_sheet(picture: NDArray[np.uint8], sheet: SheetQuality, target: Target) -> NDArray[np.uint8]:
    """The picture (BGR, uint8) with what was measured outlined: patches, boxes of edges and even grey, marks."""
    shown = draw_chart(picture, sheet.chart)
    corners = np.array(sheet.chart.corners)
    for boxes, colour in ((target.edges, (0, 200, 255)), (target.even, (0, 160, 0))):
        for box in boxes:
            region = _region(shown, corners, box)
            if region is not None:
                cv2.rectangle(shown, region[:2], (region[2] - 1, region[3] - 1), colour, 1)
    for x, y in sheet.marks or ():
        cv2.drawMarker(shown, (round(x), round(y)), (0, 0, 255), cv2.MARKER_CROSS, 12)
    return shown


def evenness(light: Values, corners: Values, boxes: Sequence[Box]) -> Evenness | None:
    """Of the boxes that lie inside the picture; None if they are too few."""
    fields = [_cut(light, region) for box in boxes if (region := _region(light, corners, box)) is not None]
    return evenness_of(fields) if len(fields) >= LEAST_FIELDS else None


def evenness_of(fields: Sequence[Values]) -> Evenness:
    """Of regions (height x width x 3, linear light) that should show one grey."""
    lab = np.array([lab_d50(field.reshape(-1, 3).mean(axis=0)) for field in fields])
    lightness = lab[:, 0]
    chroma = np.hypot(*(lab[:, 1:] - lab[:, 1:].mean(axis=0)).T)
    spread = float(np.ptp(lightness) / max(float(lightness.max()), 1e-6))
    return Evenness(round(spread, 4), round(float(chroma.max()), 3))


def _region(light: NDArray[Any], corners: Values, box: Box) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of a box in the picture, upright; None where it is not wholly inside."""
    x, y, width, height = box
    centre = on_chart(corners, [(x + width / 2, y + height / 2)])[0]
    across, down = on_chart(corners, [(x + width, y + height / 2), (x + width / 2, y + height)]) - centre
    half = np.array([np.linalg.norm(across), np.linalg.norm(down)])
    if abs(across[1]) > abs(across[0]):  # the sheet lies on its side
        half = half[::-1]
    (left, top), (right, bottom) = (centre - half).round().astype(int), (centre + half).round().astype(int)
    if left < 0 or top < 0 or right > light.shape[1] or bottom > light.shape[0]:
        return None
    return int(left), int(top), int(right), int(bottom)


def _cut(light: Values, region: tuple[int, int, int, int]) -> Values:
    left, top, right, bottom = region
    return light[top:bottom, left:right]


def _edge(light: Values, region: tuple[int, int, int, int]) -> EdgeQuality:
    left, top, right, bottom = region
    try:
        return measure_edge(_cut(light, region))
    except CalibrationError as error:
        place = f"{left},{top},{right - left},{bottom - top}"
        raise CalibrationError(f"the target's edge at {place} (x,y,width,height): {error}") from None


def _marks(light: Values, corners: Values, marks: tuple[Place, Place]) -> tuple[Place, Place] | None:
    found = [_mark(light, corners, mark) for mark in marks]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _mark(light: Values, corners: Values, mark: Place) -> Place | None:
    """Centroid of what is darker than half way between mark and ground; None where there is no such mark."""
    region = _region(light, corners, (mark[0] - MARK_REACH, mark[1] - MARK_REACH, 2 * MARK_REACH, 2 * MARK_REACH))
    if region is None:
        return None
    plane = _cut(light, region).mean(axis=2)
    dark, bright = np.percentile(plane, [5, 75])
    if bright - dark < MARK_CONTRAST:
        return None
    share = np.clip((bright - plane) / (bright - dark), 0, 1)
    share *= cv2.dilate((share > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8))
    y, x = np.mgrid[region[1] : region[3], region[0] : region[2]]
    return float((share * x).sum() / share.sum()), float((share * y).sum() / share.sum())


def _scale(corners: Values, target: Target, marks: tuple[Place, Place] | None) -> float | None:
    """Pixels a millimetre: between the marks, else over the chart's four sides."""
    if target.patch_mm is None:
        return None
    if target.marks is not None and marks is not None:
        return math.dist(*marks) / (math.dist(*target.marks) * target.patch_mm)
    sides = [math.dist(a, b) for a, b in itertools.pairwise([*corners, corners[0]])]
    return sum(sides) / (2 * sum(CHART_SIZE) * target.patch_mm)
