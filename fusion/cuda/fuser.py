"""The method on a CUDA device: upload, kernels, network, kernels, download, all in one stream, two brackets in flight.

One thread owns the device: all calls come from the thread that made the fuser. Only this file needs pycuda.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.engine.runtime import CudaNet
from livemef.fusion.cpu import sample_loops
from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.fuser import usable_cores
from livemef.fusion.cpu.row_kernels import NumpyLoops, PixelLoops
from livemef.fusion.cuda import launch_layout
from livemef.fusion.cuda.kernel_argument import MOST_EXPOSURES, Bracket
from livemef.fusion.cuda.lane import Lane
from livemef.fusion.cuda.launch_layout import BLOCK, BracketLayout, Picture, Step
from livemef.fusion.cuda.memory import Buffers, DeviceMeans, Locked, driver_library, lock_pages
from livemef.fusion.cuda.motion import Remake
from livemef.fusion.errors import FusionError
from livemef.fusion.fuser import Fused, check_exposures, checked_out
from livemef.fusion.kernels.build import BINARY
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import compensation
from livemef.fusion.motion.compensation import UNKNOWN, Moments, MotionReport
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.steadiness import StreamMemory
from livemef.fusion.settings import FusionSettings

AVERAGING = ("sum_rows", "sum_columns")


def open_driver() -> Any:
    """pycuda's driver module, initialised. Raises FusionError that names what is missing and the remedy."""
    try:
        import pycuda.driver as driver
    except ModuleNotFoundError as error:
        raise FusionError("device cuda needs the package pycuda: pip install 'livemef[cuda]'") from error
    except ImportError as error:
        reason = "NVIDIA's driver is not here" if "libcuda" in str(error) else f"pycuda does not load ({error})"
        raise FusionError(f"device cuda: {reason}; see livemef doctor; --device cpu works without") from error
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        raise FusionError(f"device cuda: the driver has no usable GPU ({error}); nvidia-smi should list one") from error
    if count == 0:
        raise FusionError("device cuda: the driver sees no GPU; in a container, start it with the NVIDIA runtime")
    return driver


class CudaPending:
    """A bracket under fusion on the device."""

    def __init__(
        self, fuser: CudaFuser, lane: Lane, out: Pixels, staged: Pixels | None, motion: MotionReport | None
    ) -> None:
        self._fuser, self._lane, self._out, self._staged, self._motion = fuser, lane, out, staged, motion
        self._fused: Fused | None = None

    def finish(self) -> Fused:
        """Wait for the picture, `WAIT_LIMIT_S` at most. Raises FusionError. May be called again."""
        if self._fused is None:
            with self._fuser.on_device():
                self._lane.wait()
                stages = self._lane.stages_ms()
            if self._staged is not None:
                np.copyto(self._out, self._staged)
            self._fused = Fused(self._out, stages, self._motion)
        return self._fused


class CudaFuser:
    """A Fuser on the first CUDA device, in its primary context. Not thread-safe.

    Pictures in page-locked memory (`page_locked`, `buffer_for`) are read and written in place: without a copy on the
    host, and without any copy where host and GPU share their memory (Jetson).
    """

    device = "cuda"
    in_flight = 2
    writes_anywhere = False

    def __init__(
        self, net: CudaNet, settings: FusionSettings, kernels: Path = BINARY, threads: int | None = None
    ) -> None:
        """threads: CPU threads that find what moved, None = one per usable core."""
        self.settings, self.model_sha256, self._net = settings, net.sha256, net
        self._driver = open_driver()
        device = self._driver.Device(0)
        self._mapped = bool(device.get_attribute(self._driver.device_attribute.INTEGRATED))
        self._context = device.retain_primary_context()
        self._detach = weakref.finalize(self, self._context.detach)  # at the latest when the process ends
        self._loops: PixelLoops = CompiledLoops(threads or usable_cores()) if compiled() else NumpyLoops()
        self._memory = StreamMemory()
        self._locked: dict[int, Locked] = {}  # by where it begins
        self._tables: dict[int, dict[str, Any]] = {}
        self._means: DeviceMeans | None = None
        with self.on_device():
            self._module = self._load(kernels)
            self._functions: dict[str, Any] = {}
            self._stream, self._early = self._driver.Stream(), self._driver.Stream()
            self._lanes = [Lane(self._driver) for _ in range(self.in_flight)]

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """With the context current; the driver's errors become one line. An exception that left it current would
        end the process."""
        self._context.push()
        try:
            yield
        except self._driver.MemoryError as error:
            raise FusionError(
                f"the GPU has not enough memory ({error}): use smaller pictures or fewer network lines, or --device cpu"
            ) from error
        except self._driver.Error as error:
            raise FusionError(f"the GPU failed ({error})") from error
        finally:
            self._context.pop()

    def _load(self, kernels: Path) -> Any:
        try:
            return self._driver.module_from_file(str(kernels))
        except self._driver.Error as error:
            raise FusionError(
                f"the driver does not take the shipped kernels ({error}): compile them for this device with "
                "livemef build --kernels"
            ) from error

    def fuse(self, exposures: Sequence[Pixels], out: Pixels | None = None, moments: Moments = UNKNOWN) -> Fused:
        """See Fuser."""
        return self.begin(exposures, out, moments).finish()

    def begin(
        self,
        exposures: Sequence[Pixels],
        out: Pixels | None = None,
        moments: Moments = UNKNOWN,
        picture: bool = True,
    ) -> CudaPending:
        """See Fuser. If `in_flight` brackets are enqueued already, the oldest is finished first. The picture is made in
        any case: the device has nothing else to do.
        """
        check_exposures(exposures)
        if len(exposures) > MOST_EXPOSURES:
            raise FusionError(
                f"device cuda fuses up to {MOST_EXPOSURES} exposures, not {len(exposures)}: use --device cpu, or fewer"
            )
        first = exposures[0]
        result = np.empty(first.shape, first.dtype) if out is None else checked_out(out, first)
        lane = self._lanes.pop(0)
        self._lanes.append(lane)
        if lane.pending is not None:
            lane.pending.finish()
        with self.on_device():
            staged, motion = self._enqueue(lane, exposures, result, moments)
        lane.pending = CudaPending(self, lane, result, staged, motion)
        return lane.pending

    def _enqueue(
        self, lane: Lane, exposures: Sequence[Pixels], out: Pixels, moments: Moments
    ) -> tuple[Pixels | None, MotionReport | None]:
        """All of a bracket's work. The page-locked picture that it ends in, unless that is `out` itself."""
        buffers = self._buffers(lane, exposures)
        stream = self._early if buffers.motion else self._stream
        lane.start(stream)
        pictures = [self._upload(buffers, index, pixels, stream) for index, pixels in enumerate(exposures)]
        lane.mark("upload", stream)
        motion = self._still(lane, buffers, pictures, exposures, moments) if buffers.motion else None
        staged = None if self._device_address(out) else buffers.staging[-1]
        target = out if staged is None else staged
        if buffers.mapped:
            fused = Picture(self._device_address(target) or 0, target.strides[0])
        else:
            fused = Picture(int(buffers.pictures[-1]), buffers.stride)
        means = self._running_means(buffers.layout, moments)
        self._fuse(
            lane, buffers, pictures, fused, means, steered=buffers.motion is not None and moments.place is not None
        )
        if not buffers.mapped:
            self._copy(buffers, target, buffers.pictures[-1], self._stream, down=True)
        lane.mark("download", self._stream)
        return staged, motion

    def _running_means(self, layout: BracketLayout, moments: Moments) -> DeviceMeans:
        """Where this bracket's measurements go: into the stream's means, or, for a still, into new ones."""
        if self._means is None or self._means.size != layout.means_bytes:
            self._means = DeviceMeans(self._driver, layout.means_bytes)
        shape = layout.height, layout.width, layout.itemsize
        self._means.share = self._memory.colour.follow(moments.place, shape, layout.exposures).share
        return self._means

    def _still(
        self, lane: Lane, buffers: Buffers, pictures: list[Picture], exposures: Sequence[Pixels], moments: Moments
    ) -> MotionReport:
        """Make all exposures ones of one moment, in `pictures`. What has moved is found by the host, on grids that come
        in a stream of their own: the bracket before goes on meanwhile. Time spent there counts as the stage "motion".
        """
        layout, memory = buffers.layout, buffers.motion
        assert memory is not None
        argument = bytes(layout.grid_bracket(pictures, buffers.addresses))
        for step in layout.grid_steps():
            self._launch(step, argument, Bracket, self._early)
        self._driver.memcpy_dtoh_async(memory.grids, buffers.addresses["grids"], self._early)
        lane.mark("shrink", self._early)
        lane.wait()
        # copies: some are remembered, and the next bracket writes over these
        grids = [grid.copy() for grid in memory.grids[: len(pictures)]]
        settings, size = self.settings, (layout.height, layout.width)
        found = compensation.at_one_moment(
            grids, size, settings.small_lines, settings.motion, moments, self._loops, self._memory
        )
        for index, todo in found.compensations.items():
            if not todo.idle:
                neighbour = pictures[compensation.towards(found.reference, index)]
                pictures[index] = self._remake(buffers, index, todo, neighbour, pictures[index])
        for stored, small in zip(memory.smalls, found.smalls, strict=True):
            stored[:] = small
        report = sample_loops.report(self._loops, settings, self._memory, exposures, found, moments)
        lane.mark("motion", self._stream)
        return report

    def _remake(self, buffers: Buffers, index: int, todo: Compensation, reference: Picture, other: Picture) -> Picture:
        memory = buffers.motion
        assert memory is not None
        arrays, block = memory.remake.arrays(todo), memory.device_blocks[index]
        memory.remake.fill(memory.blocks[index], arrays)
        self._driver.memcpy_htod_async(block, memory.blocks[index], self._stream)
        made = Picture(int(memory.remade[index]), buffers.stride)
        argument = memory.remake.argument(todo, int(block), reference, other, made, arrays)
        self._launch(buffers.layout.remake_step(), bytes(argument), Remake, self._stream)
        return made

    def change(self, settings: FusionSettings) -> None:
        """See Fuser. Builds the engine for another number of network lines, if there is none yet."""
        before = {lane.buffers.layout for lane in self._lanes if lane.buffers is not None}
        with self.on_device():
            for layout in before:
                self._prepare(replace(layout, settings=settings))
        self._memory = self._memory.after(settings.sees_motion_like(self.settings))
        self.settings = settings

    def _prepare(self, layout: BracketLayout) -> None:
        for shape in layout.network_shapes:
            self._net.prepare(*shape)

    def _buffers(self, lane: Lane, exposures: Sequence[Pixels]) -> Buffers:
        height, width = exposures[0].shape[:2]
        itemsize, net = exposures[0].itemsize, self._net
        layout = BracketLayout(height, width, itemsize, self.settings, net.multiple, net.half, len(exposures))
        if lane.buffers is not None and lane.buffers.fit(layout, len(exposures)):
            lane.buffers.adopt(self._driver, layout)
        else:
            self._prepare(layout)
            lane.buffers = None  # its memory first: there may not be enough for both
            lane.buffers = Buffers(self._driver, layout, len(exposures), self._table_addresses(itemsize), self._mapped)
            for array in lane.buffers.staging:
                self._remember(array)
        return lane.buffers

    def _table_addresses(self, itemsize: int) -> dict[str, int]:
        if itemsize not in self._tables:
            arrays = launch_layout.tables(itemsize)
            self._tables[itemsize] = {name: self._driver.to_device(array) for name, array in arrays.items()}
        return {name: int(table) for name, table in self._tables[itemsize].items()}

    def _upload(self, buffers: Buffers, index: int, pixels: Pixels, stream: Any) -> Picture:
        """Make a picture readable for the device: in place if it is page-locked, else by upload."""
        if not self._device_address(pixels):
            np.copyto(buffers.staging[index], pixels)
            pixels = buffers.staging[index]
        if buffers.mapped:
            return Picture(self._device_address(pixels) or 0, pixels.strides[0])
        self._copy(buffers, pixels, buffers.pictures[index], stream, down=False)
        return Picture(int(buffers.pictures[index]), buffers.stride)

    def _copy(self, buffers: Buffers, host: Pixels, device: Any, stream: Any, down: bool) -> None:
        copy = self._driver.Memcpy2D()
        if down:
            copy.set_src_device(device)
            copy.set_dst_host(host)
        else:
            copy.set_src_host(host)
            copy.set_dst_device(device)
        strides = (buffers.stride, host.strides[0]) if down else (host.strides[0], buffers.stride)
        copy.src_pitch, copy.dst_pitch = strides
        copy.width_in_bytes, copy.height = buffers.row_bytes, buffers.layout.height
        copy(stream)

    def _fuse(
        self,
        lane: Lane,
        buffers: Buffers,
        pictures: Sequence[Picture],
        out: Picture,
        means: DeviceMeans,
        steered: bool,
    ) -> None:
        """steered: whether the stream's memory steers."""
        layout, addresses = buffers.layout, buffers.addresses | {"means": int(means.memory)}
        filled = {small: layout.bracket(small, pictures, out, addresses, means.share) for small in (True, False)}
        steps = [step for step in buffers.steps if buffers.motion is None or not step.kernel.startswith(AVERAGING)]
        for index, step in enumerate(steps):
            if step.kernel == "small_lab" and buffers.motion is not None:
                self._driver.memcpy_htod_async(addresses["small_bgr"], buffers.motion.smalls, self._stream)
            if step.kernel == "network":
                given = addresses["network_in"] + step.plane * layout.network_plane_bytes(step.small)
                self._net.enqueue(
                    *layout.network_shape(step.small), given, addresses["network_out"], self._stream.handle
                )
            else:
                self._launch(step, bytes(filled[step.small]), Bracket, self._stream)
            if step.kernel == "smooth_columns" and steered:
                self._steer(lane, buffers)
            if index + 1 == len(steps) or steps[index + 1].stage != step.stage:
                lane.mark(step.stage, self._stream)

    def _steer(self, lane: Lane, buffers: Buffers) -> None:
        """Average the steering planes over a cycle of exposures: by the host, for which the device waits meanwhile."""
        memory = buffers.motion
        assert memory is not None
        self._driver.memcpy_dtoh_async(memory.steering, buffers.addresses["steering"], self._stream)
        self._driver.memcpy_dtoh_async(memory.lightness, buffers.addresses["lightness"], self._stream)
        lane.mark("affine", self._stream)
        lane.wait()
        memory.steer(self._memory, self.settings.window_radius, self._loops)
        self._driver.memcpy_htod_async(buffers.addresses["steering"], memory.steering, self._stream)

    def _launch(self, step: Step, argument: bytes, kind: type[ctypes.Structure], stream: Any) -> None:
        if step.kernel not in self._functions:
            self._functions[step.kernel] = self._module.get_function(step.kernel).prepare([np.dtype(kind)])
        self._functions[step.kernel].prepared_async_call(step.grid, BLOCK, stream, argument)

    # ---- page-locked memory ----

    def buffer_for(self, like: Pixels) -> Pixels:
        """Memory for a result of this shape and dtype that the device writes in place."""
        with self.on_device():
            flags = self._driver.host_alloc_flags.DEVICEMAP
            buffer: Pixels = self._driver.pagelocked_empty(like.shape, like.dtype, mem_flags=flags)
            self._remember(buffer)
        return buffer

    def _remember(self, array: Pixels) -> None:
        """Register page-locked memory until the array is freed: its addresses are reused afterwards."""
        base: Any = array.base
        start = array.ctypes.data
        self._locked[start] = Locked(start, array.nbytes, int(base.get_device_pointer()))
        weakref.finalize(array, self._locked.pop, start, None).atexit = False

    @contextmanager
    def page_locked(self, memory: NDArray[np.uint8]) -> Iterator[None]:
        """Context in which pictures within `memory` are read in place. If the system refuses to lock the memory, they
        are copied instead.
        """
        start = memory.ctypes.data
        with self.on_device():
            device = lock_pages(start, memory.nbytes)
        if device is not None:
            self._locked[start] = Locked(start, memory.nbytes, device)
        yield  # after an exception nothing is waited for: the device may be what hangs, and the process ends
        for lane in self._lanes:
            if lane.pending is not None:
                lane.pending.finish()
        if self._locked.pop(start, None) is not None:
            with self.on_device():
                driver_library().cuMemHostUnregister(ctypes.c_void_p(start))

    def _device_address(self, pixels: Pixels) -> int | None:
        """The device's address of a picture in page-locked memory whose rows follow each other, else None."""
        row = pixels.shape[1] * 3 * pixels.itemsize
        if pixels.strides[1:] != (3 * pixels.itemsize, pixels.itemsize) or pixels.strides[0] < row:
            return None
        start, size = pixels.ctypes.data, (pixels.shape[0] - 1) * pixels.strides[0] + row
        for locked in self._locked.values():
            if locked.host <= start and start + size <= locked.host + locked.size:
                return locked.device + start - locked.host
        return None

    def close(self) -> None:
        """Free device and page-locked memory. The fuser cannot be used afterwards."""
        with self.on_device():
            self._lanes, self._means, self._tables, self._functions = [], None, {}, {}
            self._module = self._stream = self._early = None
        self._detach()
