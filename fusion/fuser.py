"""What a fuser is, how it is set, and how one is opened for a device."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from capture.frame import Pixels
from engine.errors import EngineError
from fusion.chroma_map import Rule, Transfer
from fusion.errors import FusionError
from fusion.motion.compensation import UNKNOWN, Moments, MotionMode, MotionReport
from fusion.tone import Gamma

STILLS_LINES = 135
"""Lines of the small picture of the regional statistics when the network itself sees the whole picture."""


@dataclass(frozen=True)
class FusionSettings:
    """How a bracket is fused. Raises FusionError for a value outside its range.

    network_lines: lines along the shorter side that the network sees, 16..4320; 0 = all of them, the paper's way.
    gamma: exponent on the fused lightness, 0.25..4, below 1 brightens; "adaptive": from the picture's mean lightness.
    adaptive_target: mean lightness, 0..1 exclusive, that the adaptive exponent aims at.
    chroma: "select" (a*, b* of the exposure with the larger chroma) or "weighted" (mean weighted by chroma).
    colour: "chromaticity" (the exposures' light is scaled to the fused lightness, so that hue and saturation
    stay as they were seen) or "lab" (a*, b* as they are in the exposures, whatever the lightness becomes: the paper).
    window_radius: 1..64, half the window of the local affine model, in pixels of the small picture.
    window_eps: > 0, L* squared; contrast below its root inside a window counts as noise and is not amplified.
    motion: what is done about exposures of different moments: "off"; "global" (the picture as a whole is moved back,
    where that helps); "full" (and where they still disagree, the picture is of the reference exposure alone).
    """

    network_lines: int = 90
    gamma: Gamma = 1.0
    adaptive_target: float = 0.5
    chroma: Rule = "select"
    colour: Transfer = "chromaticity"
    window_radius: int = 4
    window_eps: float = 0.25
    motion: MotionMode = "full"

    def __post_init__(self) -> None:
        _check(self.network_lines == 0 or 16 <= self.network_lines <= 4320, "network_lines", self, "0 or 16..4320")
        _check(self.gamma == "adaptive" or _within(self.gamma, 0.25, 4), "gamma", self, "0.25..4 or 'adaptive'")
        _check(_within(self.adaptive_target, 0.01, 0.99), "adaptive_target", self, "0.01..0.99")
        _check(self.chroma in ("select", "weighted"), "chroma", self, "'select' or 'weighted'")
        _check(self.colour in ("chromaticity", "lab"), "colour", self, "'chromaticity' or 'lab'")
        _check(1 <= self.window_radius <= 64, "window_radius", self, "1..64")
        _check(self.motion in ("off", "global", "full"), "motion", self, "'off', 'global' or 'full'")
        _check(_within(self.window_eps, 1e-6, 1e6), "window_eps", self, "1e-6..1e6")

    @property
    def small_lines(self) -> int:
        """Lines of the small picture along its shorter side."""
        return self.network_lines or STILLS_LINES

    def as_dict(self) -> dict[str, Any]:
        """Plain names and values, for headers and reports."""
        return asdict(self)


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high


def _check(valid: bool, name: str, settings: FusionSettings, allowed: str) -> None:
    if not valid:
        raise FusionError(f"fusion setting {name} is {getattr(settings, name)!r}; it must be {allowed}")


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

    def room_for(self, like: Pixels) -> Pixels:
        """Room for a result of this shape and dtype, where this device writes fastest."""
        ...

    def page_locked(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None]:
        """While this lasts, exposures that lie in `memory` are read in place where the device can do so."""
        ...


def open_fuser(
    settings: FusionSettings | None = None,
    model: str | Path = "cbm",
    device: str = "auto",
    threads: int | None = None,
    told: Callable[[str], None] | None = None,
) -> Fuser:
    """Open a fuser with the given network on "cpu", "cuda", or "auto"; `threads` None = one per usable core.

    "auto" is CUDA where it can be had for these settings, else the CPU. For stills, whose network sees the whole
    picture, it is the CPU: on CUDA each new size of picture would first cost minutes of building. `told` hears of
    what takes long, and why CUDA is not used although a GPU is here.
    Raises FusionError for an unknown device or one that cannot be had, EngineError for a model that cannot be loaded.
    """
    settings, told = settings or FusionSettings(), told or (lambda line: None)
    if device not in ("auto", "cpu", "cuda"):
        raise FusionError(f"device {device!r} is not available for fusion; use auto, cpu or cuda")
    if device == "cuda":
        return _cuda_fuser(settings, model, told)
    if device == "auto" and settings.network_lines and driver_is_here():
        try:
            return _cuda_fuser(settings, model, told)
        except (EngineError, FusionError) as error:
            told(f"fusing on the CPU: {error}")
    from engine.runtime import open_net
    from fusion.cpu import CpuFuser

    return CpuFuser(open_net(model, "cpu", threads), settings, threads)


def _cuda_fuser(settings: FusionSettings, model: str | Path, told: Callable[[str], None]) -> Fuser:
    from engine.runtime import open_cuda_net
    from fusion.cuda import CudaFuser

    return CudaFuser(open_cuda_net(model, told), settings)


def driver_is_here() -> bool:
    """Whether NVIDIA's driver library can be loaded, which is quick to find out and needs no package."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


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
