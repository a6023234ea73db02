"""`livemef lab evaluate`: scores of fusion methods on a folder of scenes."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from livemef.capture.files.image_io import PICTURE_SUFFIXES, to_8_bit, write_atomically, write_picture
from livemef.capture.frame import Pixels
from livemef.fusion.methods.registry import METHODS, FuseFunction, find_method
from livemef.fusion.metrics.registry import score
from livemef.tools.exits import UserError
from livemef.tools.options import JsonOption
from livemef.tools.progress import progress_bar
from livemef.tools.research.contact_sheet import SheetRow, contact_sheet, thumbnail
from livemef.tools.scenes import Scene, find_scenes, read_scene

Scores = dict[str, float]
"""Metric by name, and `ms`, the milliseconds that fusing took."""

_JPEG_SUFFIXES = {".jpg", ".jpeg"}
_MEFB_QUALITY = 75
_WARM_UP_SIDE = 64
_HEADINGS = {
    "mef_ssim": "MEF-\nSSIM",
    "mef_ssim_colour": "MEF-\nSSIMc",
    "jnbm": "JNBM",
    "camera_colour_error": "camera\ncolour",
    "large_colour_errors": "above\n20",
    "camera_chroma_ratio": "camera\nchroma",
    "camera_hue_error": "camera\nhue °",
    "hue_error": "hue\nerr °",
    "chroma_ratio": "chroma\nratio",
    "q_abf": "Qabf",
    "entropy": "entropy",
    "average_gradient": "avg\ngrad",
    "spatial_frequency": "spat\nfreq",
    "ms": "ms",
}
_AGAINST_CAMERA = {"camera_colour_error", "large_colour_errors", "camera_chroma_ratio", "camera_hue_error"}
_NOT_BESIDE_CAMERA = {"hue_error", "chroma_ratio", "average_gradient", "spatial_frequency"}  # for want of room
_DECIMALS = {"mef_ssim": 4, "mef_ssim_colour": 4, "large_colour_errors": 3, "ms": 0}


@dataclass
class Evaluation:
    """Scores by method and scene, in the order of the request, and the rows of the contact sheet."""

    scores: dict[str, dict[str, Scores]]
    rows: list[SheetRow] = field(default_factory=list)

    def means(self) -> dict[str, Scores]:
        """Per method the mean of every metric over the scenes where it is defined; NaN where it is defined nowhere."""
        return {method: mean_scores(list(scenes.values())) for method, scenes in self.scores.items()}


def mean_scores(scenes: Sequence[Scores]) -> Scores:
    """Mean of every metric over the scenes where it is a number."""
    means = {}
    for metric in scenes[0]:
        values = [scores[metric] for scores in scenes if not math.isnan(scores[metric])]
        means[metric] = float(np.mean(values)) if values else math.nan
    return means


def choose_methods(names: str | None) -> list[str]:
    """The methods of a comma-separated list, None: all. Raises UserError or FusionError for a name that is none."""
    if names is None:
        return list(METHODS)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise UserError(f"--methods {names!r} names no method: there are {', '.join(METHODS)}")
    return list(dict.fromkeys(find_method(name).name for name in wanted))


def evaluate_scenes(
    scenes: Sequence[Scene],
    methods: Mapping[str, FuseFunction],
    jpeg_like_inputs: bool,
    progress: Progress,
    ends: bool = False,
) -> Evaluation:
    """Fuse every scene with every method and score the results. Raises UserError, CaptureError, FusionError.

    ends: only the darkest and the brightest exposure are fused; all of them show the camera's colours.
    """
    evaluation = Evaluation({name: {} for name in methods})
    bar = progress.add_task("evaluating", total=len(scenes) * len(methods))
    for index, scene in enumerate(scenes):
        series = [to_8_bit(picture) for picture in read_scene(scene).pixels]
        exposures = [series[0], series[-1]] if ends else series
        if index == 0:
            _warm_up(methods, exposures)
        resave = jpeg_like_inputs and any(path.suffix.lower() in _JPEG_SUFFIXES for path in scene.pictures)
        cells = {"under": thumbnail(exposures[0]), "over": thumbnail(exposures[-1])}
        for name, fuse in methods.items():
            progress.update(bar, description=f"{scene.name}: {name}")
            fused, milliseconds = _timed(fuse, exposures)
            scored = _resaved(fused) if resave else fused
            evaluation.scores[name][scene.name] = {**asdict(score(exposures, scored, series)), "ms": milliseconds}
            cells[name] = thumbnail(scored)
            progress.advance(bar)
        evaluation.rows.append(SheetRow(scene.name, cells))
    return evaluation


def _warm_up(methods: Mapping[str, FuseFunction], exposures: Sequence[Pixels]) -> None:
    """Call each method once on a corner of the pictures: first calls may compile or allocate, and are not timed."""
    corner = [np.ascontiguousarray(picture[:_WARM_UP_SIDE, :_WARM_UP_SIDE]) for picture in exposures]
    for fuse in methods.values():
        fuse(corner)


def _timed(fuse: FuseFunction, exposures: Sequence[Pixels]) -> tuple[Pixels, float]:
    started = time.perf_counter()
    fused = fuse(exposures)
    return fused, (time.perf_counter() - started) * 1e3


def _resaved(picture: Pixels) -> Pixels:
    """The picture after JPEG compression with the quality at which the MEFB benchmark saved its results."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _MEFB_QUALITY])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def as_json(evaluation: Evaluation) -> str:
    """The evaluation as one JSON object; a metric that is not defined is null."""
    means = evaluation.means()
    methods = {
        name: {
            "mean": _without_nan(means[name]),
            "scenes": {scene: _without_nan(scores) for scene, scores in scenes.items()},
        }
        for name, scenes in evaluation.scores.items()
    }
    return json.dumps({"methods": methods}, allow_nan=False)


def as_csv(evaluation: Evaluation) -> str:
    """The evaluation as CSV: a row for each scene and method; a metric that is not defined is an empty cell."""
    text = io.StringIO()
    rows = [
        {"scene": scene, "method": name, **_without_nan(scores)}
        for name, scenes in evaluation.scores.items()
        for scene, scores in scenes.items()
    ]
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: str(row["scene"])))
    return text.getvalue()


def _without_nan(scores: Scores) -> dict[str, float | None]:
    return {metric: None if math.isnan(value) else round(value, 6) for metric, value in scores.items()}


def _table(title: str, scores: Mapping[str, Scores]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("method", no_wrap=True)
    metrics = _shown(scores)
    for metric in metrics:
        table.add_column(_HEADINGS[metric], justify="right", no_wrap=True)
    for name, own in scores.items():
        mark = "*" if METHODS[name].our_reading else ""
        table.add_row(name + mark, *[_number(metric, own[metric]) for metric in metrics])
    return table


def _shown(scores: Mapping[str, Scores]) -> list[str]:
    """The metrics of a table, as many as fit: colour is judged by the camera's own where a full series shows it."""
    of_camera = any(not math.isnan(own["camera_colour_error"]) for own in scores.values())
    hidden = _NOT_BESIDE_CAMERA if of_camera else _AGAINST_CAMERA
    return [metric for metric in _HEADINGS if metric not in hidden]


def _number(metric: str, value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.{_DECIMALS.get(metric, 2)}f}"


def _print_tables(evaluation: Evaluation) -> None:
    out = Console()
    scenes = list(next(iter(evaluation.scores.values())))
    for scene in scenes:
        out.print(_table(escape(scene), {name: scores[scene] for name, scores in evaluation.scores.items()}))
    out.print(_table(f"mean of {len(scenes)} scenes", evaluation.means()))
    if any(METHODS[name].our_reading for name in evaluation.scores):
        out.print("* our reading: the paper's equations are not available, or leave this open")


def _refuse_sheet(sheet: Path) -> None:
    if sheet.suffix.lower() not in PICTURE_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise UserError(f"--sheet {sheet}: '{sheet.suffix}' names no picture format: use one of {known}")
    if not sheet.parent.is_dir():
        raise UserError(f"--sheet {sheet}: there is no folder {sheet.parent}; make it first")


def evaluate_command(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="One folder a scene, each with two or more exposures.")
    ],
    methods: Annotated[
        str | None, typer.Option("--methods", metavar="A,B", help=f"Some of: {', '.join(METHODS)}. Default: all.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="PICTURE", help="Write all results side by side.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the numbers: a row a scene and method.")
    ] = None,
    jpeg_like_inputs: Annotated[
        bool,
        typer.Option(
            "--jpeg-like-inputs",
            help="Score JPEG scenes as MEFB does: results re-saved as JPEG quality 75.",
        ),
    ] = False,
    ends: Annotated[
        bool,
        typer.Option(
            "--ends", help="Fuse only the darkest and the brightest exposure; the others show the true colours."
        ),
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Score fusion methods on a folder of scenes: a table of methods by metrics and milliseconds, by scene and mean.

    MEF-SSIM, JNBM, Qabf, entropy, average gradient and spatial frequency: higher is more. Scenes of three or more
    exposures: distance in a*, b* to the camera's own rendering at that lightness, share of pixels above 20, chroma over
    the camera's, hue in degrees. Others: hue and chroma against the better exposure of each pixel.

    Example: livemef lab evaluate scenes --methods cbm,mertens --csv scores.csv
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder")
    if sheet is not None:
        _refuse_sheet(sheet)
    if csv_file is not None and not csv_file.parent.is_dir():
        raise UserError(f"--csv {csv_file}: there is no folder {csv_file.parent}; make it first")
    scenes = find_scenes(directory)
    chosen = {name: METHODS[name].load() for name in choose_methods(methods)}
    with progress_bar() as progress:
        evaluation = evaluate_scenes(scenes, chosen, jpeg_like_inputs, progress, ends)
    if sheet is not None:
        write_picture(sheet, contact_sheet(["under", "over", *chosen], evaluation.rows))
    if csv_file is not None:
        write_atomically(csv_file, as_csv(evaluation).encode())
    if json_output:
        print(as_json(evaluation))
    else:
        _print_tables(evaluation)
