"""The CUDA kernels as C++ on the host: built from the very source, run by the very layout, on poisoned memory."""

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from livemef.fusion.cuda import launch_layout
from livemef.fusion.cuda.launch_layout import BLOCK, BracketLayout, Picture
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.settings import FusionSettings
from tests.gpu_tools import lacking

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
SOURCE = ROOT / "fusion/kernels/fusion.cu"
FLAGS = [
    "-O2",
    "-std=c++17",
    "-shared",
    "-fPIC",
    "-Wall",
    "-Werror",
    "-Wno-maybe-uninitialized",
    "-Wno-unknown-pragmas",
]
POISON = 0xFF
"""Of floats it makes NaN, of an exponent or a plane something absurd."""


def folder_until_exit(prefix: str) -> Path:
    """A new folder for temporary files, removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def host_library_path() -> Path:
    """The shared library of all kernels; built once a test run. Skips the test where no C++ compiler is."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        lacking("no C++ compiler: the kernels are not run on the host")
    folder = folder_until_exit("livemef-kernels-")
    target = folder / "kernels.so"
    command = [compiler, *FLAGS, "-include", HERE / "on_host.h", "-x", "c++", SOURCE, HERE / "curve.cu", "-o", target]
    subprocess.run([str(word) for word in command], check=True, timeout=110)
    return target


@functools.cache
def host_library() -> ctypes.CDLL:
    return ctypes.CDLL(str(host_library_path()))


class HostFuser:
    """Runs a BracketLayout on the host, with a LightnessNet. Every buffer is poisoned before each bracket."""

    def __init__(self, net, settings: FusionSettings, half: bool = False, stream: bool = False):
        self.net, self.settings, self.half, self.means = net, settings, half, None
        self.running = RunningMeans() if stream else None

    def fuse(self, exposures, out):
        """The exposures -> `out`; rows may be strided, pixels within a row are packed. Returns the planes by name."""
        height, width = exposures[0].shape[:2]
        itemsize, net = exposures[0].itemsize, self.net
        layout = BracketLayout(height, width, itemsize, self.settings, net.multiple, self.half, len(exposures))
        planes = {name: np.full(size + 64, POISON, np.uint8) for name, size in layout.planes().items()}
        if self.settings.gamma != "adaptive":
            planes["exponent"][:4] = np.frombuffer(np.float32(self.settings.gamma).tobytes(), np.uint8)
        arrays = planes | launch_layout.tables(itemsize)
        if self.means is None:
            self.means = np.full(layout.means_bytes, POISON, np.uint8)
        arrays["means"] = self.means
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        pictures = [Picture(picture.ctypes.data, picture.strides[0]) for picture in exposures]
        target = Picture(out.ctypes.data, out.strides[0])
        share = self.running.begin() if self.running else 1.0
        brackets = {small: layout.bracket(small, pictures, target, addresses, share) for small in (True, False)}
        for step in layout.steps():
            if step.kernel == "network":
                self._network(layout.network_shape(step.small), planes, step.plane)
            else:
                launch(step, brackets[step.small])
        for name, plane in planes.items():
            assert (plane[layout.planes()[name] :] == POISON).all(), f"{name} was written beyond its end"
        return planes

    def _network(self, shape, planes, plane):
        kind, count = np.float16 if self.half else np.float32, shape[0] * shape[1]
        read = planes["network_in"].view(kind)[plane * count : (plane + 2) * count]
        dark, bright = read.reshape(2, *shape).astype(np.float32)
        assert np.isfinite(dark).all()
        assert np.isfinite(bright).all()
        planes["network_out"].view(kind)[:count] = self.net(dark, bright).astype(kind).ravel()


def launch(step, bracket):
    grid, block = (ctypes.c_uint * 3)(*step.grid), (ctypes.c_uint * 3)(*BLOCK)
    getattr(host_library(), step.kernel)(ctypes.byref(bracket), grid, block)
