"""What lightness does the network give for this bracket: the one interface that fusion calls,"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from livemef.engine.errors import EngineError

DEFAULT_MULTIPLE = 16
Plane = NDArray[np.float32]


class LightnessNet(Protocol):
    """A network that fuses two lightness planes.

    `sha256` is of the ONNX file's bytes, `name` the model's own name. `multiple`: height and width are padded
    to a multiple of it inside, so any size may be passed.
    """

    sha256: str
    name: str
    multiple: int

    def __call__(self, dark: NDArray[np.float32], bright: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fused lightness, height x width, 0..1, of two planes L*/100 of the same shape, float32 in 0..1."""
        ...


class CudaNet(Protocol):
    """A network on the current CUDA device, for planes that are there already. `half`: it takes and gives fp16.

    `sha256`, `name` and `multiple` as in LightnessNet. The caller pads: height and width are multiples of `multiple`.
    """

    sha256: str
    name: str
    multiple: int
    half: bool

    def prepare(self, height: int, width: int) -> None:
        """Make ready for planes of this size, which may take minutes. Raises EngineError."""
        ...

    def enqueue(self, height: int, width: int, lightness: int, fused: int, stream: int) -> None:
        """Put a run into the stream: device addresses of the input (2 x height x width) and of the output."""
        ...


def checked_multiple(path: Path, text: str) -> int:
    """The multiple that a model's metadata gives. Raises EngineError."""
    if not (text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= 1024):
        raise EngineError(f"model {path}: its metadata gives multiple={text[:20]!r}; a whole number 1..1024 is needed")
    return int(text)


def pad_to_multiple(plane: Plane, multiple: int) -> Plane:
    """The plane with its last row and column repeated until both sides are multiples of `multiple`."""
    height, width = plane.shape
    below, right = -height % multiple, -width % multiple
    return np.pad(plane, ((0, below), (0, right)), mode="edge") if below or right else plane
