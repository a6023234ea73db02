"""`livemef bench`: how long does a bracket take to become a picture, next to OpenCV's Mertens and to the memory?"""

from __future__ import annotations

import json
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from capture.frame import Pixels
from fusion.cpu import usable_cores
from fusion.fuser import Fuser, FusionSettings, open_fuser
from fusion.pixels import compiled
from tools.config_sources import load_config
from tools.exits import UserError
from tools.options import (
    ChromaOption,
    ConfigOption,
    DeviceOption,
    GammaOption,
    JsonOption,
    ModelOption,
    NetworkLinesOption,
    ThreadsOption,
)
from tools.progress import now_and_then

PASSES_OVER_INPUT, PASSES_OVER_OUTPUT = 2, 1
"""The small picture and the pixels each read both exposures once; the result is written once. It is the least."""

BLOCK = 5
"""Runs of each in a row before the other's turn: OpenCV's threads go on spinning for a while and take a core from
whatever comes just after them.
"""

COPY_BYTES = 1 << 26
LARGEST_SIDE = 16384


@dataclass(frozen=True)
class BenchResult:
    """Medians over `repeats` turns of fusing BLOCK 8-bit brackets and merging them by Mertens.

    size: width, height. peak_rss_mb: of this process after fusing, before Mertens ran. floor_ms: the time that only
    moving the pixels would take at `memory_gb_s`, the copying speed measured here.
    """

    size: tuple[int, int]
    repeats: int
    device: str
    threads: int
    compiled: bool
    fuse_ms: float
    mertens_ms: float
    speedup_over_mertens: float
    stages_ms: dict[str, float]
    peak_rss_mb: float
    memory_gb_s: float
    floor_ms: float

    def as_json(self) -> str:
        """One line."""
        values = {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}
        values["stages_ms"] = {stage: round(spent, 3) for stage, spent in self.stages_ms.items()}
        return json.dumps(values)


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "WxH". Raises UserError."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (16 <= width <= LARGEST_SIDE and 16 <= height <= LARGEST_SIDE):
        raise UserError(f"--size {text!r}: give WIDTHxHEIGHT, each 16..{LARGEST_SIDE}, such as 1920x1080")
    return width, height


def bench_bracket(width: int, height: int) -> tuple[Pixels, Pixels]:
    """An under- and an over-exposed 8-bit picture of a scene that neither can hold: soft shapes, stripes, noise."""
    rng = np.random.default_rng(1)
    coarse = (rng.uniform(-5, 5, (9, 16, 1)) + rng.uniform(-0.8, 0.8, (9, 16, 3))).astype(np.float32)
    stops = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    stops += 0.4 * np.sin(0.7 * np.arange(width, dtype=np.float32))[:, None]
    light = 0.2 * np.exp2(stops)
    return _exposed(light, 0.15, rng), _exposed(light, 2.4, rng)


def _exposed(light: np.ndarray, factor: float, rng: np.random.Generator) -> Pixels:
    encoded = 255 * np.clip(factor * light, 0, 1) ** (1 / 2.2)
    encoded += rng.normal(0, 1.5, encoded.shape[:2]).astype(np.float32)[..., None]
    return np.clip(encoded, 0, 255).astype(np.uint8)


def bench(size: tuple[int, int], repeats: int, fuser: Fuser, threads: int) -> BenchResult:
    """Fuse and merge a generated bracket in turns of BLOCK, `repeats` times. Raises FusionError, EngineError."""
    under, over = bench_bracket(*size)
    for _ in range(2):
        fuser.fuse([under, over])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    mertens = cv2.createMergeMertens()
    mertens.process([under, over])
    stages: dict[str, list[float]] = {}
    fuse_ms, mertens_ms = [], []
    out = np.empty_like(under)
    for _ in range(repeats):
        for _ in range(BLOCK):
            fuse_ms.append(_milliseconds(lambda: _collect(stages, fuser.fuse([under, over], out).stages_ms)))
        for _ in range(BLOCK):
            mertens_ms.append(_milliseconds(lambda: mertens.process([under, over])))
    bandwidth = copy_bandwidth(threads)
    moved = (PASSES_OVER_INPUT * 2 + PASSES_OVER_OUTPUT) * under.nbytes
    return BenchResult(
        size=size,
        repeats=repeats,
        device=fuser.device,
        threads=threads,
        compiled=compiled(),
        fuse_ms=statistics.median(fuse_ms),
        mertens_ms=statistics.median(mertens_ms),
        speedup_over_mertens=statistics.median(mertens_ms) / statistics.median(fuse_ms),
        stages_ms={stage: statistics.median(spent) for stage, spent in stages.items()},
        peak_rss_mb=peak,
        memory_gb_s=bandwidth / 1e9,
        floor_ms=1e3 * moved / bandwidth,
    )


def _collect(stages: dict[str, list[float]], new: dict[str, float]) -> None:
    for stage, spent in new.items():
        stages.setdefault(stage, []).append(spent)


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def copy_bandwidth(threads: int) -> float:
    """Bytes a second, read and written together, of copying in `threads` threads; the best of several."""
    pairs = [
        (np.ones(COPY_BYTES // threads, np.uint8), np.zeros(COPY_BYTES // threads, np.uint8)) for _ in range(threads)
    ]
    with ThreadPoolExecutor(threads) as pool:
        spent = [
            _milliseconds(lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))) for _ in range(7)
        ]
    return 2 * COPY_BYTES / (1e-3 * min(spent))


def render(result: BenchResult) -> Table:
    """The result as a table."""
    width, height = result.size
    table = Table(title=f"{width}x{height}, {result.device}, {result.threads} threads", box=SIMPLE_HEAD)
    table.add_column("stage")
    table.add_column("ms", justify="right")
    for stage, spent in result.stages_ms.items():
        table.add_row(f"  {stage}", f"{spent:.1f}")
    table.add_row("bracket to picture", f"{result.fuse_ms:.1f}", style="bold")
    table.add_row("OpenCV MergeMertens, same pictures", f"{result.mertens_ms:.1f}")
    table.add_row(f"only moving the pixels, at {result.memory_gb_s:.1f} GB/s", f"{result.floor_ms:.1f}")
    loops = "compiled loops" if result.compiled else "numpy loops: install with a C compiler for the fast ones"
    table.caption = f"{result.speedup_over_mertens:.1f} times as fast as Mertens; {result.peak_rss_mb:.0f} MB; {loops}"
    return table


def bench_command(
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Size of the pictures.")] = "1920x1080",
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, max=1000, help="Turns to time, of five brackets each.")
    ] = 5,
    gamma: GammaOption = None,
    chroma: ChromaOption = None,
    network_lines: NetworkLinesOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    config: ConfigOption = None,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Measure nothing: estimate what some GPUs would take.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Time the fusion of a generated bracket, stage by stage, with OpenCV's Mertens in turn on the same pictures.

    No reading, writing or publishing is in it. The settings are those of live use.
    """
    flags = {
        "fusion.gamma": gamma,
        "fusion.chroma": chroma,
        "fusion.network_lines": network_lines,
        "runtime.model": model,
        "runtime.device": device,
        "runtime.threads": threads,
    }
    loaded = load_config(config, flags).config
    runtime = loaded.runtime
    dimensions = parse_size(size)
    if roofline:
        _show_roofline(runtime.model, dimensions, loaded.fusion, json_output)
        return
    fuser = open_fuser(loaded.fusion, runtime.model, runtime.device, runtime.threads or None, now_and_then())
    result = bench(dimensions, repeats, fuser, runtime.threads or usable_cores())
    if json_output:
        print(result.as_json())
    else:
        Console().print(render(result))


def _show_roofline(model: str, size: tuple[int, int], settings: FusionSettings, json_output: bool) -> None:
    from tools import roofline

    estimates = [roofline.estimate(model, size, settings, device) for device in roofline.DEVICES]
    if json_output:
        print(roofline.as_json(estimates))
    else:
        Console().print(roofline.render(model, estimates))
