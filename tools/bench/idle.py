"""CPU time of a pipeline that nobody watches: `livemef run` on the simulated camera, without page and subscribers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from livemef.fusion.stream.wire import STATUS
from livemef.tools.bench.latency import FRAME_LIMIT_S, last_line, running_pipeline, wait_for_first
from livemef.tools.exits import UserError

SETTLING_S = 5.0
"""Time that is not counted after the first picture: memory is taken, exposures settle."""


@dataclass(frozen=True)
class IdleResult:
    """size: width, height. seconds: time that was measured. cpu_s: CPU time of each process meanwhile, by its name."""

    size: tuple[int, int]
    camera_fps: float
    seconds: float
    cpu_s: dict[str, float]

    @property
    def percent(self) -> dict[str, float]:
        """Of one core, by process."""
        return {name: 100 * spent / self.seconds for name, spent in self.cpu_s.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Per cent of one core."""
        shares = {name: round(share, 3) for name, share in self.percent.items()}
        return {
            "size": list(self.size),
            "camera_fps": self.camera_fps,
            "seconds": round(self.seconds, 3),
            "percent": round(sum(self.percent.values()), 3),
            "percent_by_process": shares,
        }


def measure_idle(size: tuple[int, int], fps: float, seconds: float, flags: list[str]) -> IdleResult:
    """CPU time of all processes of a run for so many seconds after it has settled. flags: further ones of `run`.

    Raises UserError where the pipeline gives no picture.
    """
    with tempfile.TemporaryDirectory(prefix="livemef-bench-") as folder:
        place = f"ipc://{folder}/fused"
        camera = f"sim://?size={size[0]}x{size[1]}&fps={fps:g}"
        command = ["--camera", camera, "--publish", f"pub+bind:{place}", "--no-preview", *flags]
        with running_pipeline(command, Path(folder) / "log") as pipeline:
            try:
                with Subscriber(f"sub+connect:{place}", (STATUS,)) as subscriber:
                    wait_for_first(subscriber, pipeline.process)
            except ReceiveTimeout as error:
                raise UserError(f"livemef run gave no picture: {last_line(pipeline.log) or error}") from None
            time.sleep(SETTLING_S + FRAME_LIMIT_S / 10)
            before, began_s = cpu_times(pipeline.process.pid), time.monotonic()
            time.sleep(seconds)
            after, ended_s = cpu_times(pipeline.process.pid), time.monotonic()
    spent: dict[str, float] = {}
    for pid, (name, now_s) in after.items():
        spent[name] = spent.get(name, 0.0) + now_s - (before[pid][1] if pid in before else 0.0)
    return IdleResult(size, fps, ended_s - began_s, spent)


def cpu_times(pid: int) -> dict[int, tuple[str, float]]:
    """Name and CPU time (seconds, all threads, ended ones too) of a process and all that it has started."""
    found = {}
    for one in _family(pid):
        try:
            name = Path(f"/proc/{one}/comm").read_text(encoding="utf-8", errors="replace").strip()
            # the CPU-time clock of another process, as clock_getcpuclockid(3) makes its number
            found[one] = name, time.clock_gettime(~one << 3 | 2)
        except OSError:  # it has ended
            continue
    return found


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def render_idle(result: IdleResult) -> Table:
    """The result as a table."""
    width, height = result.size
    title = f"{width}x{height} at {result.camera_fps:g} frames/s, nobody watches, {result.seconds:.0f} s"
    table = Table(title=title, box=SIMPLE_HEAD)
    table.add_column("process")
    table.add_column("% of a core", justify="right")
    for name, share in sorted(result.percent.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{share:.2f}")
    table.add_row("all", f"{sum(result.percent.values()):.2f}", style="bold")
    return table
