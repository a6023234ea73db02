"""How true the colours and tones of a picture are, from a ColorChecker Classic in it.

Differences are CIEDE2000 in CIELAB under D50, which is what the chart's maker states. The picture is judged as it is:
neither its exposure nor its white balance is corrected first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.calibration.colour_chart import CHART_LAB_D50, find_charts, lab_d50, patch_corners, reference_bgr
from livemef.calibration.errors import CalibrationError
from livemef.calibration.quality.chart_corners import refined
from livemef.fusion.metrics.ciede2000 import ciede2000

Values = NDArray[np.float64]

GREYS = slice(18, 24)
"""White to black, the chart's last row."""
CENTRAL = 0.45
"""Share of a patch's side that is measured."""
FAR_OFF = 30.0
"""Mean difference above which what was found is no chart that was pictured as intended."""


@dataclass(frozen=True)
class ChartQuality:
    """What a chart shows. Patches stand row by row, from dark skin to black.

    de00: colour difference of each patch; de00_without_sl: the same with CIEDE2000's weight of lightness SL = 1, as
    Metamorfoze asks. white_de_ab: the largest difference in a*, b* of a grey patch, Euclidean. tone_dl: L* of each grey
    patch, white to black, less what it should be. gain_modulation: rise of L* over that of the reference, between
    neighbouring greys. noise_l: standard deviation of L* inside each grey patch, without its slope. corners: x, y of
    the outer corners of the patches dark skin, bluish green, black, white, in pixels.
    """

    de00: tuple[float, ...]
    de00_without_sl: tuple[float, ...]
    white_de_ab: float
    tone_dl: tuple[float, ...]
    gain_modulation: tuple[float, ...]
    noise_l: tuple[float, ...]
    corners: tuple[tuple[float, float], ...]


def measure_chart(light: Values, corners: Sequence[tuple[float, float]] | None = None) -> ChartQuality:
    """Quality of a picture of a ColorChecker Classic: linear light, height x width x 3, BGR with sRGB's primaries.

    corners: as in ChartQuality; None: the chart is looked for, in any of four orientations.
    Raises CalibrationError if there is no chart, or a patch lies outside the picture.
    """
    best = np.array(corners, float) if corners is not None else find_chart(light)
    best = min((np.roll(best, turn, axis=0) for turn in range(4)), key=lambda found: _mean_difference(light, found))
    if _mean_difference(light, best) > FAR_OFF:
        raise CalibrationError(
            "what was found is no ColorChecker Classic: name the outer corners of its patches with --corners"
        )
    return _measured([lab_d50(pixels) for pixels in patch_pixels(light, best)], best)


def find_chart(light: Values, corners: Sequence[tuple[float, float]] | None = None) -> Values:
    """Corners, 4 x 2 as in ChartQuality, of the chart in a picture, whatever its exposure; corners: as if found there.

    Raises CalibrationError if there is none.
    """
    candidates = [np.array(corners, float)] if corners is not None else find_charts(light)
    turned = [np.roll(found, turn, axis=0) for found in candidates for turn in range(4)]
    scaled = [(_scaled_difference(light, found), found) for found in turned]
    difference, best = min(scaled, key=lambda pair: pair[0])
    if difference > FAR_OFF:
        raise CalibrationError(
            "what was found is no ColorChecker Classic: name the outer corners of its patches (--corners)"
        )
    return best if corners is not None else refined(light, best)


def patch_pixels(light: Values, corners: Values) -> list[Values]:
    """The pixels of the middle of each patch, rows x columns x 3 (of its bounding box). Raises CalibrationError."""
    height, width = light.shape[:2]
    found = []
    for outline in patch_corners(corners, CENTRAL / 2**0.5):  # a box that stays inside a turned patch
        (left, top), (right, bottom) = outline.min(axis=0).round().astype(int), outline.max(axis=0).round().astype(int)
        if left < 0 or top < 0 or right >= width or bottom >= height or right - left < 2 or bottom - top < 2:
            raise CalibrationError("a patch of the chart lies outside the picture or is smaller than three pixels")
        found.append(light[top : bottom + 1, left : right + 1])
    return found


def _mean_difference(light: Values, corners: Values) -> float:
    try:
        medians = [np.median(pixels.reshape(-1, 3), axis=0) for pixels in patch_pixels(light, corners)]
    except CalibrationError:
        return float("inf")
    return float(np.mean(ciede2000(lab_d50(np.array(medians)), CHART_LAB_D50)))


def _scaled_difference(light: Values, corners: Values) -> float:
    """The mean difference when the picture's exposure is set by the white patch."""
    try:
        white = float(np.median(patch_pixels(light, corners)[GREYS.start][..., 1]))
    except CalibrationError:
        return float("inf")
    return _mean_difference(light * (float(reference_bgr()[GREYS.start, 1]) / max(white, 1e-6)), corners)


def _measured(patches: Sequence[Values], corners: Values) -> ChartQuality:
    lab = np.array([np.median(patch.reshape(-1, 3), axis=0) for patch in patches])
    greys, wanted = lab[GREYS], CHART_LAB_D50[GREYS]
    return ChartQuality(
        de00=_rounded(ciede2000(lab, CHART_LAB_D50)),
        de00_without_sl=_rounded(ciede2000(lab, CHART_LAB_D50, lightness_weight=False)),
        white_de_ab=round(float(np.hypot(*(greys - wanted)[:, 1:].T).max()), 3),
        tone_dl=_rounded((greys - wanted)[:, 0]),
        gain_modulation=_rounded(np.diff(greys[:, 0]) / np.diff(wanted[:, 0])),
        noise_l=_rounded(np.array([_noise(patch[..., 0]) for patch in patches[GREYS]])),
        corners=tuple((float(x), float(y)) for x, y in corners),
    )


def _noise(plane: Values) -> float:
    """Standard deviation about the plane's best fitting slope: uneven light is not noise."""
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    slopes = np.stack([np.ones(plane.size), x.ravel(), y.ravel()], axis=1)
    fit = slopes @ np.linalg.lstsq(slopes, plane.ravel(), rcond=None)[0]
    return float(np.sqrt(np.square(plane.ravel() - fit).sum() / max(1, plane.size - 3)))


def _rounded(values: NDArray[np.floating[Any]]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


def patch_outlines(quality: ChartQuality, shape: tuple[int, ...]) -> Values:
    """Outlines of the measured patches, 24 x 4 x 2, to be drawn into a picture of this shape."""
    outlines = patch_corners(np.array(quality.corners), CENTRAL)
    return np.clip(outlines, 0, np.array(shape[1::-1]) - 1)


def draw_chart(picture: NDArray[np.uint8], quality: ChartQuality) -> NDArray[np.uint8]:
    """The picture (BGR, uint8) with the measured patches outlined and their differences written in."""
    shown = np.ascontiguousarray(picture)
    for outline, difference in zip(patch_outlines(quality, shown.shape), quality.de00, strict=True):
        points = outline.round().astype(np.int32)
        cv2.polylines(shown, [points], True, (255, 255, 255), 1, cv2.LINE_AA)
        x, y = (int(value) for value in points.mean(axis=0))
        for grey, thickness in ((0, 3), (255, 1)):
            style = (cv2.FONT_HERSHEY_SIMPLEX, 0.4, (grey, grey, grey), thickness, cv2.LINE_AA)
            cv2.putText(shown, f"{difference:.1f}", (x - 12, y + 4), *style)
    return shown
