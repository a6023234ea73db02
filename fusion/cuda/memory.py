"""Memory for brackets on a CUDA device, and page-locked beside it. The driver, pycuda's, comes from fusion.cuda."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from livemef.fusion.cuda import launch_plan
from livemef.fusion.cuda.launch_plan import PairPlan, offsets
from livemef.fusion.cuda.motion import RemakeRoom

REGISTER_MAPPED = 2  # CU_MEMHOSTREGISTER_DEVICEMAP, cuda.h


@dataclass(frozen=True)
class Locked:
    """Page-locked memory: where it is on the host and for the device."""

    host: int
    size: int
    device: int


class Room:
    """Memory for brackets of one size and number of exposures, on the device and page-locked on the host."""

    def __init__(self, driver: Any, plan: PairPlan, exposures: int, tables: dict[str, int], mapped: bool) -> None:
        places, size = offsets(plan.planes())
        self.plan, self.exposures, self.steps = plan, exposures, plan.steps()
        self.planes = driver.mem_alloc(size)
        self.addresses = {name: int(self.planes) + place for name, place in places.items()} | tables
        if plan.settings.gamma != "adaptive":
            driver.memcpy_htod(self.addresses["exponent"], np.array([plan.settings.gamma], np.float32))
        shape, dtype = (plan.height, plan.width, 3), np.dtype(f"u{plan.itemsize}")
        flags = driver.host_alloc_flags.DEVICEMAP
        self.staging = [driver.pagelocked_empty(shape, dtype, mem_flags=flags) for _ in range(exposures + 1)]
        self.mapped = mapped
        row = plan.width * 3 * plan.itemsize
        self.row_bytes, self.stride = row, -(-row // launch_plan.ALIGNMENT) * launch_plan.ALIGNMENT
        self.pictures = [] if mapped else [driver.mem_alloc(self.stride * plan.height) for _ in self.staging]
        moving = plan.settings.motion != "off"
        self.motion = MotionRoom(driver, plan, exposures, self.stride) if moving else None

    def matches(self, plan: PairPlan, exposures: int) -> bool:
        """Whether such brackets fit."""
        return self.plan == plan and self.exposures == exposures


class MotionRoom:
    """What motion compensation needs beside: on the host the exposures' motion grids and small pictures, and for each
    exposure what steers its remaking and the picture that it becomes.
    """

    def __init__(self, driver: Any, plan: PairPlan, exposures: int, stride: int) -> None:
        locked = driver.pagelocked_empty
        self.grids = locked((exposures + exposures % 2, *plan.grid_shape, 3), np.float32)
        self.smalls = locked((exposures, *plan.small_shape, 3), np.float32)
        self.remake = RemakeRoom(plan.height, plan.width, plan.itemsize, plan.grid_shape)
        self.blocks = [locked(self.remake.size, np.uint8) for _ in range(exposures)]
        self.device_blocks = [driver.mem_alloc(self.remake.size) for _ in range(exposures)]
        self.remade = [driver.mem_alloc(stride * plan.height) for _ in range(exposures)]


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
