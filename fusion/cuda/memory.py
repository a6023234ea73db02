"""Memory for brackets on a CUDA device, and page-locked beside it. The driver, pycuda's, comes from fusion.cuda."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from livemef.fusion.cuda import launch_layout
from livemef.fusion.cuda.launch_layout import BracketLayout, offsets
from livemef.fusion.cuda.motion import RemakeBuffers, in_f, in_lightness
from livemef.fusion.motion.grid_loops import GridLoops
from livemef.fusion.motion.steadiness import StreamMemory

REGISTER_MAPPED = 2  # CU_MEMHOSTREGISTER_DEVICEMAP, cuda.h


@dataclass(frozen=True)
class Locked:
    """Page-locked memory: its address on the host and on the device."""

    host: int
    size: int
    device: int


class Buffers:
    """Memory for brackets of one size and number of members, on the device and page-locked on the host."""

    def __init__(self, driver: Any, layout: BracketLayout, members: int, tables: dict[str, int], mapped: bool) -> None:
        places, size = offsets(layout.planes())
        self.members = members
        self.planes = driver.mem_alloc(size)
        self.addresses = {name: int(self.planes) + place for name, place in places.items()} | tables
        self._take(driver, layout)
        shape, dtype = (layout.height, layout.width, 3), np.dtype(f"u{layout.itemsize}")
        flags = driver.host_alloc_flags.DEVICEMAP
        self.staging = [driver.pagelocked_empty(shape, dtype, mem_flags=flags) for _ in range(members + 1)]
        self.mapped = mapped
        row = layout.width * 3 * layout.itemsize
        self.row_bytes, self.stride = row, -(-row // launch_layout.ALIGNMENT) * launch_layout.ALIGNMENT
        self.pictures = [] if mapped else [driver.mem_alloc(self.stride * layout.height) for _ in self.staging]
        moving = layout.settings.motion != "off"
        self.motion = MotionBuffers(driver, layout, members, self.stride) if moving else None

    def _take(self, driver: Any, layout: BracketLayout) -> None:
        self.layout, self.steps = layout, layout.steps()
        if layout.settings.gamma != "adaptive":
            driver.memcpy_htod(self.addresses["exponent"], np.array([layout.settings.gamma], np.float32))

    def fit(self, layout: BracketLayout, members: int) -> bool:
        """Whether such brackets fit in here: settings may differ as long as they need the same memory and engines."""
        return self.members == members and self.layout.memory == layout.memory

    def adopt(self, driver: Any, layout: BracketLayout) -> None:
        """Use this memory for brackets of another layout, which must `fit`; nothing of it may be in use."""
        if layout != self.layout:
            self._take(driver, layout)


class DeviceMeans:
    """Running means on the device. share: of the present bracket in them, 0..1, see `running_means`."""

    def __init__(self, driver: Any, size: int) -> None:
        self.size, self.memory, self.share = size, driver.mem_alloc(size), 1.0


class MotionBuffers:
    """Additional memory for motion compensation: on the host the exposures' motion grids and small pictures, and for
    each exposure the parameters of its synthesis and the synthesised picture.
    """

    def __init__(self, driver: Any, layout: BracketLayout, members: int, stride: int) -> None:
        locked = driver.pagelocked_empty
        self.grids = locked((members, *layout.grid_shape, 3), np.float32)
        self.smalls = locked((members, *layout.small_shape, 3), np.float32)
        self.steering = locked((*layout.small_shape, layout.steering_numbers), np.float32)
        self._planes = layout.steering_planes
        self.lightness = locked((members, *layout.small_shape), np.float32)
        self.remake = RemakeBuffers(layout.height, layout.width, layout.itemsize, layout.grid_shape)
        self.blocks = [locked(self.remake.size, np.uint8) for _ in range(members)]
        self.device_blocks = [driver.mem_alloc(self.remake.size) for _ in range(members)]
        self.remade = [driver.mem_alloc(stride * layout.height) for _ in range(members)]

    def steer(self, stream: StreamMemory, radius: int, loops: GridLoops) -> None:
        """Average the steering planes, which have been copied here, over a cycle of exposures."""
        planes, exposures = self.steering[..., : self._planes], len(self.lightness)
        past = stream.past(planes.shape[:2], radius, loops)
        steered = stream.steer(in_lightness(planes, exposures), list(self.lightness), past, loops)
        planes[:] = in_f(steered, exposures)


@lru_cache(maxsize=1)
def driver_library() -> Any:
    """NVIDIA's driver, asked directly."""
    return ctypes.CDLL("libcuda.so.1")


def lock_pages(start: int, size: int) -> int | None:
    """Lock memory for the current context; its address for the device, None where that cannot be.

    Asked of the driver itself: pycuda's register_host_memory (2026.1, numpy 2) crashes.
    """
    library, device = driver_library(), ctypes.c_uint64()
    if library.cuMemHostRegister_v2(ctypes.c_void_p(start), ctypes.c_size_t(size), REGISTER_MAPPED):
        return None
    if library.cuMemHostGetDevicePointer_v2(ctypes.byref(device), ctypes.c_void_p(start), 0):
        library.cuMemHostUnregister(ctypes.c_void_p(start))
        return None
    return device.value
