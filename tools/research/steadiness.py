"""`livemef lab steadiness`: how steady live fusion is on footage, beside motion off and OpenCV's Mertens."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from livemef.capture.frame import CapturedBracket, Pixels
from livemef.fusion.bracket_fuser import moments_of
from livemef.fusion.fuser import Fuser
from livemef.fusion.methods.registry import find_method
from livemef.fusion.metrics import steadiness
from livemef.fusion.metrics.steadiness import Steadiness, SteadinessMeter, StillPixels
from livemef.fusion.open_fuser import open_fuser
from livemef.tools.config.sources import load_config
from livemef.tools.exits import DONE, UserError
from livemef.tools.footage import FootageSource, footage_uri
from livemef.tools.options import ConfigOption, DeviceOption, JsonOption, ModelOption, ThreadsOption
from livemef.tools.progress import progress_bar

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mxf"})
INDEX = "index.csv"
SKIPPED_CYCLES = 2
"""The first fused frames are not judged: there nothing has been learned yet."""
LIVE, OFF, MERTENS = "live", "off", "mertens"

Way = Callable[[CapturedBracket], Pixels]


@dataclass(frozen=True)
class Clip:
    """A clip, and how it alternates; None: as the command's options say."""

    path: Path
    exposures: int | None = None
    ev: str | None = None


def find_clips(folder: Path) -> tuple[Clip, ...]:
    """The clips that index.csv (columns file, exposures, ev_step) lists, else every video in the folder, by name.

    Raises UserError if there are none, or the index is not such a table.
    """
    index = folder / INDEX
    if index.is_file():
        with index.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if not rows or not {"file", "exposures", "ev_step"} <= rows[0].keys():
            raise UserError(f"{index}: needs the columns file, exposures, ev_step, and a row for each clip")
        if not all(row["exposures"].isdecimal() for row in rows):
            raise UserError(f"{index}: exposures must be whole numbers")
        return tuple(Clip(folder / row["file"], int(row["exposures"]), row["ev_step"] or None) for row in rows)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    clips = tuple(Clip(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES)
    if not clips:
        raise UserError(f"{folder}: no videos ({' '.join(sorted(VIDEO_SUFFIXES))}) in it")
    return clips


def judge(clip: Clip, ways: dict[str, Callable[[], Way]], frames: int | None) -> dict[str, Steadiness]:
    """Fuse a clip in each way and measure it. frames: at most so many brackets; None = all."""
    meters = {name: SteadinessMeter() for name in ways}
    fuse = {name: start() for name, start in ways.items()}
    still = StillPixels()
    with FootageSource(footage_uri(clip.path, clip.exposures, clip.ev)) as source:
        skipped = SKIPPED_CYCLES * source.exposures
        for number, bracket in enumerate(source.brackets()):
            if frames is not None and number >= frames:
                break
            newest = bracket.records.index(bracket.bracket.newest)
            where = still.push(newest, bracket.pixels[newest])
            for name, way in fuse.items():
                fused = way(bracket)
                if number >= skipped:
                    meters[name].push(steadiness.lightness(fused), where)
    return {name: meter.result() for name, meter in meters.items()}


def _ways(live: Fuser, off: Fuser) -> dict[str, Callable[[], Way]]:
    """For each way of fusing what begins a clip."""
    mertens = find_method(MERTENS).load()

    def live_way() -> Way:
        return lambda bracket: live.fuse(bracket.pixels, moments=moments_of(bracket.bracket)).pixels

    return {
        LIVE: live_way,
        OFF: lambda: lambda bracket: off.fuse(bracket.pixels).pixels,
        MERTENS: lambda: lambda bracket: mertens(bracket.pixels),
    }


def totals(results: Sequence[dict[str, Steadiness]]) -> dict[str, dict[str, float]]:
    """By way of fusing: median, p90, max of the pulse; means of the others; clips that pulse .02 above off."""
    summed = {}
    for name in results[0]:
        found = [result[name] for result in results]
        worse = sum(result[name].pulse > result[OFF].pulse + 0.02 for result in results)
        means = {key: _mean([getattr(one, key) for one in found]) for key in ("blocks", "still", "all_pixels")}
        summed[name] = steadiness.summary([one.pulse for one in found]) | means | {"above_off": float(worse)}
    return summed


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]  # without NaN
    return sum(known) / len(known) if known else float("nan")


def _row(clip: Clip, result: dict[str, Steadiness]) -> dict[str, Any]:
    ways = {
        name: {key: _number(value) for key, value in dataclasses.asdict(one).items()} for name, one in result.items()
    }
    return {"clip": clip.path.name, "exposures": clip.exposures} | ways


def _number(value: float) -> float | None:
    return None if value != value else round(value, 4)


def _print_table(clips: Sequence[Clip], results: Sequence[dict[str, Steadiness]]) -> None:
    table = Table(title="pulse and flicker, L*", box=None)
    names = list(results[0])
    for heading in ("clip", *(f"pulse {name}" for name in names), *(f"still {name}" for name in names)):
        table.add_column(heading, justify="left" if heading == "clip" else "right")
    for clip, result in zip(clips, results, strict=True):
        values = [*(result[name].pulse for name in names), *(result[name].still for name in names)]
        table.add_row(clip.path.name, *(f"{value:.3f}" for value in values))
    console = Console()
    console.print(table)
    for name, total in totals(results).items():
        console.print(
            f"{name:8} pulse median {total['median']:.3f}, p90 {total['p90']:.3f}, max {total['max']:.3f}; "
            f"still pixels {total['still']:.3f}, all {total['all_pixels']:.3f}, blocks {total['blocks']:.3f}; "
            f"{total['above_off']:.0f} clips more than .02 above off",
            highlight=False,
        )


def steadiness_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Clips, and index.csv: file, exposures, ev_step.")],
    exposures: Annotated[int, typer.Option("--exposures", min=2, max=8, help="Where index.csv does not say.")] = 2,
    ev: Annotated[str | None, typer.Option("--ev", metavar="STOPS", help="Where index.csv does not say.")] = None,
    frames: Annotated[int | None, typer.Option("--frames", min=3, help="Judge at most so many of each clip.")] = None,
    only: Annotated[str, typer.Option("--only", metavar="TEXT", help="Clips whose name has this in it.")] = "",
    model: ModelOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    config: ConfigOption = None,
    json_lines: JsonOption = False,
) -> int:
    """Measure how steady live fusion is on clips that alternate exposures, beside motion off and Mertens.

    pulse: median over time of |mean L* - mean of the two neighbouring frames'|. still: mean |second difference| of L*
    of pixels that stand still. The first two cycles of each clip are not judged.

    Example: livemef lab steadiness clips --frames 60
    """
    flags = {"runtime.model": model, "runtime.device": device, "runtime.threads": threads}
    settings = load_config(config, flags).config
    clips = [
        dataclasses.replace(clip, exposures=clip.exposures or exposures, ev=clip.ev or ev)
        for clip in find_clips(folder)
        if only in clip.path.name
    ]
    if not clips:
        raise UserError(f"{folder}: no clip has '{only}' in its name")
    runtime = settings.runtime
    live, off = (
        open_fuser(fusion, runtime.model, runtime.device, runtime.threads or None)
        for fusion in (settings.fusion, dataclasses.replace(settings.fusion, motion="off"))
    )
    results = []
    with progress_bar() as progress:
        bar = progress.add_task("judging", total=len(clips))
        for clip in clips:
            results.append(judge(clip, _ways(live, off), frames))
            progress.advance(bar)
            if json_lines:
                print(json.dumps(_row(clip, results[-1])), flush=True)
    if json_lines:
        print(json.dumps({"clips": len(clips)} | {name: _rounded(total) for name, total in totals(results).items()}))
    else:
        _print_table(clips, results)
    return DONE


def _rounded(total: dict[str, float]) -> dict[str, float | None]:
    return {key: _number(value) for key, value in total.items()}
