"""The data types that all parts share: exposures, frames, brackets. Plain data, without device or clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""BGR, height x width x 3, uint8 or uint16, sRGB-encoded unless the name says linear."""

LUMA_WEIGHTS = (0.114, 0.587, 0.299)
"""Luma Y' of encoded B, G, R (ITU-R BT.601)."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """An exposure: time and gain.

    exposure_us: exposure time in microseconds. gain: analogue gain, linear (1.0 = none).
    """

    exposure_us: float
    gain: float = 1.0

    @property
    def light(self) -> float:
        """Exposure time times gain: proportional to the signal of an unclipped pixel."""
        return self.exposure_us * self.gain

    def ev_above(self, other: Exposure) -> float:
        """Stops by which this exposure is brighter than `other`."""
        return math.log2(self.light / other.light)


class LabelSource(Enum):
    """The evidence for a frame's place in the bracket, most reliable first."""

    METADATA = "metadata"
    NATIVE = "native"
    BRIGHTNESS = "brightness"
    PREDICTED = "predicted"
    NONE = "none"


class FrameFlag(Flag):
    """Further facts about a frame."""

    NONE = 0
    TRANSITIONAL = auto()
    """The sensor had not reached the requested exposure yet."""
    AFTER_DROP = auto()
    """One or more frames before this one were lost."""
    DUPLICATE = auto()
    """The driver delivered the same sequence number again."""


class Verdict(Enum):
    """How reliable a bracket is."""

    GOOD = "good"
    """Neighbouring frames, every label confirmed by metadata, a native tag or brightness."""
    GAP = "gap"
    """Labels confirmed, but frames are missing between the exposures: things may have moved further."""
    PREDICTED = "predicted"
    """At least one label was only predicted, not confirmed."""


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """The metadata of one frame.

    `sequence` is the driver's number; a jump is a drop. `timestamp_ns` is the sensor's time on the named `clock`, at
    the `timestamp_reference` ("start" or "end") of the exposure. `received_ns` is CLOCK_MONOTONIC at arrival.
    `measured` is the exposure that the camera reported for this frame, None if it reports none. `native_index` is the
    camera's own tag of the frame's place in the bracket, None if it has none. `relative_light` is the light of the
    frame's exposure in a unit that all frames of the epoch share, where no absolute exposure is known (footage of known
    stops); None = not known. `response` is "srgb", "linear" or a name that a camera profile gives, "unknown" where
    nobody measured it.
    `bracket_size` is the number of exposures in a bracket of the frame's epoch; 0 = not known.

    Bracketing fills in the rest: `requested` (the exposure that should be in force), `index` (place in the bracket,
    0 = darkest; None = unknown), `label_source`, `confidence` (0..1), `epoch` (number of the exposure plan),
    `bracket_size`, `flags`.
    """

    sequence: int
    timestamp_ns: int
    clock: str
    received_ns: int
    timestamp_reference: str = "start"
    measured: Exposure | None = None
    native_index: int | None = None
    requested: Exposure | None = None
    index: int | None = None
    label_source: LabelSource = LabelSource.NONE
    confidence: float = 0.0
    epoch: int = 0
    flags: FrameFlag = FrameFlag.NONE
    black_level: float = 0.0
    white_level: float = 255.0
    response: str = "unknown"
    relative_light: float | None = None
    bracket_size: int = 0

    @property
    def light(self) -> float | None:
        """Proportional to the signal of an unclipped pixel, in the unit of the frame's epoch; None where not known."""
        return self.relative_light if self.exposure is None else self.exposure.light

    @property
    def exposure(self) -> Exposure | None:
        """The best known exposure: as measured, else as requested if the label is known."""
        if self.measured is not None:
            return self.measured
        return self.requested if self.index is not None else None


@dataclass(frozen=True, eq=False, slots=True)
class Mosaic:
    """A frame as the sensor gave it, in linear steps, one value a pixel.

    values: height x width, uint8 or uint16, black level included (cut at black, the means of dark parts would be too
    bright). order: colours of the 2x2 cell, "RGGB" and so on; "" = monochrome. black, white: value without light, and
    the highest. red_gain, blue_gain: white balance relative to green that the frame's picture was developed with.
    """

    values: NDArray[Any]
    order: str
    black: float
    white: float
    red_gain: float = 1.0
    blue_gain: float = 1.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame and its pixels (BGR, height x width x 3, uint8 or uint16).

    mosaic: what the pixels were developed from, of cameras that were asked for it (`MosaicCamera`) and have it.
    """

    record: FrameRecord
    pixels: Pixels
    mosaic: Mosaic | None = None


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame as the sensor gave it, not developed."""

    record: FrameRecord
    mosaic: Mosaic


@dataclass(frozen=True, slots=True)
class Bracket:
    """Frames of one scene at different exposures, ordered dark to bright; all of one epoch."""

    records: tuple[FrameRecord, ...]
    verdict: Verdict

    @property
    def newest(self) -> FrameRecord:
        """The frame that completed the bracket."""
        return max(self.records, key=lambda record: record.sequence)

    @property
    def ev_gap(self) -> float | None:
        """Stops between the darkest and the brightest frame; None where an exposure is unknown."""
        first, last = self.records[0].light, self.records[-1].light
        return None if first is None or last is None else math.log2(last / first)

    @property
    def lights(self) -> tuple[float, ...] | None:
        """Light of each frame, in one unit; None where that of any is unknown."""
        known = [record.light for record in self.records if record.light is not None]
        return tuple(known) if len(known) == len(self.records) else None


@dataclass(frozen=True, eq=False, slots=True)
class CapturedBracket:
    """A bracket with its pixels, dark to bright. bracket: the frames' records, and how far their labels are certain."""

    bracket: Bracket
    frames: tuple[Frame, ...]

    @property
    def pixels(self) -> tuple[Pixels, ...]:
        """The exposures: BGR, height x width x 3, uint8 or uint16, read-only."""
        return tuple(frame.pixels for frame in self.frames)

    @property
    def records(self) -> tuple[FrameRecord, ...]:
        """What is known of each frame."""
        return self.bracket.records

    @property
    def verdict(self) -> Verdict:
        """How far the labels are certain."""
        return self.bracket.verdict

    @property
    def ev_gap(self) -> float | None:
        """Stops between the darkest and the brightest frame; None where an exposure is unknown."""
        return self.bracket.ev_gap

    @property
    def exposures(self) -> tuple[Exposure | None, ...]:
        """Exposure time and gain of each frame, as measured, else as requested; None = unknown."""
        return tuple(record.exposure for record in self.bracket.records)


def brightness(pixels: Pixels) -> float:
    """Robust brightness of a picture, by which exposures are distinguished: trimmed mean of luma, 0..1.

    Over the dtype's range, of every 16th row and column; a change of exposure changes it, a few changed pixels do not.
    """
    small = pixels[8::16, 8::16].reshape(-1, 3).astype(np.float32)
    if small.size == 0:
        small = pixels.reshape(-1, 3).astype(np.float32)
    luma = np.sort(small @ np.array(LUMA_WEIGHTS, np.float32)) / np.iinfo(pixels.dtype).max
    cut = len(luma) // 20
    return float(luma[cut : len(luma) - cut].mean())


def darkest_first(exposures: Sequence[Exposure]) -> tuple[Exposure, ...]:
    """The exposures sorted by light."""
    return tuple(sorted(exposures, key=lambda exposure: exposure.light))
