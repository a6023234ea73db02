"""`Curve` as a CudaNet: a kernel, put into the stream by its bare handle, as TensorRT does it."""

import ctypes
import os
from pathlib import Path

from livemef.fusion.cuda.kernel_argument import Bracket
from livemef.fusion.cuda.launch_layout import BLOCK
from tests.fusion.brackets import Curve

KERNELS = Path(os.environ["STAND_IN_KERNELS"])


class CurveOnDevice:
    sha256, name, multiple = Curve.sha256, Curve.name, Curve.multiple

    def __init__(self, half=False):
        self.half, self.prepared, self._function = half, [], ctypes.c_void_p()

    def prepare(self, height, width):
        self.prepared.append((height, width))
        self._driver, module = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
        assert self._driver.cuModuleLoad(ctypes.byref(module), str(KERNELS).encode()) == 0
        assert self._driver.cuModuleGetFunction(ctypes.byref(self._function), module, b"curve") == 0

    def enqueue(self, height, width, lightness, fused, stream):
        assert (height, width) in self.prepared
        pair = Bracket(
            network_in=lightness, network_out=fused, network_height=height, network_width=width, half=self.half
        )
        size = ctypes.c_size_t(ctypes.sizeof(pair))
        extra = (ctypes.c_void_p * 5)(1, ctypes.addressof(pair), 2, ctypes.addressof(size), None)
        grid = -(-width // BLOCK[0]), -(-height // BLOCK[1]), 1
        handle = ctypes.c_void_p(stream)
        assert self._driver.cuLaunchKernel(self._function, *grid, *BLOCK, 0, handle, None, extra) == 0
