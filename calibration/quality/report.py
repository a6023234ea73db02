"""All that one picture of a target shows of a camera's quality, as plain names and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from livemef.calibration.quality.chart import ChartQuality
from livemef.calibration.quality.edge import EdgeQuality
from livemef.calibration.quality.levels import Level, Standing, standing


def measured_values(chart: ChartQuality, edge: EdgeQuality | None, sl_one: bool) -> dict[str, float]:
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
    return {name: round(value, 3) for name, value in values.items()}


def standings(chart: ChartQuality, edge: EdgeQuality | None, levels: Sequence[Level]) -> tuple[Standing, ...]:
    """Where the picture stands against each level."""
    return tuple(standing(level, measured_values(chart, edge, level.sl_one)) for level in levels)


def report(chart: ChartQuality, edge: EdgeQuality | None, levels: Sequence[Level]) -> dict[str, Any]:
    """Everything as JSON-like data: indicative, since it does not follow the publishers' procedures."""
    found = []
    for one in standings(chart, edge, levels):
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
        "measured": measured_values(chart, edge, sl_one=False),
        "chart": asdict(chart),
        "edge": None if edge is None else asdict(edge),
        "levels": found,
    }
