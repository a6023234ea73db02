"""The interface of a fuser on any device, and the checks of its input."""

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
    """A fused picture: BGR, of the exposures' shape and dtype.

    stages_ms: milliseconds by stage. motion: result of motion compensation, None if that is off. (Where no picture was
    asked for, `pixels` is memory with anything in it.)
    """

    pixels: Pixels
    stages_ms: dict[str, float]
    motion: MotionReport | None = None


class Pending(Protocol):
    """A bracket under fusion."""

    def finish(self) -> Fused:
        """Wait for the fused picture. May be called again, with the same result. Raises FusionError."""
        ...


class Fuser(Protocol):
    """Fuses brackets into pictures on one device. Not thread-safe.

    writes_anywhere: whether `out` may lie in any memory without a loss of speed, and one bracket is fused at a time.
    model_sha256: of the network's file. device: name of what it computes on. in_flight: number of brackets that may be
    started before the first is finished.
    """

    settings: FusionSettings
    model_sha256: str
    device: str
    in_flight: int
    writes_anywhere: bool

    def fuse(self, exposures: Sequence[Pixels], out: Pixels | None = None, moments: Moments = UNKNOWN) -> Fused:
        """Fuse two or more exposures, dark to bright: BGR uint8 or uint16, all of one shape. Raises FusionError.

        moments: relative exposures and reference frame, for motion compensation. out: buffer for the picture, writable,
        of the exposures' shape and dtype; to pass the same one each time saves allocations.
        """
        ...

    def begin(
        self,
        exposures: Sequence[Pixels],
        out: Pixels | None = None,
        moments: Moments = UNKNOWN,
        picture: bool = True,
    ) -> Pending:
        """Start what `fuse` does; `finish` of the result returns the picture. Until then the exposures and `out` must
        not be changed.

        picture: False = nobody will see it, and it need not be made. What is remembered of the stream is the same, so
        that the next pictures are.
        """
        ...

    def change(self, settings: FusionSettings) -> None:
        """Fuse with these settings from the next bracket on, exactly as a fuser opened with them would.

        What was learned of the stream is forgotten. Brackets that were begun are finished with the old settings. Raises
        FusionError or EngineError, and keeps the old ones, if the device cannot use the new ones.
        """
        ...

    def buffer_for(self, like: Pixels) -> Pixels:
        """An uninitialised buffer of the shape and dtype of `like`, in memory that this device writes fastest."""
        ...

    def page_locked(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None]:
        """Context in which exposures within `memory` (uint8) are read in place, if the device can do so."""
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
