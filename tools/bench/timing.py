"""Times of fusing brackets, in turn with OpenCV's Mertens on the same pictures."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from livemef.fusion.fuser import Fuser
from livemef.fusion.kernels.shared_library import compiled
from livemef.tools.bench.scene import PanningStream

BLOCK = 5
"""Runs of one method in a row before the other's turn: OpenCV's threads spin for a while afterwards, and would slow
down the run that follows. One more before them is not counted.
"""
COPY_BYTES = 1 << 26


@dataclass(frozen=True)
class Spread:
    """Times of many runs, milliseconds: median, quartiles, the shortest. cpu: median of the time that all threads of
    the process spent computing; of use on a busy machine.
    """

    median: float
    quartiles: tuple[float, float]
    shortest: float
    cpu: float


@dataclass
class _Times:
    """Wall and CPU time of each run, ms."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def spread(self) -> Spread:
        low, median, high = np.percentile(self.wall, [25, 50, 75])
        return Spread(float(median), (float(low), float(high)), min(self.wall), statistics.median(self.cpu))


@dataclass(frozen=True)
class BenchResult:
    """Times over `repeats` turns of fusing BLOCK 8-bit brackets of a stream and merging as many by Mertens.

    size: width, height. still: fusion with motion off. one_thread, mertens_one_thread: the same work on one thread;
    None if not measured. stages_ms: medians. peak_rss_mb: peak resident memory of this process after fusing, before
    Mertens ran. memory_gb_s: copy bandwidth, read plus written. floor_ms: time at that bandwidth of the memory traffic
    alone, in which the newest exposure is read twice, each other one and the result once.
    """

    size: tuple[int, int]
    exposures: int
    repeats: int
    device: str
    threads: int
    compiled: bool
    fuse: Spread
    still: Spread
    mertens: Spread
    one_thread: Spread | None
    mertens_one_thread: Spread | None
    stages_ms: dict[str, float]
    peak_rss_mb: float
    memory_gb_s: float
    floor_ms: float
    has_motion: bool

    @property
    def motion_cost(self) -> float:
        """Relative increase by motion compensation, 0 if that is off."""
        return self.fuse.median / self.still.median - 1 if self.has_motion else 0.0

    @property
    def speedup_over_mertens(self) -> float:
        """How many times as fast as Mertens, with the same number of threads."""
        return self.mertens.median / self.fuse.median

    @property
    def cpu_ratio(self) -> float:
        """The same by the time that all threads spent computing, which other processes change least."""
        return self.mertens.cpu / self.fuse.cpu

    @property
    def one_thread_speedup(self) -> float | None:
        """The same for one thread each."""
        if self.one_thread is None or self.mertens_one_thread is None:
            return None
        return self.mertens_one_thread.median / self.one_thread.median

    def as_json(self) -> str:
        """The result as one line of JSON."""
        values = asdict(self)
        del values["has_motion"]
        values |= {
            "fuse_ms": self.fuse.median,
            "mertens_ms": self.mertens.median,
            "without_motion_ms": self.still.median,
            "motion_cost": self.motion_cost,
            "speedup_over_mertens": self.speedup_over_mertens,
            "cpu_ratio": self.cpu_ratio,
            "one_thread_speedup": self.one_thread_speedup,
        }
        return json.dumps(_rounded(values))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_rounded(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


def bench(
    size: tuple[int, int], repeats: int, fuser: Fuser, threads: int, single: Fuser | None = None, exposures: int = 2
) -> BenchResult:
    """Fuse the brackets of a generated stream and merge them by Mertens, in turns of BLOCK, `repeats` times.

    size: width, height. threads: those of the fuser, and of Mertens. single: a fuser with one thread, whose time is
    taken too, or None. Raises FusionError, EngineError.
    """
    stream = PanningStream(*size, exposures)
    out = np.empty((size[1], size[0], 3), np.uint8)
    for _ in range(2):
        pictures, moments = stream.next()
        fuser.fuse(pictures, out, moments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    turns = _Turns(stream, out, fuser, single, threads)
    for turn in range(repeats):
        for name in list(turns.works)[:: 1 if turn % 2 else -1]:
            turns.run(name)
    spreads = {name: times.spread() for name, times in turns.times.items()}
    bandwidth = copy_bandwidth(threads)
    return BenchResult(
        size=size,
        exposures=exposures,
        repeats=repeats,
        device=fuser.device,
        threads=threads,
        compiled=compiled(),
        fuse=spreads["fuse"],
        still=spreads["still"],
        mertens=spreads["mertens"],
        one_thread=spreads.get("one_thread"),
        mertens_one_thread=spreads.get("mertens_one_thread"),
        stages_ms={stage: statistics.median(spent) for stage, spent in turns.stages.items()},
        peak_rss_mb=peak,
        memory_gb_s=bandwidth / 1e9,
        floor_ms=1e3 * (exposures + 2) * out.nbytes / bandwidth,
        has_motion=fuser.settings.motion != "off",
    )


class _Turns:
    """The works in turn, and their times."""

    def __init__(
        self, stream: PanningStream, out: np.ndarray, fuser: Fuser, single: Fuser | None, threads: int
    ) -> None:
        self._stream, self._out, self._fuser, self._threads = stream, out, fuser, threads
        self._settings = fuser.settings
        self._mertens = cv2.createMergeMertens()
        self.stages: dict[str, list[float]] = {}
        self.works: dict[str, Callable[[], None]] = {"fuse": self._fuse, "still": self._still, "mertens": self._merge}
        if single is not None:
            self.works["one_thread"] = lambda: self._time("one_thread", single)
            self.works["mertens_one_thread"] = self._merge_on_one
        self.times = {name: _Times() for name in self.works}

    def run(self, name: str) -> None:
        """A block of runs of this work."""
        self.works[name]()

    def _fuse(self) -> None:
        self._time("fuse", self._fuser, self.stages)

    def _still(self) -> None:
        self._fuser.settings = replace(self._settings, motion="off")
        try:
            self._time("still", self._fuser)
        finally:
            self._fuser.settings = self._settings

    def _time(self, name: str, fuser: Fuser, stages: dict[str, list[float]] | None = None) -> None:
        for run in range(BLOCK + 1):
            pictures, moments = self._stream.next()
            with _measured(self.times[name], counts=run > 0):
                fused = fuser.fuse(pictures, self._out, moments)
            if run and stages is not None:
                for stage, spent in fused.stages_ms.items():
                    stages.setdefault(stage, []).append(spent)

    def _merge(self, name: str = "mertens", threads: int | None = None) -> None:
        before = cv2.getNumThreads()
        cv2.setNumThreads(threads or self._threads)
        try:
            for run in range(BLOCK + 1):
                pictures, _moments = self._stream.next()
                with _measured(self.times[name], counts=run > 0):
                    self._mertens.process(pictures)
        finally:
            cv2.setNumThreads(before)

    def _merge_on_one(self) -> None:
        self._merge("mertens_one_thread", 1)


@contextmanager
def _measured(times: _Times, counts: bool) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    if counts:
        times.wall.append(1e3 * (time.perf_counter() - wall))
        times.cpu.append(1e3 * (time.process_time() - cpu))


def copy_bandwidth(threads: int) -> float:
    """Copy bandwidth with `threads` threads, bytes a second read plus written; the best of several runs."""
    pairs = [
        (np.ones(COPY_BYTES // threads, np.uint8), np.zeros(COPY_BYTES // threads, np.uint8)) for _ in range(threads)
    ]
    spent = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(7):
            start = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))
            spent.append(time.perf_counter() - start)
    return 2 * COPY_BYTES / min(spent)
