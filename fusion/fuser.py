"""What a fuser is: the interface of all devices, and what it accepts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError
from livemef.fusion.motion.compensation import UNKNOWN, Moments, MotionReport
from livemef.fusion.settings import FusionSettings


@dataclass
class Fused:
    """A fused picture (BGR, the exposures' shape and dtype) and where the time went, in milliseconds a stage.

    motion: what was done about motion, None if that is off.
    """

    pixels: Pixels
    stages_ms: dict[str, float]
    motion: MotionReport | None = None


class Pending(Protocol):
    """A bracket that is being fused."""

    def finish(self) -> Fused:
        """Wait for the picture. Raises FusionError. May be called again."""
        ...


class Fuser(Protocol):
    """Turns brackets into pictures on one device. Not thread-safe: one caller at a time.

    in_flight: brackets that may be under way at a time.
    """

    settings: FusionSettings
    model_sha256: str
    device: str
    in_flight: int

    def fuse(self, exposures: Sequence[Pixels], out: Pixels | None = None, moments: Moments = UNKNOWN) -> Fused:
        """Fuse two or more exposures, dark to bright: BGR uint8 or uint16, all of one shape. Raises FusionError.

        `moments` says how they were taken, as far as it is known, for what is done about motion.

        `out`, if given, receives the picture: writable, of the exposures' shape and dtype. A stream that
        passes the same one each time spares the system handing out fresh memory.
        """
        ...

    def begin(self, exposures: Sequence[Pixels], out: Pixels | None = None, moments: Moments = UNKNOWN) -> Pending:
        """As `fuse`, whose result `finish` gives; exposures and `out` must not be touched until then."""
        ...

    def buffer_for(self, like: Pixels) -> Pixels:
        """Buffer for a result of this shape and dtype, where this device writes fastest."""
        ...

    def page_locked(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None]:
        """While this lasts, exposures that lie in `memory` are read in place where the device can do so."""
        ...

    def close(self) -> None:
        """Free threads and device memory. The fuser cannot be used afterwards."""
        ...


def check_exposures(exposures: Sequence[Pixels]) -> None:
    """Raise FusionError unless these are two or more BGR pictures of one shape and one dtype, uint8 or uint16."""
    if len(exposures) < 2:
        raise FusionError(f"a bracket needs at least two exposures to be fused, not {len(exposures)}")
    first = exposures[0]
    for index, pixels in enumerate(exposures):
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise FusionError(f"exposure {index} has shape {pixels.shape}; it must be height x width x 3 (BGR)")
        if pixels.dtype not in (np.uint8, np.uint16):
            raise FusionError(f"exposure {index} is {pixels.dtype}; it must be uint8 or uint16")
        if pixels.shape != first.shape or pixels.dtype != first.dtype:
            raise FusionError(
                f"exposure {index} is {_describe(pixels)} but exposure 0 is {_describe(first)}; all must be alike"
            )


def is_packed(pixels: Pixels) -> bool:
    """Whether the pixels of a row lie next to each other; rows may be padded."""
    return pixels.strides[1:] == (3 * pixels.itemsize, pixels.itemsize) and pixels.flags.aligned


def checked_out(out: Pixels, like: Pixels) -> Pixels:
    """`out`, if it can take the result for exposures like this one. Raises FusionError."""
    if out.shape != like.shape or out.dtype != like.dtype or not out.flags.writeable or not is_packed(out):
        raise FusionError(
            f"out is {out.shape} {out.dtype}; it must be {like.shape} {like.dtype}, writable, packed within its rows"
        )
    return out


def _describe(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]} {pixels.dtype}"
