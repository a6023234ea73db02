"""A target shot: a ColorChecker in the place of an object, which sets the session's scale and shows its quality."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.calibration.colour_chart import reference_bgr
from livemef.calibration.quality.chart import find_chart, patch_pixels
from livemef.calibration.quality.levels import find_level, shipped_levels
from livemef.calibration.quality.report import report, standings
from livemef.calibration.quality.sheet import measure_sheet
from livemef.calibration.quality.targets import find_target, load_targets, shipped_targets
from livemef.tools.exits import UserError
from livemef.tools.field.project import Target

WHITE = 18
"""The white patch."""


@dataclass(frozen=True)
class TargetShot:
    """scale: factor on the merged light that gives the white patch its luminance. badge: quality in a line of words.

    quality: everything that was measured, JSON-like. summary: for the page. corners, de00, tone_dl: as in ChartQuality.
    pixels_per_mm: in the target's plane, None where the target has no scale.
    """

    scale: float
    badge: str
    quality: dict[str, Any]
    summary: dict[str, Any]
    corners: tuple[tuple[float, float], ...]
    de00: tuple[float, ...]
    tone_dl: tuple[float, ...]
    pixels_per_mm: float | None = None

    def write(self, folder: Path) -> None:
        """Put quality.json into a folder."""
        text = json.dumps({"scale": self.scale, "badge": self.badge, **self.quality}, indent=1)
        (folder / "quality.json").write_text(text, encoding="utf-8")


def measure_target(light: NDArray[np.float32], settings: Target) -> TargetShot:
    """From the merged light of a target (BGR, sRGB's primaries).

    Raises CalibrationError if there is no chart, UserError for corners that are not eight numbers.
    """
    if len(settings.corners) not in (0, 8):
        raise UserError(f"target.corners: {len(settings.corners)} numbers; x and y of four corners are needed")
    places = list(zip(settings.corners[::2], settings.corners[1::2], strict=True)) or None
    targets = load_targets(Path(settings.definitions)) if settings.definitions else shipped_targets()
    linear = np.asarray(light, np.float64)
    corners = find_chart(linear, places)
    white = float(np.median(patch_pixels(linear, corners)[WHITE].reshape(-1, 3), axis=0)[1])
    scale = float(reference_bgr()[WHITE, 1]) / white
    target = find_target(targets, settings.definition)
    sheet = measure_sheet(linear * scale, target, [(float(x), float(y)) for x, y in corners])
    levels = [find_level(shipped_levels(), name) for name in settings.levels]
    chart, edge = sheet.chart, sheet.edge
    found = standings(chart, edge, levels, sheet.evenness)
    words = [f"{one.level.name} {'within' if one.within else 'NOT within'}" for one in found]
    mean, largest = float(np.mean(chart.de00)), max(chart.de00)
    badge = f"indicative: dE00 mean {mean:.2f}, largest {largest:.2f}; {'; '.join(words)}"
    summary = {
        "de00_mean": round(mean, 2),
        "de00_max": round(largest, 2),
        "mtf50": None if edge is None else edge.mtf50,
        "pixels_per_inch": None if sheet.pixels_per_mm is None else round(sheet.pixels_per_mm * 25.4, 1),
        "levels": [
            {
                "name": one.level.name,
                "within": one.within,
                "worst": None if one.worst is None else one.worst.name,
                "status": one.level.status,
            }
            for one in found
        ],
    }
    quality = report(chart, edge, levels, sheet)
    return TargetShot(scale, badge, quality, summary, chart.corners, chart.de00, chart.tone_dl, sheet.pixels_per_mm)
