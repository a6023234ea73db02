"""`livemef bench`: time of fusing a bracket, compared with OpenCV's Mertens and with the memory bandwidth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from livemef.fusion.cpu.fuser import usable_cores
from livemef.fusion.open_fuser import open_fuser
from livemef.tools.bench.idle import measure_idle, render_idle
from livemef.tools.bench.latency import measure_latency, render_latency
from livemef.tools.bench.machine import machine_lines
from livemef.tools.bench.scene import parse_size
from livemef.tools.bench.timing import BenchResult, Spread, bench
from livemef.tools.config.sources import load_config
from livemef.tools.exits import UserError
from livemef.tools.options import (
    ChromaOption,
    ConfigOption,
    DeviceOption,
    GammaOption,
    JsonOption,
    ModelOption,
    MotionOption,
    NetworkLinesOption,
    ThreadsOption,
)
from livemef.tools.progress import progress_printer

REPORT_SIZES = ("1280x720", "1920x1080", "3840x2160")


def render(result: BenchResult) -> Table:
    """The result as a table."""
    width, height = result.size
    table = Table(title=f"{width}x{height}, {result.device}, {result.threads} threads", box=SIMPLE_HEAD)
    table.add_column("stage")
    for column in ("ms", "quartiles", "shortest", "CPU ms"):
        table.add_column(column, justify="right")
    for stage, spent in result.stages_ms.items():
        table.add_row(f"  {stage}", f"{spent:.1f}")
    table.add_row("bracket to picture", *_cells(result.fuse), style="bold")
    if result.has_motion:
        table.add_row("the same without motion", *_cells(result.still))
    table.add_row("OpenCV MergeMertens, same pictures", *_cells(result.mertens))
    if result.one_thread is not None and result.mertens_one_thread is not None:
        table.add_row("bracket to picture, one thread", *_cells(result.one_thread))
        table.add_row("OpenCV MergeMertens, one thread", *_cells(result.mertens_one_thread))
    table.add_row(f"only moving the pixels, at {result.memory_gb_s:.1f} GB/s", f"{result.floor_ms:.1f}")
    loops = "compiled loops" if result.compiled else "numpy loops: install with a C compiler for the fast ones"
    motion = f"; motion costs {100 * result.motion_cost:.0f} %" if result.has_motion else ""
    single = f" ({result.one_thread_speedup:.1f} on one thread each)" if result.one_thread_speedup else ""
    speed = f"{result.speedup_over_mertens:.1f} times as fast as Mertens{single}, {result.cpu_ratio:.1f} by CPU time"
    table.caption = f"{speed}; {result.peak_rss_mb:.0f} MB{motion}; {loops}"
    return table


def _cells(spread: Spread) -> list[str]:
    low, high = spread.quartiles
    return [f"{spread.median:.1f}", f"{low:.1f}-{high:.1f}", f"{spread.shortest:.1f}", f"{spread.cpu:.1f}"]


def report(results: list[BenchResult]) -> str:
    """What a maintainer needs of a machine that is not theirs: Markdown to be pasted into an issue."""
    lines = [
        *machine_lines(),
        "",
        "| size | threads | ms | quartiles | CPU ms | without motion | Mertens | ratio | on one thread | stages, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        low, high = one.fuse.quartiles
        stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in one.stages_ms.items())
        single = "" if one.one_thread is None else f"{one.one_thread.median:.1f} ({one.one_thread_speedup:.1f} x)"
        lines.append(
            f"| {one.size[0]}x{one.size[1]} | {one.threads} | {one.fuse.median:.1f} | {low:.1f}-{high:.1f} | "
            f"{one.fuse.cpu:.1f} | {one.still.median:.1f} | {one.mertens.median:.0f} | "
            f"{one.speedup_over_mertens:.1f} ({one.cpu_ratio:.1f} by CPU time) | {single} | {stages} |"
        )
    return "\n".join(lines)


def bench_command(
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Size of the pictures.")] = "1920x1080",
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, max=1000, help="Turns to time, of five brackets each.")
    ] = 5,
    exposures: Annotated[int, typer.Option("--exposures", min=2, max=8, help="Exposures of a bracket.")] = 2,
    report_wanted: Annotated[
        bool, typer.Option("--report", help="Three sizes and what this machine is, as text for an issue.")
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Through real processes: a run on the simulated camera, received here.")
    ] = False,
    idle: Annotated[
        bool, typer.Option("--idle", help="CPU time of a run on the simulated camera that nobody watches.")
    ] = False,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", min=0.1, max=1000, help="Of the camera: 30 for --latency, 1 for --idle.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=3600, help="Duration, for --latency and --idle.")
    ] = 10.0,
    gamma: GammaOption = None,
    chroma: ChromaOption = None,
    motion: MotionOption = None,
    network_lines: NetworkLinesOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Time the fusion of a generated stream, stage by stage, with OpenCV's Mertens in turn on the same pictures.

    No reading, writing or publishing is in it. The settings are those of live use: each bracket has one new frame, the
    camera pans, and something moves on its own.

    Example: livemef bench --size 1280x720 --motion off
    """
    flags = {
        "fusion.gamma": gamma,
        "fusion.chroma": chroma,
        "fusion.motion": motion,
        "fusion.network_lines": network_lines,
        "runtime.model": model,
        "runtime.device": device,
        "runtime.threads": threads,
    }
    if report_wanted and json_output:
        raise UserError("--report and --json are two forms of one result: choose one of them")
    if latency and idle:
        raise UserError("--latency and --idle are two measurements: choose one of them")
    if latency or idle:
        given = _run_flags(flags, config)
        if latency:
            spent = measure_latency(parse_size(size), fps or 30.0, seconds, given)
            _show(spent.as_dict(), render_latency(spent), json_output)
        else:
            idling = measure_idle(parse_size(size), fps or 1.0, seconds, given)
            _show(idling.as_dict(), render_idle(idling), json_output)
        return
    loaded = load_config(config, flags).config
    runtime = loaded.runtime
    sizes = [parse_size(text) for text in (REPORT_SIZES if report_wanted else (size,))]
    count = runtime.threads or usable_cores()
    fuser = open_fuser(loaded.fusion, runtime.model, runtime.device, runtime.threads or None, progress_printer())
    single = open_fuser(loaded.fusion, runtime.model, "cpu", 1) if fuser.device == "cpu" and count > 1 else None
    results = [bench(one, repeats, fuser, count, single, exposures) for one in sizes]
    if report_wanted:
        print(report(results))
    elif json_output:
        print(results[0].as_json())
    else:
        Console().print(render(results[0]))


def _run_flags(flags: dict[str, Any], config: Path | None) -> list[str]:
    """The flags that `run` is given."""
    given = [part for name, value in flags.items() if value is not None for part in (_FLAGS[name], str(value))]
    return given if config is None else [*given, "--config", str(config)]


def _show(values: dict[str, Any], table: Table, json_output: bool) -> None:
    if json_output:
        print(json.dumps(values))
    else:
        Console().print(table)


_FLAGS = {
    f"{table}.{name}": "--" + name.replace("_", "-")
    for table, names in {
        "fusion": ("gamma", "chroma", "motion", "network_lines"),
        "runtime": ("model", "device", "threads"),
    }.items()
    for name in names
}
"""The flags of `run` for settings that `bench` takes too."""
