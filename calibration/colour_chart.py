"""Colour correction matrix from a ColorChecker Classic: detection, measurement, least-squares fit.

The reference is X-Rite's CIELAB (D50) of charts made since November 2014, adapted to D65 after Bradford; differences
are CIEDE2000.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.calibration.drawing import BLACK, Picture, beside, captioned
from livemef.calibration.errors import CalibrationError
from livemef.calibration.flat_field import vignetting_of
from livemef.calibration.profile import ColourSection, FlatSection, Matrix3, ResponseSection, now
from livemef.calibration.response import curve_for
from livemef.calibration.source import Stack
from livemef.fusion.method.colour import (
    BGR_FROM_XYZ,
    WHITE_D65,
    XYZ_FROM_BGR,
    encode,
    lab_f,
    lab_f_inverse,
    lab_from_linear,
)
from livemef.fusion.metrics.ciede2000 import ciede2000

Values = NDArray[np.float64]

CHART_LAB_D50 = np.array(
    [
        [(37.54, 14.37, 14.92), (64.66, 19.27, 17.50), (49.32, -3.82, -22.54)],
        [(43.46, -12.74, 22.72), (54.94, 9.61, -24.79), (70.48, -32.26, -0.37)],
        [(62.73, 35.83, 56.50), (39.43, 10.75, -45.17), (50.57, 48.64, 16.67)],
        [(30.10, 22.54, -20.87), (71.77, -24.13, 58.19), (71.51, 18.24, 67.37)],
        [(28.37, 15.42, -49.80), (54.38, -39.72, 32.27), (42.43, 51.05, 28.62)],
        [(81.80, 2.67, 80.41), (50.63, 51.28, -14.12), (49.57, -29.71, -28.32)],
        [(95.19, -1.03, 2.93), (81.29, -0.57, 0.44), (66.89, -0.75, -0.06)],
        [(50.76, -0.13, 0.14), (35.63, -0.46, -0.48), (20.64, 0.07, -0.46)],
    ]
).reshape(24, 3)
"""Row by row from dark skin to black; half a row of the chart in each line."""

_WHITE_D50 = np.array([0.96422, 1.0, 0.82521])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _white_d65() -> Values:
    x, y = WHITE_D65
    return np.array([x / y, 1.0, (1 - x - y) / y])


_D50_FROM_D65 = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _WHITE_D50 / (_BRADFORD @ _white_d65())) @ _BRADFORD
"""3 x 3 on XYZ."""

_PITCH = 1.15
"""Distance between patch centres, in patch sides."""
_CENTRAL = 0.45
"""Share of a patch's side that is measured."""
_CLIPPED = 0.98
_SCALES, _CANDIDATES = (1.0, 2.0), 4
_LAST_SCALE = 0.6
"""Tried where a chart is found at no other."""
_FAR_OFF = 15.0
"""Mean difference after correction (CIEDE2000) above which the object is not a chart."""


@dataclass(frozen=True)
class Chart:
    """A chart in a picture, with its measured patches.

    corners: x, y of the outer corners of the patches dark skin, bluish green, black, white, in pixels. patches: linear
    BGR of the camera, 24 x 3. corrected: linear BGR (sRGB primaries) after correction.
    """

    corners: Values
    patches: Values
    corrected: Values


def reference_bgr() -> Values:
    """Reference values of the patches: linear BGR with sRGB's primaries under D65, 24 x 3; cyan lies outside 0..1."""
    y = (CHART_LAB_D50[:, 0] + 16) / 116
    compressed = np.stack([y + CHART_LAB_D50[:, 1] / 500, y, y - CHART_LAB_D50[:, 2] / 200], axis=1)
    xyz = lab_f_inverse(compressed) * _WHITE_D50
    return np.asarray((xyz @ np.linalg.inv(_D50_FROM_D65).T / _white_d65()) @ BGR_FROM_XYZ.T)


def lab_d50(bgr: Values) -> Values:
    """CIELAB under D50 of linear BGR with sRGB's primaries (..., 3), adapted after Bradford."""
    xyz = (bgr @ XYZ_FROM_BGR.T) * _white_d65() @ _D50_FROM_D65.T
    x, y, z = np.moveaxis(lab_f(np.maximum(xyz / _WHITE_D50, 0)), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def measure_colour(
    stack: Stack,
    response: ResponseSection | None,
    flat: FlatSection | None,
    corners: Sequence[tuple[float, float]] | None = None,
) -> tuple[ColourSection, Chart]:
    """Measure from a well exposed picture of the chart. corners: as in Chart; None: they are detected.

    Raises CalibrationError if there is no chart, or a patch is clipped.
    """
    light = curve_for(stack, response).light(stack.mean)
    if flat is not None:
        light = light / np.maximum(vignetting_of(flat, *light.shape[:2]), 0.05)
    candidates = [np.array(corners, float)] if corners is not None else find_charts(light)
    mean, turned, patches, matrix = _best_fit(light, candidates)
    codes = _patches(stack.mean, turned)
    if codes is not None and codes.max() > _CLIPPED * stack.white:
        raise CalibrationError("a patch of the chart is clipped: expose less, or light it more evenly")
    corrected = patches @ matrix.T
    differences = _differences(corrected)
    section = ColourSection(
        date=now(),
        matrix=_rows(matrix / matrix.sum(axis=1).max()),
        de00_patches=tuple(round(float(difference), 3) for difference in differences),
        de00_mean=round(mean, 3),
        de00_p90=round(float(np.percentile(differences, 90)), 3),
        de00_max=round(float(differences.max()), 3),
    )
    return section, Chart(turned, patches, corrected)


def _best_fit(light: Values, candidates: Sequence[Values]) -> tuple[float, Values, Values, Values]:
    """Mean difference (CIEDE2000), corners, patches and matrix of the candidate that looks most like a chart.

    Raises CalibrationError if none does.
    """
    best: tuple[float, Values, Values, Values] | None = None
    for found, turn in itertools.product(candidates, range(4)):  # the chart may be rotated
        turned = np.roll(found, turn, axis=0)
        patches = _patches(light, turned)
        if patches is None:
            continue
        matrix = _fit_matrix(patches)
        difference = float(np.mean(_differences(patches @ matrix.T)))
        if best is None or difference < best[0]:
            best = difference, turned, patches, matrix
    if best is None or best[0] > _FAR_OFF:
        raise CalibrationError(
            "what was found is no ColorChecker Classic: name the outer corners of its patches with --corners"
        )
    return best


def find_charts(light: Values) -> list[Values]:
    """Candidates: outer corners of the corner patches, around the chart, 4 x 2. Raises CalibrationError for none.

    OpenCV's chart detector is in OpenCV 5, and before in opencv-contrib. It misses some charts at one scale, so two are
    searched; not every candidate is a chart.
    """
    if not hasattr(cv2, "mcc"):
        raise CalibrationError(
            "this OpenCV cannot find a chart: name the outer corners of its patches with --corners, or install OpenCV 5"
        )
    shown = np.asarray(encode(np.clip(light / np.percentile(light, 99.5, axis=(0, 1)), 0, 1)) * 255, np.uint8)
    found = [box for scale in _SCALES for box in _boxes(shown, scale)] or _boxes(shown, _LAST_SCALE)
    if not found:
        raise CalibrationError(
            "no ColorChecker found: let it fill the picture, or say where its patches' corners are (--corners; "
            "in a project of field capture target.corners)"
        )
    return found


def _boxes(shown: NDArray[np.uint8], scale: float) -> list[Values]:
    """What OpenCV's detector takes for charts in a picture of another size."""
    picture = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    detector: Any = cv2.mcc.CCheckerDetector.create()  # its arguments changed with OpenCV 5
    try:
        if hasattr(detector, "setColorChartType"):
            detector.setColorChartType(cv2.mcc.MCC24)
            there = detector.process(picture, _CANDIDATES)
        else:
            there = detector.process(picture, cv2.mcc.MCC24, _CANDIDATES)
    except cv2.error:  # an assertion of its own fails on some pictures (OpenCV 5.0)
        return []
    checkers = detector.getListColorChecker() if there else []
    return [np.asarray(checker.getBox(), float).reshape(4, 2) / scale for checker in checkers]


def patch_corners(corners: Values, share: float) -> Values:
    """Corners of the central `share` of each patch, 24 x 4 x 2 (x, y)."""
    width, height = 5 * _PITCH + 1, 3 * _PITCH + 1
    chart = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    onto = cv2.getPerspectiveTransform(chart, corners.astype(np.float32))
    half = share / 2
    centres = np.array([[column * _PITCH + 0.5, row * _PITCH + 0.5] for row in range(4) for column in range(6)])
    offsets = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    places = (centres[:, None] + offsets).reshape(1, -1, 2).astype(np.float32)
    return np.asarray(cv2.perspectiveTransform(places, onto), float).reshape(24, 4, 2)


def _patches(picture: NDArray[np.floating[Any]], corners: Values) -> Values | None:
    """Median of the centre of each patch, 24 x 3; None if one lies outside the picture or is smaller than a pixel."""
    means = []
    for outline in patch_corners(corners, _CENTRAL):
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.round(outline).astype(np.int32), 1)
        if not mask.any():
            return None
        means.append(np.median(picture[mask > 0], axis=0))
    return np.array(means, float)


def _fit_matrix(patches: Values) -> Values:
    """3 x 3 by least squares, patches weighted by the slope of CIELAB's lightness, so that dark ones count more."""
    wanted = reference_bgr()
    luminance = np.clip(wanted.mean(axis=1), 0.01, 1)
    weight = luminance[:, None] ** (-2 / 3)
    return np.asarray(np.linalg.lstsq(patches * weight, wanted * weight, rcond=None)[0].T)


def _differences(corrected: Values) -> Values:
    seen = np.stack(lab_from_linear(corrected), axis=-1)
    wanted = np.stack(lab_from_linear(reference_bgr()), axis=-1)
    return np.asarray(ciede2000(seen, wanted), float)


def _rows(matrix: Values) -> Matrix3:
    first, second, third = ((float(f"{a:.7g}"), float(f"{b:.7g}"), float(f"{c:.7g}")) for a, b, c in matrix)
    return first, second, third


def draw(section: ColourSection, chart: Chart, stack: Stack) -> Picture:
    """The detected patches, and each corrected patch around its reference."""
    shown = np.ascontiguousarray((stack.mean / stack.white * 255).clip(0, 255).astype(np.uint8))
    for outline in patch_corners(chart.corners, _CENTRAL):
        cv2.polylines(shown, [np.round(outline).astype(np.int32)], True, (255, 255, 255), 1, cv2.LINE_AA)
    side, wanted = 80, reference_bgr()
    table = np.full((4 * side, 6 * side, 3), 40, np.uint8)
    for number, difference in enumerate(section.de00_patches):
        y, x = (place * side for place in divmod(number, 6))
        for colour, margin in ((chart.corrected[number], 3), (wanted[number], 22)):
            code = np.round(encode(np.clip(colour, 0, 1)) * 255).astype(np.uint8)
            table[y + margin : y + side - margin, x + margin : x + side - margin] = code
        light = wanted[number].mean() > 0.2
        ink = BLACK if light else (255, 255, 255)
        cv2.putText(table, f"{difference:.1f}", (x + 26, y + 44), cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
    text = f"dE00 mean {section.de00_mean:.2f}, p90 {section.de00_p90:.2f}, max {section.de00_max:.2f}"
    width = 640
    scaled = cv2.resize(shown, (width, round(width * shown.shape[0] / shown.shape[1])), interpolation=cv2.INTER_AREA)
    return beside(
        captioned(np.asarray(scaled, np.uint8), "found"), captioned(table, f"corrected around reference: {text}")
    )
