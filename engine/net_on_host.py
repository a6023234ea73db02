"""A network on the CPU for planes that lie on a CUDA device: where no TensorRT runs on this GPU."""

from __future__ import annotations

import ctypes
import time
from typing import Any

import numpy as np

from livemef.engine.cuda_device import driver_library
from livemef.engine.errors import EngineError
from livemef.engine.runtime import LightnessNet

NOT_READY = 600  # CUDA_ERROR_NOT_READY, cuda.h
WAIT_LIMIT_S, POLL_S = 4.0, 2e-5


class NetOnHost:
    """A CudaNet: the planes are copied to the host, `net` fuses them there, the fused plane is copied back.

    `enqueue` waits for the stream, so the host is busy while the network runs, about a millisecond at 90 lines.
    """

    half = False

    def __init__(self, net: LightnessNet) -> None:
        self._net = net
        self.sha256, self.name, self.multiple = net.sha256, net.name, net.multiple
        self._fused: Any = None

    def prepare(self, height: int, width: int) -> None:
        """See CudaNet. Nothing is built."""

    def enqueue(self, height: int, width: int, lightness: int, fused: int, stream: int) -> None:
        """See CudaNet. Raises EngineError, also if the stream has not come so far within WAIT_LIMIT_S."""
        driver, handle = driver_library(), ctypes.c_void_p(stream)
        _wait(driver, handle)
        planes = np.empty((2, height, width), np.float32)
        size = ctypes.c_size_t(planes.nbytes)
        _checked(driver.cuMemcpyDtoHAsync_v2(_address(planes), ctypes.c_uint64(lightness), size, handle))
        _wait(driver, handle)
        # kept: the driver may read it after this call
        self._fused = np.ascontiguousarray(self._net(planes[0], planes[1]), np.float32)
        size = ctypes.c_size_t(self._fused.nbytes)
        _checked(driver.cuMemcpyHtoDAsync_v2(ctypes.c_uint64(fused), _address(self._fused), size, handle))


def _wait(driver: Any, stream: ctypes.c_void_p) -> None:
    """Until all that was enqueued is done: by asking, since the driver's own waiting has no limit."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while (code := driver.cuStreamQuery(stream)) == NOT_READY:
        if time.monotonic() > deadline:
            raise EngineError(f"the GPU has not answered for {WAIT_LIMIT_S:.0f} s: its driver or device hangs")
        time.sleep(POLL_S)
    _checked(code)


def _checked(code: int) -> None:
    if code:
        raise EngineError(f"the GPU failed at the network's planes (CUDA error {code})")


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
