"""`livemef quality`: what a picture of a ColorChecker shows of a camera's colours, tones, noise and sharpness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from livemef.calibration.quality import levels as quality_levels
from livemef.calibration.quality import targets as quality_targets
from livemef.calibration.quality.chart import ChartQuality
from livemef.calibration.quality.edge import EdgeQuality, measure_edge
from livemef.calibration.quality.report import report
from livemef.calibration.quality.sheet import draw_sheet, measure_sheet
from livemef.capture.files.image_io import read_light, read_picture, to_8_bit, write_picture
from livemef.tools.exits import DONE, UserError
from livemef.tools.options import JsonOption


def quality_command(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A picture of a ColorChecker Classic.")],
    corners: Annotated[
        str | None,
        typer.Option(
            "--corners",
            metavar="X,Y,X,Y,X,Y,X,Y",
            help="Outer corners of the patches dark skin, bluish green, black, white; else the chart is looked for.",
        ),
    ] = None,
    edge: Annotated[
        str | None,
        typer.Option(
            "--edge", metavar="X,Y,W,H", help="A region with one slanted edge, dark beside bright, for the sharpness."
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            "--target", metavar="NAME", help="What is pictured; livemef-sheet has edges, even grey and a scale as well."
        ),
    ] = "colorchecker-classic",
    own_targets: Annotated[
        Path | None, typer.Option("--targets", metavar="FILE", help="A file of targets instead of the shipped ones.")
    ] = None,
    level: Annotated[
        str | None, typer.Option("--level", metavar="NAME", help="Hold it against this level only; else against all.")
    ] = None,
    own_levels: Annotated[
        Path | None, typer.Option("--levels", metavar="FILE", help="A file of levels instead of the shipped ones.")
    ] = None,
    drawing: Annotated[
        Path | None,
        typer.Option("--draw", metavar="FILE", help="Write the picture with the measured patches outlined."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Measure colour, white balance, tone, noise and sharpness from a picture of a chart, and hold them against levels.

    Of a target that has them also evenness and scale.

    The picture is judged as it is, by its own colour profile, and as sRGB without one. The levels (FADGI, ISO 19264-1,
    Metamorfoze) are indications: conformance needs the publisher's own target and procedure.

    Example: livemef quality chart.tif --edge 1200,400,80,120 --level fadgi-2023/general-collections/3
    """
    known = quality_levels.shipped_levels() if own_levels is None else quality_levels.load_levels(own_levels)
    targets = quality_targets.shipped_targets() if own_targets is None else quality_targets.load_targets(own_targets)
    shown = quality_targets.find_target(targets, target)
    wanted = known if level is None else (quality_levels.find_level(known, level),)
    places = None if corners is None else _pairs(_numbers("--corners", corners, 8))
    region = None if edge is None else tuple(int(value) for value in _numbers("--edge", edge, 4))
    light = np.asarray(read_light(picture), np.float64)
    sheet = measure_sheet(light, shown, places)
    chart = sheet.chart
    sharpness = sheet.edge if region is None else measure_edge(_cut(light, region))
    if drawing is not None:
        write_picture(drawing, draw_sheet(to_8_bit(read_picture(picture)), sheet, shown))
    found = report(chart, sharpness, wanted, sheet)
    if as_json:
        print(json.dumps(found))
    else:
        _print(found, chart, sharpness)
    return DONE


def _numbers(option: str, text: str, count: int) -> list[float]:
    """Raises UserError for what are not so many numbers."""
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise UserError(f"{option} {text}: expected {count} numbers with commas between")
    return numbers


def _pairs(numbers: list[float]) -> list[tuple[float, float]]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _cut(light: Any, region: tuple[int, ...]) -> Any:
    x, y, width, height = region
    if x < 0 or y < 0 or width < 1 or height < 1 or y + height > light.shape[0] or x + width > light.shape[1]:
        raise UserError(f"--edge {x},{y},{width},{height}: lies outside the picture, {light.shape[1]}x{light.shape[0]}")
    return light[y : y + height, x : x + width]


def _print(found: dict[str, Any], chart: ChartQuality, edge: EdgeQuality | None) -> None:
    measured = found["measured"]
    print(
        f"colour dE00 mean {measured['colour_mean']:.2f}, 90 % {measured['colour_p90']:.2f}, "
        f"largest {measured['colour_max']:.2f}; white a*b* {measured['white']:.2f}"
    )
    tones = ", ".join(f"{value:+.1f}" for value in chart.tone_dl)
    print(f"tone dL* white to black {tones}; noise {measured['noise']:.2f} L*")
    if edge is not None:
        print(
            f"sharpness MTF50 {edge.mtf50:.3f}, MTF10 {edge.mtf10:.3f} cycles/pixel, sampling efficiency "
            f"{edge.sampling_efficiency:.0%}, largest SFR {edge.largest:.2f}, channels "
            f"{edge.misregistration_px:.2f} px apart"
        )
    if found["evenness"] is not None:
        even = found["evenness"]
        print(f"even grey: L* differs by {even['lightness']:.1%}, a*b* by up to {even['chroma']:.2f}")
    if found["pixels_per_mm"] is not None:
        print(f"scale {found['pixels_per_mm']:.4g} pixels/mm, {found['pixels_per_mm'] * 25.4:.0f} per inch")
    table = Table("level", "within (indicative)", "worst criterion", "numbers", "not measured")
    for one in found["levels"]:
        worst = one["worst"]
        value = "" if worst is None else f"{worst} {one['criteria'][worst][0]} of {one['criteria'][worst][1]}"
        within = "yes" if one["within"] else "no"
        table.add_row(one["level"], within, value, one["status"], ", ".join(one["unmeasured"]))
    Console().print(table)
