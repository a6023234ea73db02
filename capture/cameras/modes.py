"""Choice of a camera's mode: the one requested, else one that suits live work. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livemef.capture.frame import Exposure

LIVE_PIXELS = 1280 * 720
LIVE_FPS = 24.0
_LONGEST_US = 16000.0
_DEFAULT_RATIO = 16.0


@dataclass(frozen=True)
class Mode:
    """A mode of a camera. `pixel_format`: a name of pixel_formats.FORMATS. fps 0 = unknown."""

    pixel_format: str
    width: int
    height: int
    fps: float

    def __str__(self) -> str:
        rate = f" at {self.fps:.4g} fps" if self.fps else ""
        return f"{self.pixel_format} {self.width}x{self.height}{rate}"


@dataclass(frozen=True)
class WantedMode:
    """The requested mode; None = any."""

    size: tuple[int, int] | None = None
    fps: float | None = None
    pixel_format: str | None = None


def choose_mode(modes: Sequence[Mode], wanted: WantedMode, formats: Sequence[str]) -> Mode | None:
    """The best mode; None if no mode has the requested format or size.

    formats: by preference. Without a size: the largest of at most 1280x720 that reaches 24 fps (or the requested rate).
    Among modes of one size the nearest to the requested rate, or else the fastest; then by format.
    """
    fitting = [
        mode
        for mode in modes
        if mode.pixel_format in formats
        and wanted.pixel_format in (None, mode.pixel_format)
        and wanted.size in (None, (mode.width, mode.height))
    ]
    enough = min(wanted.fps or LIVE_FPS, LIVE_FPS)

    def rank(mode: Mode) -> tuple[float, ...]:
        pixels = mode.width * mode.height
        small_enough = pixels <= LIVE_PIXELS
        rate = -abs(mode.fps - wanted.fps) if wanted.fps else min(mode.fps, 60.0)
        return (
            mode.fps >= enough,
            small_enough,
            pixels if small_enough else -pixels,
            rate,
            -formats.index(mode.pixel_format),
        )

    return max(fitting, key=rank, default=None)


def suggested_plan(
    shortest_us: float, longest_us: float, step_us: float = 0.0, gain: float = 1.0
) -> tuple[Exposure, ...]:
    """Two exposures that suit most scenes: 1 ms and 16 ms where the limits allow, else as far apart as they allow."""
    long_us = min(_LONGEST_US, 0.96 * longest_us)
    short_us = max(long_us / _DEFAULT_RATIO, shortest_us)

    def quantised(time_us: float) -> float:
        return max(1, round(time_us / step_us)) * step_us if step_us else time_us

    return Exposure(quantised(short_us), gain), Exposure(quantised(long_us), gain)
