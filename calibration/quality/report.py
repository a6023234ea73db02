"""All that one picture of a target shows of a camera's quality, as plain names and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from livemef.calibration.quality.chart import ChartQuality
from livemef.calibration.quality.edge import EdgeQuality
from livemef.calibration.quality.levels import Level, Standing, standing
from livemef.calibration.quality.sheet import Evenness, SheetQuality


def measured_values(
    chart: ChartQuality, edge: EdgeQuality | None, sl_one: bool, even: Evenness | None = None
) -> dict[str, float]:
    """What was measured, by the names of levels.Limits."""
    colours = np.array(chart.de00_without_sl if sl_one else chart.de00)
    highlights = chart.gain_modulation[0]
    values = {
        "colour_mean": float(colours.mean()),
        "colour_p90": float(np.percentile(colours, 90)),
        "colour_max": float(colours.max()),
        "white": chart.white_de_ab,
        "tone": float(np.abs(chart.tone_dl).max()),
        "gain_highlights": highlights,
        "noise": max(chart.noise_l),
    }
    if edge is not None:
        values |= {
            "sampling_efficiency": edge.sampling_efficiency,
            "sharpening": edge.largest,
            "misregistration": edge.misregistration_px,
        }
    if even is not None:
        values["non_uniformity"] = even.lightness
    return {name: round(value, 3) for name, value in values.items()}


def standings(
    chart: ChartQuality, edge: EdgeQuality | None, levels: Sequence[Level], even: Evenness | None = None
) -> tuple[Standing, ...]:
    """Where the picture stands against each level."""
    return tuple(standing(level, measured_values(chart, edge, level.sl_one, even)) for level in levels)


def report(
    chart: ChartQuality, edge: EdgeQuality | None, levels: Sequence[Level], sheet: SheetQuality | None = None
) -> dict[str, Any]:
    """Everything as JSON-like data: indicative, since it does not follow the publishers' procedures.

    sheet: of which chart and edge are a part, where a whole target was measured.
    """
    even = None if sheet is None else sheet.evenness
    found = []
    for one in standings(chart, edge, levels, even):
        found.append(
            {
                "level": one.level.name,
                "edition": one.level.edition,
                "status": one.level.status,
                "within": one.within,
                "worst": None if one.worst is None else one.worst.name,
                "criteria": {item.name: [item.measured, item.limit] for item in one.criteria},
                "unmeasured": list(one.unmeasured),
            }
        )
    return {
        "indicative": True,
        "measured": measured_values(chart, edge, False, even),
        "chart": asdict(chart),
        "edge": None if edge is None else asdict(edge),
        "edges": [] if sheet is None else [asdict(one) for one in sheet.edges],
        "evenness": None if even is None else asdict(even),
        "pixels_per_mm": None if sheet is None else sheet.pixels_per_mm,
        "levels": found,
    }
