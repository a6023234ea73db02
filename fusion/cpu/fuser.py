"""The method on the CPU: the small picture decides, then the pixels are done in strips of rows on all cores."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.engine.runtime import LightnessNet, OnOthersThreads
from livemef.fusion.cpu import sample_loops, strips, tiling
from livemef.fusion.cpu.compiled import MOST_EXPOSURES, CompiledLoops
from livemef.fusion.cpu.row_kernels import FusionInput, Job, NumpyLoops, PixelLoops, Plane, Rows
from livemef.fusion.cpu.steering_planes import SmallBracket, Steering, drifts_of, steering, with_parts
from livemef.fusion.cpu.strips import Strip
from livemef.fusion.fuser import Fused, check_exposures, checked_out, is_packed
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.method import downscale, guide_planes
from livemef.fusion.method.guide_planes import LightnessCurve
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.motion import compensation
from livemef.fusion.motion.compensation import UNKNOWN, Moments, MotionReport
from livemef.fusion.motion.steadiness import StreamMemory
from livemef.fusion.settings import FusionSettings


@dataclass(frozen=True)
class Finished:
    """A Pending that no longer is."""

    fused: Fused

    def finish(self) -> Fused:
        """See Pending."""
        return self.fused


class CpuFuser:
    """A Fuser on the CPU. Same pixels whatever the number of threads (the network's own threads aside).

    Memory beside the exposures and the result: the network's (a small picture, or a tile of 11 megapixels), a few
    rows a thread, and with `network_lines` 0 one float32 plane of the picture's size.
    """

    device = "cpu"
    in_flight = 1
    writes_anywhere = True

    def __init__(
        self,
        net: LightnessNet,
        settings: FusionSettings,
        threads: int | None = None,
        loops: PixelLoops | None = None,
        tile: int = tiling.TILE,
    ) -> None:
        self.settings = settings
        self.model_sha256 = net.sha256
        self.threads = threads or usable_cores()
        self.loops = loops or (CompiledLoops(self.threads) if compiled() else NumpyLoops())
        self._loops_alone = CompiledLoops() if loops is None and compiled() else self.loops
        self._net = net
        self._lend_threads()
        self._tile = tile
        self._moved: dict[int, Pixels] = {}  # exposures made anew by motion compensation; kept from bracket to bracket
        self._memory = StreamMemory()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="fuse")

    def fuse(self, exposures: Sequence[Pixels], out: Pixels | None = None, moments: Moments = UNKNOWN) -> Fused:
        """See Fuser. `out`, if given, receives the picture: writable, of the exposures' shape and dtype."""
        return self.begin(exposures, out, moments).finish()

    def begin(
        self,
        exposures: Sequence[Pixels],
        out: Pixels | None = None,
        moments: Moments = UNKNOWN,
        picture: bool = True,
    ) -> Finished:
        """See Fuser: done at once. Without a picture the pass over the pixels is left out, and one thread works."""
        check_exposures(exposures)
        with nullcontext() if picture else self._alone():
            return self._begun(exposures, out, moments, picture)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """What this lasts for is done by the caller's thread: nobody waits for it, and to wake up others costs more."""
        kept = self.threads, self.loops
        try:
            self.threads, self.loops = 1, self._loops_alone
            self._lend_threads()
            yield
        finally:
            self.threads, self.loops = kept
            self._lend_threads()

    def _lend_threads(self) -> None:
        """Let the network run on the loops' threads."""
        if isinstance(self._net, OnOthersThreads) and isinstance(self.loops, CompiledLoops):
            self._net.run_on(self.loops.run_members)

    def _begun(self, exposures: Sequence[Pixels], out: Pixels | None, moments: Moments, picture: bool) -> Finished:
        exposures = [_packed(pixels) for pixels in exposures]
        result = np.empty(exposures[0].shape, exposures[0].dtype) if out is None else checked_out(out, exposures[0])
        stages: dict[str, float] = {}
        if self.settings.motion == "off":
            motion, inputs = None, [FusionInput(pixels) for pixels in exposures]
            with _Timed(stages, "shrink"):
                smalls = self._averages(exposures, self._small_shape(result))
        else:
            with _Timed(stages, "shrink"):
                grids = self._grids(exposures, moments)
            with _Timed(stages, "motion"):
                inputs, smalls, motion = self._compensated(exposures, grids, moments, picture)
        means = self._memory.colour.follow(moments.place, result.shape, len(exposures))
        steered = motion is not None and moments.place is not None
        reference = 0 if motion is None else motion.reference
        self._fuse(inputs, reference, smalls, means, result if picture else None, stages, steered)
        return Finished(Fused(result, stages, motion))

    def change(self, settings: FusionSettings) -> None:
        """See Fuser."""
        self._memory = self._memory.after(settings.sees_motion_like(self.settings))
        self.settings = settings

    def buffer_for(self, like: Pixels) -> Pixels:
        """See Fuser."""
        return np.empty(like.shape, like.dtype)

    def page_locked(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None]:
        """See Fuser: any memory will do."""
        return nullcontext()

    def close(self) -> None:
        """See Fuser."""
        self._pool.shutdown()

    def _grids(self, exposures: Sequence[Pixels], moments: Moments) -> list[Plane]:
        """The exposures' motion grids; those of frames that were in the bracket before are remembered."""
        height, width = exposures[0].shape[:2]
        shape = compensation.grid_shape(height, width, self.settings.small_lines)
        known: list[Plane | None] = [None] * len(exposures)
        if moments.place is not None:
            known = self._memory.recall(moments.place, (height, width))
        new = [pixels for pixels, grid in zip(exposures, known, strict=True) if grid is None]
        averages = iter(self._averages(new, shape) if new else [])
        return [next(averages) if grid is None else grid for grid in known]

    def _compensated(
        self, exposures: Sequence[Pixels], grids: Sequence[Plane], moments: Moments, picture: bool
    ) -> tuple[list[FusionInput], list[Plane], MotionReport]:
        """The exposures and their small pictures as of one moment. picture: whether one is made of them."""
        height, width = exposures[0].shape[:2]
        settings = self.settings
        found = compensation.at_one_moment(
            grids, (height, width), settings.small_lines, settings.motion, moments, self.loops, self._memory
        )
        inputs = [FusionInput(pixels) for pixels in exposures]
        for index, todo in found.compensations.items():
            if not todo.idle:
                inputs[index] = FusionInput(exposures[index], todo)
                if picture and not settings.network_lines:  # read twice: for the whole lightness, and for the pixels
                    buffer = self._remade(index, exposures[index])
                    neighbour = inputs[compensation.towards(found.reference, index)].pixels
                    self._rows(height, self.loops.remake(neighbour, exposures[index], todo, buffer))
                    inputs[index] = FusionInput(buffer)
        report = sample_loops.report(self.loops, settings, self._memory, exposures, found, moments)
        return inputs, found.smalls, report

    def _remade(self, index: int, like: Pixels) -> Pixels:
        buffer = self._moved.get(index)
        if buffer is None or buffer.shape != like.shape or buffer.dtype != like.dtype:
            buffer = self._moved[index] = np.empty(like.shape, like.dtype)
        return buffer

    def _fuse(
        self,
        inputs: Sequence[FusionInput],
        reference: int,
        smalls: Sequence[Plane],
        means: RunningMeans,
        out: Pixels | None,
        stages: dict[str, float],
        steered: bool,
    ) -> None:
        """reference: see Job. out: None = only what is remembered. steered: whether the stream's memory steers."""
        settings, loops = self.settings, self._loops_for(inputs)
        with _Timed(stages, "shrink"):
            compared = guide_planes.compares_chroma(len(smalls), settings)
            labs = [self.loops.small_lab(small, settings, compared) for small in smalls]
            lights = [lightness for lightness, _ in labs]
            chromas = [chroma for _, chroma in labs if chroma is not None]
        lightness = None
        with _Timed(stages, "network"):  # which has all threads
            if settings.network_lines:
                fused = guide_planes.small_lightness(self._net, lights)
            else:
                curve = guide_planes.full_curve(lights, self._net, settings, means)
                if out is not None:
                    lightness = self._full_lightness([exposure.pixels for exposure in inputs], curve)
        with _Timed(stages, "affine"):
            if settings.network_lines:
                memory = self._memory if steered else None
                bracket = SmallBracket(fused, lights, chromas, smalls, settings, means, memory)
                planes = loops.steering(bracket) if isinstance(loops, CompiledLoops) else steering(bracket, loops)
            else:
                no_affine = np.zeros((*lights[0].shape, len(lights) + 1), np.float32)
                drifts = drifts_of(smalls, settings, means, loops)
                planes = Steering(with_parts(no_affine, chromas, loops), drifts)
        if out is None:
            return
        with _Timed(stages, "pixels"):
            job = Job(inputs, reference, out, settings, planes.planes, lightness, planes.drifts, planes.gain)
            self._rows(out.shape[0], loops.fuse(job))

    def _loops_for(self, inputs: Sequence[FusionInput]) -> PixelLoops:
        """The loops, or, for more exposures than the compiled ones take, the definition's."""
        return self.loops if len(inputs) <= MOST_EXPOSURES else NumpyLoops()

    def _small_shape(self, pixels: Pixels) -> tuple[int, int]:
        return downscale.small_shape(pixels.shape[0], pixels.shape[1], self.settings.small_lines)

    def _averages(self, exposures: Sequence[Pixels], shape: tuple[int, int]) -> list[Plane]:
        results: list[Plane] = [np.empty((*shape, 3), np.float32) for _ in exposures]
        for work in map(self.loops.shrink, exposures, results):
            self._rows(shape[0], work)
        return results

    def _full_lightness(self, exposures: Sequence[Pixels], curve: LightnessCurve) -> Plane:
        height, width = exposures[0].shape[:2]
        result = np.empty((height, width), np.float32)
        for rows in tiling.spans(height, self._net.multiple, self._tile):
            for columns in tiling.spans(width, self._net.multiple, self._tile):
                lights = [self._lightness(pixels[rows.read, columns.read]) for pixels in exposures]
                fused = curve(guide_planes.network_lightness(self._net, lights))
                result[rows.keep, columns.keep] = fused[rows.inner, columns.inner]
        return result

    def _lightness(self, pixels: Pixels) -> Plane:
        result = np.empty(pixels.shape[:2], np.float32)
        self._rows(pixels.shape[0], self.loops.lightness(pixels, result, self.settings))
        return result

    def _rows(self, rows: int, work: Rows) -> None:
        """Run `work` over all rows, in strips on all threads, of which the caller's is one: a sleeping one may take
        longer to wake up than a strip takes.
        """
        if self.loops.run(work):
            return
        left = deque(strips.falling(rows, self.threads))
        others = [self._pool.submit(_take, work, left) for _ in range(min(self.threads, len(left)) - 1)]
        try:
            _take(work, left)
        finally:
            left.clear()
            for other in others:
                if not other.cancel():
                    other.result()


def _take(work: Rows, left: deque[Strip]) -> None:
    """Work on strips until none is left."""
    while True:
        try:
            strip = left.popleft()
        except IndexError:
            return
        work(*strip)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Timed:
    """Adds the time that a block takes, in ms, to the stage of this name. Quicker than a generator."""

    __slots__ = ("_name", "_stages", "_start")

    def __init__(self, stages: dict[str, float], name: str) -> None:
        self._stages, self._name = stages, name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        taken = 1e3 * (time.perf_counter() - self._start)
        self._stages[self._name] = self._stages.get(self._name, 0.0) + taken


def _packed(pixels: Pixels) -> Pixels:
    """The picture itself, rows padded or not, or a copy where the pixels of a row are not next to each other."""
    return pixels if is_packed(pixels) else np.ascontiguousarray(pixels)
