"""Latency through real processes: `livemef run` on the simulated camera, and a subscriber over ipc here."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from livemef.fusion.stream.header import Header
from livemef.fusion.stream.latency import after_arrival_ms, newest_exposure
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from livemef.fusion.stream.wire import Message
from livemef.tools.exits import UserError
from livemef.tools.run.runtime_folder import runtime_folder
from livemef.tools.watch_counts import WatchCounts

START_LIMIT_S, FRAME_LIMIT_S, END_LIMIT_S = 60.0, 10.0, 15.0
TURN_S = 0.2
SETTLING_FRAMES = 60
"""Frames that are not counted: exposures settle, memory is taken, loops are loaded."""
PLAN = "1ms,16ms"

_RUN_AS_LONG_AS_PARENT = """
import runpy, signal, sys
from livemef.capture.child import die_with_parent
die_with_parent(int(sys.argv.pop(1)), signal.SIGTERM)
runpy.run_module("livemef", run_name="__main__", alter_sys=True)
"""
"""`python -m livemef` that ends, and its processes with it, when the process of the given number does, even killed."""


@dataclass
class LatencyResult:
    """What a subscriber received of a pipeline on the simulated camera.

    size: width, height. dropped: frames that the pipeline dropped meanwhile. stages_ms: each stage's times; "send" is
    from publication to receipt.
    """

    size: tuple[int, int]
    camera_fps: float
    counts: WatchCounts = field(default_factory=WatchCounts)
    gaps: int = 0
    dropped: int = 0
    stages_ms: dict[str, list[float]] = field(default_factory=dict)

    def note(self, message: Message) -> None:
        """Count a picture."""
        header, received_ns = message.header, message.received_wall_ns
        latency_ms = (received_ns - header.timestamp_wall_ns) / 1e6
        after_ms = after_arrival_ms(header, received_ns)
        self.counts.note(time.monotonic(), latency_ms, after_ms, newest_exposure(header))
        stages = {**header.latency_ms, "send": (received_ns - header.published_wall_ns) / 1e6}
        for stage, spent in stages.items():
            self.stages_ms.setdefault(stage, []).append(spent)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        counted = self.counts.summary(self.gaps, 0)
        stages = {stage: round(statistics.median(spent), 3) for stage, spent in self.stages_ms.items()}
        return (
            {"size": list(self.size), "camera_fps": self.camera_fps, "dropped": self.dropped}
            | counted
            | {"stages_ms": stages}
        )


def measure_latency(size: tuple[int, int], fps: float, seconds: float, flags: list[str]) -> LatencyResult:
    """Run the pipeline for so many seconds after it has settled. flags: further ones of `livemef run`.

    Raises UserError where the pipeline gives no picture.
    """
    result = LatencyResult(size, fps)
    with runtime_folder() as folder:
        place = f"ipc://{folder}/fused"
        camera = f"sim://?size={size[0]}x{size[1]}&fps={fps:g}"
        command = ["--camera", camera, "--publish", f"pub+bind:{place}", "--no-preview", "--exposures", PLAN, *flags]
        with running_pipeline(command, folder / "log") as pipeline, Subscriber(f"sub+connect:{place}") as subscriber:
            try:
                first = _settled(subscriber, pipeline.process)
                gaps, end_s, header = subscriber.counter.gaps, time.monotonic() + seconds, first
                while time.monotonic() < end_s:
                    message = subscriber.receive(FRAME_LIMIT_S)
                    header = message.header
                    result.note(message)
            except ReceiveTimeout as error:
                raise UserError(f"livemef run gave no picture: {last_line(pipeline.log) or error}") from None
            result.gaps = subscriber.counter.gaps - gaps
            result.dropped = header.pipeline.dropped - first.pipeline.dropped
    return result


def wait_for_first(subscriber: Subscriber, process: subprocess.Popen[bytes]) -> None:
    """Wait until a message is there. Raises ReceiveTimeout, at once where the process has ended."""
    end_s = time.monotonic() + START_LIMIT_S
    while not subscriber.poll(TURN_S):
        if process.poll() is not None or time.monotonic() >= end_s:
            raise subscriber.silence(START_LIMIT_S)


def _settled(subscriber: Subscriber, process: subprocess.Popen[bytes]) -> Header:
    """The header of the last frame that does not count. Raises ReceiveTimeout, at once where the process has ended."""
    wait_for_first(subscriber, process)
    header = subscriber.receive(FRAME_LIMIT_S).header
    for _ in range(SETTLING_FRAMES):
        header = subscriber.receive(FRAME_LIMIT_S).header
    return header


@dataclass(frozen=True)
class Pipeline:
    """A `livemef run`, and the file with what it has printed."""

    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def running_pipeline(arguments: list[str], log: Path) -> Iterator[Pipeline]:
    """`livemef run` with these arguments as long as the context lasts."""
    with log.open("wb") as output:
        command = [sys.executable, "-c", _RUN_AS_LONG_AS_PARENT, str(os.getpid()), "run", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Pipeline(process, log)
    finally:
        process.terminate()
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_LIMIT_S)


def last_line(log: Path) -> str:
    """The last line that a run has printed; "" if none."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def render_latency(result: LatencyResult) -> Table:
    """The result as a table."""
    counts, (width, height) = result.counts, result.size
    table = Table(title=f"{width}x{height} at {result.camera_fps:g} frames/s, over ipc", box=SIMPLE_HEAD)
    for column in ("", "median, ms", "95 %"):
        table.add_column(column, justify="right" if column else "left")
    rows = {"sensor to receipt": counts.latency_ms(), "last row read to receipt": counts.after_readout()}
    rows |= {f"  newest is exposure {index}": spread for index, spread in counts.by_exposure().items()}
    for name, spread in rows.items():
        table.add_row(name, *(f"{value:.1f}" if value is not None else "unknown" for value in spread.values()))
    for stage, spent in result.stages_ms.items():
        table.add_row(f"  {stage}", f"{statistics.median(spent):.1f}")
    lost = f"{result.dropped} frames dropped, {result.gaps} not received"
    table.caption = f"{counts.frames} pictures, {counts.fps:.1f} a second; {lost}"
    return table
