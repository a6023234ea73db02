"""Interfaces of an open network, on the CPU and on CUDA: what fusion calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from livemef.engine.errors import EngineError

DEFAULT_MULTIPLE = 16
Plane = NDArray[np.float32]


class LightnessNet(Protocol):
    """A network that fuses two lightness planes on the CPU.

    sha256: of the ONNX file's bytes, hex. name: from the file's metadata. multiple: planes are padded internally to
    multiples of it, so any size may be passed.
    """

    sha256: str
    name: str
    multiple: int

    def __call__(self, dark: NDArray[np.float32], bright: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fused lightness L*/100, H x W float32 in 0..1, of the under- and the over-exposed plane (same form)."""
        ...


RunMembers = Callable[[int, int, int], None]
"""Calls a C function at this address, void (void *argument, int32_t first, int32_t end), with an argument at that one
for members 0 to a number (exclusive), some here and some there on threads of its own; done on return."""


@runtime_checkable
class OnOthersThreads(Protocol):
    """A LightnessNet that can do its work on somebody else's threads."""

    def run_on(self, threads: RunMembers) -> None:
        """From now on let these threads do it, who are awake when the network is called."""
        ...


class CudaNet(Protocol):
    """A network on the current CUDA device, for planes in device memory.

    sha256, name: as in LightnessNet. multiple: height and width must be multiples of it; the caller pads. half: input
    and output are fp16, else fp32.
    """

    sha256: str
    name: str
    multiple: int
    half: bool

    def prepare(self, height: int, width: int) -> None:
        """Load or build the engine for planes of this size; a build takes minutes. Raises EngineError."""
        ...

    def enqueue(self, height: int, width: int, lightness: int, fused: int, stream: int) -> None:
        """Enqueue one run on a CUDA stream (its handle), for a size that was prepared.

        lightness, fused: device addresses of the input (2 x H x W) and the output (H x W), L*/100. Raises EngineError.
        """
        ...


def checked_multiple(path: Path, text: str) -> int:
    """The number in a model's metadata field `multiple`, 1..1024. Raises EngineError."""
    if not (text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= 1024):
        raise EngineError(f"model {path}: its metadata gives multiple={text[:20]!r}; a whole number 1..1024 is needed")
    return int(text)


def pad_to_multiple(plane: Plane, multiple: int) -> Plane:
    """The plane (H x W), its last row and column replicated until both sides are multiples of `multiple`."""
    height, width = plane.shape
    below, right = -height % multiple, -width % multiple
    return np.pad(plane, ((0, below), (0, right)), mode="edge") if below or right else plane
