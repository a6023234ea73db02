"""The CPU runtime for livemef's own U-Net (kernels/network.c): quicker than onnxruntime, which is the reference.

It serves networks that `export` has written with the widths that the loops are made for, in single precision, on
processors with AVX2 or AVX-512. All others are for onnxruntime.

On processors that multiply bfloat16 (AVX512-BF16) the weights and planes of small pictures are rounded to it: half the
time, within .01 of lightness 0..1 and .001 on the mean. The local affine model averages that over its windows.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from ctypes import POINTER, Structure, addressof, byref, c_int32, c_size_t, c_void_p, cast
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.engine import processor
from livemef.engine.onnx_graph import Graph, read_graph
from livemef.engine.runtime import DEFAULT_MULTIPLE, Plane, RunMembers, checked_multiple
from livemef.engine.unet_graph import LEVELS, PLACES, is_unet, layers

MOST_KEPT = 1 << 26
"""Bytes of memory that are kept from call to call; large pictures take more, and give it back."""
MOST_MEMBERS = 16
"""As in kernels/threads.h."""
ROUNDED_UP_TO = 1 << 15
"""Pixels of padded planes that are computed in bfloat16, if at all: larger ones may be a picture's own lightness."""
LEAST_ROWS = 32
"""Rows of a picture for each thread: fewer are not worth waiting for each other after every layer."""


class _Layer(Structure):
    _fields_ = [("weights", c_void_p), ("bias", c_void_p), ("outs", c_int32), ("channels", c_int32), ("skip", c_int32)]


class _Network(Structure):
    _fields_ = [
        ("down", _Layer * (2 * LEVELS)),
        ("up", _Layer * (2 * (LEVELS - 1))),
        ("last", c_void_p),
        ("last_bias", c_void_p),
    ]


class _Picture(Structure):
    _fields_ = [("dark", c_void_p), ("bright", c_void_p), ("fused", c_void_p), ("height", c_int32), ("width", c_int32)]


class _Team(Structure):
    _fields_ = [("members", c_int32), ("done", c_int32), ("sleepers", c_int32), ("taken", c_int32 * MOST_MEMBERS)]


class _Run(Structure):
    _fields_ = [
        ("network", c_void_p),
        ("picture", c_void_p),
        ("padded_height", c_int32),
        ("padded_width", c_int32),
        ("memory", c_void_p),
        ("team", c_void_p),
    ]


@lru_cache(maxsize=2)
def _library(rounds: bool = False) -> ctypes.CDLL | None:
    """The loops, if it `rounds` those that work in bfloat16; None where they are not built or the processor has none of
    the instructions they are made for.
    """
    best = processor.level() if rounds else min(processor.level(), processor.EXACT)
    path = processor.built(Path(__file__).parent, "_network", best) if best > 0 else None
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    processor.check_sources(library, Path(__file__).parent / "kernels")
    library.network_bytes.restype = c_int32
    library.network_block.argtypes = [c_int32] * 3
    library.network_block.restype = c_int32
    library.network_values.argtypes = [POINTER(_Network), c_int32, c_int32]
    library.network_values.restype = c_size_t
    library.network_run.argtypes = [POINTER(_Network), POINTER(_Picture), c_int32, c_int32, c_void_p, c_void_p, c_int32]
    library.network_run.restype = None
    return library


class CompiledLightnessNet:
    """A LightnessNet on the CPU. The same planes give the same bits, whatever the number of threads.

    Thread-safe: calls from several threads take turns. Made by `open_compiled`.
    """

    def __init__(
        self, exact: ctypes.CDLL, rounding: ctypes.CDLL, path: Path, data: bytes, graph: Graph, threads: int | None
    ) -> None:
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.name = graph.metadata.get("name", path.stem)
        self.multiple = checked_multiple(path, graph.metadata.get("multiple", str(DEFAULT_MULTIPLE)))
        self._exact = _Loops(exact, graph)
        self._quick = _Loops(rounding, graph) if rounding.network_bytes() < exact.network_bytes() else self._exact
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="network") if self._threads > 1 else None
        self._turn = Lock()
        self._run_members: RunMembers | None = None

    def run_on(self, threads: RunMembers) -> None:
        """See OnOthersThreads."""
        self._run_members = threads

    def __call__(self, dark: Plane, bright: Plane) -> Plane:
        """Fused lightness 0..1; see LightnessNet. Raises ValueError where the planes differ in shape."""
        if dark.ndim != 2 or dark.shape != bright.shape:
            raise ValueError(f"two planes of one shape are needed, got {dark.shape} and {bright.shape}")
        dark, bright = (np.ascontiguousarray(plane, np.float32) for plane in (dark, bright))
        fused = np.empty_like(dark)
        picture = _Picture(dark.ctypes.data, bright.ctypes.data, fused.ctypes.data, *dark.shape)
        height, width = (-(-side // self.multiple) * self.multiple for side in dark.shape)
        with self._turn:
            self._run(self._quick if height * width <= ROUNDED_UP_TO else self._exact, picture, height, width)
        return fused

    def _run(self, loops: _Loops, picture: _Picture, height: int, width: int) -> None:
        memory = loops.memory_for(height, width)
        team = _Team(max(1, min(self._threads, height // LEAST_ROWS, MOST_MEMBERS)))

        if self._run_members is not None:
            run = _Run(addressof(loops.network), addressof(picture), height, width, memory.ctypes.data, addressof(team))
            self._run_members(loops.members, addressof(run), team.members)
            return

        def work(member: int) -> None:
            loops.calls.network_run(
                byref(loops.network), byref(picture), height, width, memory.ctypes.data, byref(team), member
            )

        if self._pool is not None:
            for member in range(1, team.members):
                self._pool.submit(work, member)  # not waited for: who comes late finds nothing left to do
        work(0)


def open_compiled(path: Path, data: bytes, threads: int | None) -> CompiledLightnessNet | None:
    """The network in the bytes `data` of the file `path`; None where the loops do not serve it or this processor.

    threads: None = one a usable core. Raises EngineError for metadata that is wrong.
    """
    exact, rounding = _library(), _library(rounds=True)
    if exact is None or rounding is None:
        return None
    try:
        graph = read_graph(data)
        if not is_unet(graph):
            return None
    except (ValueError, KeyError, OverflowError):
        return None  # whatever is wrong with it, onnxruntime gives the reason
    if not all(library.network_block(*layer.shape) for library in (exact, rounding) for layer in layers(graph)):
        return None
    return CompiledLightnessNet(exact, rounding, path, data, graph, threads)


class _Loops:
    """A build of the loops: the weights as it wants them, the structure that points to them, memory for its planes."""

    def __init__(self, library: ctypes.CDLL, graph: Graph) -> None:
        self.calls, self.members = library, _address(library.network_members)
        self._bytes = library.network_bytes()
        self._arrays: list[NDArray[Any]] = []
        self._memory: tuple[tuple[int, int], NDArray[np.float32]] = ((0, 0), np.empty(0, np.float32))
        self.network, down, up = _Network(), 0, 0
        for layer in layers(graph):
            block = library.network_block(*layer.shape)
            places = [_blocks(taps, block) for taps in layer.taps]
            assert len(places) == (PLACES if layer.shape[2] else 1)
            outs, channels, skip = layer.shape
            made = _Layer(self._weights(np.concatenate(places), block), self._keep(layer.bias), outs, channels, skip)
            if layer.upwards:
                self.network.up[up], up = made, up + 1
            else:
                self.network.down[down], down = made, down + 1
        self.network.last = self._keep(graph.tensors["last.weight"][:, :, 0, 0].T)
        self.network.last_bias = self._keep(graph.tensors["last.bias"])

    def _weights(self, blocks: NDArray[np.float32], block: int) -> int:
        if self._bytes == 4:
            return self._keep(blocks)
        pairs = blocks.reshape(-1, 2, block).transpose(0, 2, 1)  # of two inputs, for the first output, for the next
        return self._keep(bfloat16(pairs))

    def _keep(self, values: NDArray[Any]) -> int:
        flat = np.ravel(values)
        kept = _aligned(np.zeros(flat.nbytes // 4 + 16, np.float32)).view(flat.dtype)[: flat.size]
        kept[:] = flat
        self._arrays.append(kept)
        return kept.ctypes.data

    def memory_for(self, height: int, width: int) -> NDArray[np.float32]:
        """Zeros, or what the last call of the same size has left: the borders of its planes are zero still."""
        if self._memory[0] == (height, width):
            return self._memory[1]
        values = self.calls.network_values(byref(self.network), height, width)
        memory = _aligned(np.zeros(values * self._bytes // 4 + 16, np.float32))
        if memory.nbytes <= MOST_KEPT:
            self._memory = (height, width), memory
        return memory


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The leading halves of float32, rounded to the nearest."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _blocks(taps: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Weights, a row an input and a column an output, as one block of outputs after the other."""
    return np.concatenate([taps[:, first : first + block].ravel() for first in range(0, taps.shape[1], block)])


def _address(function: Any) -> int:
    return cast(function, c_void_p).value or 0


def _aligned(memory: NDArray[Any]) -> NDArray[np.float32]:
    """float32 memory from the next multiple of 64 bytes on: a vector across two cache lines costs more."""
    return memory[(-memory.ctypes.data % 64) // 4 :]
