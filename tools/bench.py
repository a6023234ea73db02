"""`livemef bench`: time of fusing a bracket, compared with OpenCV's Mertens and with the memory bandwidth."""

from __future__ import annotations

import json
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from livemef.capture.frame import Pixels
from livemef.fusion.cpu.fuser import usable_cores
from livemef.fusion.fuser import Fuser
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.method import colour
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.open_fuser import open_fuser
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

PASSES_OVER_INPUT, PASSES_OVER_OUTPUT = 2, 1
"""Lower bound of memory traffic: both exposures are read twice (small picture, pixels), the result is written once."""

BLOCK = 5
"""Runs of one method in a row before the other's turn: OpenCV's threads spin for a while afterwards, and would slow
down the run that follows.
"""

LIGHTS = (0.15, 2.4)
MOVE = (3, 2)
"""Shift of the camera between the exposures, pixels right and down."""

COPY_BYTES = 1 << 26
LARGEST_SIDE = 16384


@dataclass(frozen=True)
class BenchResult:
    """Medians over `repeats` turns of fusing BLOCK 8-bit brackets and merging them by Mertens.

    size: width, height. without_motion_ms: fusion with motion off. motion_cost: relative increase by compensation
    (0 if that is off). peak_rss_mb: peak resident memory of this process after fusing, before Mertens ran. floor_ms:
    time of the memory traffic alone at `memory_gb_s`, the copy bandwidth measured here.
    """

    size: tuple[int, int]
    repeats: int
    device: str
    threads: int
    compiled: bool
    fuse_ms: float
    without_motion_ms: float
    motion_cost: float
    mertens_ms: float
    speedup_over_mertens: float
    stages_ms: dict[str, float]
    peak_rss_mb: float
    memory_gb_s: float
    floor_ms: float

    def as_json(self) -> str:
        """The result as one line of JSON."""
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
    """An under- and an over-exposed picture (BGR uint8) of a generated scene whose range exceeds both.

    Between them the camera moves by MOVE pixels, and a dark square (a tenth of the picture a side) moves differently.
    """
    rng = np.random.default_rng(1)
    (right, down), side = MOVE, max(width, height) // 10
    light = _light(width + right, height + down, rng)
    exposures = []
    for factor, top, left in ((LIGHTS[0], 0, 0), (LIGHTS[1], down, right)):
        seen = light[top : top + height, left : left + width].copy()
        at = height // 3 + 8 * top, width // 4 + 8 * left
        seen[at[0] : at[0] + side, at[1] : at[1] + side] = 0.05
        exposures.append(_exposed(seen, factor, rng))
    return exposures[0], exposures[1]


def _light(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    coarse = (rng.uniform(-5, 5, (9, 16, 1)) + rng.uniform(-0.8, 0.8, (9, 16, 3))).astype(np.float32)
    stops = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    stops += 0.4 * np.sin(0.7 * np.arange(width, dtype=np.float32))[:, None]
    return 0.2 * np.exp2(stops)


def _exposed(light: np.ndarray, factor: float, rng: np.random.Generator) -> Pixels:
    encoded = 255 * colour.encode(np.clip(factor * light, 0, 1))
    encoded += rng.normal(0, 1.5, encoded.shape[:2])[..., None]
    return np.clip(encoded, 0, 255).astype(np.uint8)


def bench(size: tuple[int, int], repeats: int, fuser: Fuser, threads: int) -> BenchResult:
    """Fuse a generated bracket and merge it by Mertens, in turns of BLOCK, `repeats` times. size: width, height. Raises
    FusionError, EngineError.
    """
    under, over = bench_bracket(*size)
    moments, out = Moments(LIGHTS, reference=1), np.empty_like(under)
    for _ in range(2):
        fuser.fuse([under, over], out, moments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    mertens = cv2.createMergeMertens()
    mertens.process([under, over])
    stages: dict[str, list[float]] = {}
    settings = fuser.settings
    spent: dict[str, list[float]] = {"fuse": [], "still": [], "mertens": []}
    turns: dict[str, Callable[[], object]] = {
        "fuse": lambda: _collect(stages, fuser.fuse([under, over], out, moments).stages_ms),
        "still": lambda: fuser.fuse([under, over], out, moments),
        "mertens": lambda: mertens.process([under, over]),
    }
    for turn in range(repeats):
        for name in ("fuse", "still", "mertens") if turn % 2 else ("still", "fuse", "mertens"):
            fuser.settings = replace(settings, motion="off") if name == "still" else settings
            spent[name] += [_milliseconds(turns[name]) for _ in range(BLOCK)]
    fuse_ms, still_ms, mertens_ms = (statistics.median(times) for times in spent.values())
    bandwidth = copy_bandwidth(threads)
    moved = (PASSES_OVER_INPUT * 2 + PASSES_OVER_OUTPUT) * under.nbytes
    return BenchResult(
        size=size,
        repeats=repeats,
        device=fuser.device,
        threads=threads,
        compiled=compiled(),
        fuse_ms=fuse_ms,
        without_motion_ms=still_ms,
        motion_cost=fuse_ms / still_ms - 1 if settings.motion != "off" else 0.0,
        mertens_ms=mertens_ms,
        speedup_over_mertens=mertens_ms / fuse_ms,
        stages_ms={stage: statistics.median(times) for stage, times in stages.items()},
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
    """Copy bandwidth with `threads` threads, bytes a second read plus written; the best of several runs."""
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
    if result.motion_cost:
        table.add_row("the same without motion", f"{result.without_motion_ms:.1f}")
    table.add_row("OpenCV MergeMertens, same pictures", f"{result.mertens_ms:.1f}")
    table.add_row(f"only moving the pixels, at {result.memory_gb_s:.1f} GB/s", f"{result.floor_ms:.1f}")
    loops = "compiled loops" if result.compiled else "numpy loops: install with a C compiler for the fast ones"
    motion = f"; motion costs {100 * result.motion_cost:.0f} %" if result.motion_cost else ""
    table.caption = (
        f"{result.speedup_over_mertens:.1f} times as fast as Mertens; {result.peak_rss_mb:.0f} MB{motion}; {loops}"
    )
    return table


def bench_command(
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Size of the pictures.")] = "1920x1080",
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, max=1000, help="Turns to time, of five brackets each.")
    ] = 5,
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
    """Time the fusion of a generated bracket, stage by stage, with OpenCV's Mertens in turn on the same pictures.

    No reading, writing or publishing is in it. The settings are those of live use.

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
    loaded = load_config(config, flags).config
    runtime = loaded.runtime
    dimensions = parse_size(size)
    fuser = open_fuser(loaded.fusion, runtime.model, runtime.device, runtime.threads or None, progress_printer())
    result = bench(dimensions, repeats, fuser, runtime.threads or usable_cores())
    if json_output:
        print(result.as_json())
    else:
        Console().print(render(result))
