"""Frames to measure: from a live camera, or from a folder of pictures taken before.

The scene must be static, so that the frames of one exposure can be averaged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from livemef.calibration.errors import CalibrationError
from livemef.capture.bracketing.plan import quantise
from livemef.capture.bracketing.request_history import MAX_LEAD
from livemef.capture.cameras.base import Camera, CameraIdentity
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.files.bracket_folder import pictures_in
from livemef.capture.files.image_io import exif_exposures, read_picture
from livemef.capture.files.recording import Recording, is_recording
from livemef.capture.frame import Exposure, Frame, FrameRecord, Pixels

Codes = NDArray[np.float32]
"""BGR, height x width x 3, 0..1 of the dtype's range, encoded as the camera encodes."""

SWEEP_STEPS = 41
FRAME_LIMIT_S = 5.0
_SETTLE_LIMIT = 6 * MAX_LEAD
"""Frames to wait for an exposure before an error is raised."""
_METERING_TURNS = 8
_METERED_LOW, _METERED_HIGH = 0.55, 0.85
"""Range of the brightest pixels of a well exposed picture, as shares of the white level."""
_BRIGHTEST = 99.5
"""Percentile used for the brightest pixels: those above may be reflections."""


@dataclass(frozen=True)
class Stack:
    """Frames of one exposure: their mean (codes) and temporal variance (codes squared, over n - 1) at each pixel.

    exposure: as reported by the camera, else as requested. record, first: of the first frame. full_range: the dtype's
    highest value, code 1. One frame alone has variance 0.
    """

    exposure: Exposure
    mean: Codes
    variance: Codes
    frames: int
    record: FrameRecord
    full_range: int
    first: Pixels

    @property
    def black(self) -> float:
        """The black level that the camera states, as a code."""
        return self.record.black_level / self.full_range

    @property
    def white(self) -> float:
        """The highest code that the camera gives."""
        return self.record.white_level / self.full_range


class Shots(Protocol):
    """A source of frames for measurements. Use: open_shots, the methods in any order, close."""

    @property
    def identity(self) -> CameraIdentity:
        """The camera and its mode."""

    def sweep(self, frames: int) -> Iterator[Stack]:
        """Stacks of about `frames` frames from the shortest exposure to the longest, at one gain."""

    def well_exposed(self, frames: int) -> Stack:
        """A stack whose brightest pixels are bright but not clipped."""

    def longest(self, frames: int) -> Stack:
        """A stack of the longest exposure."""

    def frames(self) -> Iterator[Frame]:
        """Well exposed frames in order."""

    def close(self) -> None:
        """Free the camera."""


def open_shots(text: str) -> Shots:
    """Open a camera's URI or a folder (a recording, or pictures). Raises CaptureError or CalibrationError."""
    if "://" not in text and not text.startswith("/dev/") and not text.isdecimal():
        return FolderShots(Path(text).expanduser())
    return CameraShots(open_camera(text))


class CameraShots:
    """Frames from an open camera at requested exposures."""

    def __init__(self, camera: Camera) -> None:
        """Raises CaptureError if its exposures cannot be set; the camera is closed then."""
        self.camera = camera
        self._started = False
        if not camera.info.can_request:
            camera.close()
            raise CalibrationError(
                f"{camera.info.uri}: its exposures cannot be set: name its folder instead, without ://"
            )

    @property
    def identity(self) -> CameraIdentity:
        """The camera and its mode."""
        return self.camera.info.identity

    def close(self) -> None:
        """Free the camera."""
        self.camera.close()

    def sweep(self, frames: int) -> Iterator[Stack]:
        """Exposure times evenly spaced in stops over the camera's range, up to the frame period, at the lowest gain."""
        limits, period_us = self.camera.info.limits, 1e6 / self.camera.info.fps
        low, high = limits.exposure_min_us, min(limits.exposure_max_us, period_us)
        times = np.geomspace(low, high, SWEEP_STEPS)
        exposures = dict.fromkeys(quantise(Exposure(float(time), limits.gain_min), limits) for time in times)
        for exposure in exposures:
            yield self._stack(exposure, frames)

    def well_exposed(self, frames: int) -> Stack:
        """A stack at a metered exposure; the longest or shortest possible if none is right."""
        return self._stack(self.meter(), frames)

    def longest(self, frames: int) -> Stack:
        """A stack at the longest exposure within the frame period, and the lowest gain."""
        limits, period_us = self.camera.info.limits, 1e6 / self.camera.info.fps
        return self._stack(quantise(Exposure(min(limits.exposure_max_us, period_us), limits.gain_min), limits), frames)

    def frames(self) -> Iterator[Frame]:
        """Endless frames at a metered exposure."""
        self._settle(self.meter())
        while True:
            yield self._read()

    def _stack(self, exposure: Exposure, frames: int) -> Stack:
        first = self._settle(exposure)
        return stack_frames(itertools.chain([first], (self._read() for _ in range(frames - 1))), exposure)

    def meter(self) -> Exposure:
        """The exposure whose brightest pixels are bright but not clipped, or the nearest that the camera can do.

        In steps, since the response is unknown: half the light where clipped, else in proportion.
        """
        limits, period_us = self.camera.info.limits, 1e6 / self.camera.info.fps
        longest = min(limits.exposure_max_us, period_us)
        time_us = longest / 2
        for _ in range(_METERING_TURNS):
            exposure = quantise(Exposure(min(time_us, longest), limits.gain_min), limits)
            frame = self._settle(exposure)
            level = float(np.percentile(frame.pixels, _BRIGHTEST)) / frame.record.white_level
            if _METERED_LOW <= level <= _METERED_HIGH:
                break
            time_us = exposure.exposure_us * (
                0.5 if level > _METERED_HIGH else min(4.0, (0.7 / max(level, 0.05)) ** 1.2)
            )
        return exposure

    def _settle(self, exposure: Exposure) -> Frame:
        """Request an exposure and read frames up to the first one that certainly has it."""
        if not self._started:
            self.camera.start()
            self._started = True
            self._read()
        info = self.camera.info
        frame = self._read()
        self.camera.request(exposure)
        requested_after = frame.record.sequence
        delays = info.exposure_delay, info.gain_delay
        lead = MAX_LEAD if None in delays else max(delay for delay in delays if delay is not None)
        for _ in range(_SETTLE_LIMIT):
            frame = self._read()
            passed = frame.record.sequence - requested_after
            if passed <= lead + 1:
                continue
            if _has(frame.record, exposure, info.limits.exposure_step_us):
                return frame
            self.camera.request(exposure)  # the request was lost
            requested_after = frame.record.sequence
        raise CalibrationError(
            f"{info.uri}: does not give the requested exposure ({exposure.exposure_us:g} us): "
            "is automatic exposure off?"
        )

    def _read(self) -> Frame:
        return self.camera.read(FRAME_LIMIT_S)


def _has(record: FrameRecord, requested: Exposure, step_us: float) -> bool:
    """Whether the frame reports the requested exposure (within 2 %, or the camera's step), or none."""
    if record.measured is None:
        return True
    near_us = max(0.02 * requested.exposure_us, 2 * step_us, 1.0)
    return abs(record.measured.exposure_us - requested.exposure_us) <= near_us


class FolderShots:
    """A recording, or pictures with exposures in their EXIF, of one still scene."""

    def __init__(self, folder: Path) -> None:
        """List the files; pictures are read when they are needed. Raises CaptureError."""
        self._folder = folder
        if is_recording(folder):
            recording = Recording(folder)
            self._identity = recording.info.identity
            self._records, self._files = recording.records, recording.files
            return
        self._files = pictures_in(folder)
        if not self._files:
            raise CaptureError(f"folder {folder}: holds neither a recording nor pictures")
        first = read_picture(self._files[0])
        height, width = first.shape[:2]
        self._identity = CameraIdentity(f"pictures in {folder.resolve().name}", "", width, height, str(first.dtype))
        white = float(np.iinfo(first.dtype).max)
        self._records = tuple(
            FrameRecord(number, 0, "none", 0, measured=exposure, white_level=white)
            for number, exposure in enumerate(exif_exposures(self._files))
        )

    @property
    def identity(self) -> CameraIdentity:
        """The recorded camera; for pictures, the name of the folder in its place."""
        return self._identity

    def close(self) -> None:
        """Does nothing: no file is open."""

    def frames(self) -> Iterator[Frame]:
        """All frames in order."""
        return (self._frame(place) for place in range(len(self._files)))

    def sweep(self, frames: int) -> Iterator[Stack]:
        """All frames, by exposure. Raises CalibrationError for fewer than two exposures, or an unknown one."""
        places = self._by_exposure()
        if None in places:
            raise CalibrationError(
                f"folder {self._folder}: {self._files[places[None][0]].name} has no exposure in its EXIF"
            )
        if len(places) < 2:
            raise CalibrationError(f"folder {self._folder}: two exposures or more are needed, it holds {len(places)}")
        return (self._stack(places[exposure]) for exposure in places)

    def well_exposed(self, frames: int) -> Stack:
        """The stack of the longest exposure that does not clip."""
        stacks = [self._stack(places) for places in self._by_exposure().values()]
        right = [s for s in stacks if np.percentile(s.mean, _BRIGHTEST) <= _METERED_HIGH * s.white]
        return right[-1] if right else stacks[0]

    def longest(self, frames: int) -> Stack:
        """The stack of the longest exposure."""
        return self._stack(list(self._by_exposure().values())[-1])

    def _by_exposure(self) -> dict[Exposure | None, list[int]]:
        """Indices of the frames of each exposure, darkest first; frames without an exposure before all others."""
        places: dict[Exposure | None, list[int]] = {}
        for place, record in enumerate(self._records):
            places.setdefault(record.exposure, []).append(place)
        return dict(sorted(places.items(), key=lambda item: item[0].light if item[0] else 0.0))

    def _stack(self, places: list[int]) -> Stack:
        exposure = self._records[places[0]].exposure or Exposure(1.0)
        return stack_frames((self._frame(place) for place in places), exposure)

    def _frame(self, place: int) -> Frame:
        pixels = read_picture(self._files[place])
        identity = self._identity
        if (pixels.shape, str(pixels.dtype)) != ((identity.height, identity.width, 3), identity.dtype):
            raise CaptureError(
                f"picture {self._files[place]}: is not {identity.width}x{identity.height} {identity.dtype}"
            )
        return Frame(self._records[place], pixels)


def stack_frames(frames: Iterator[Frame], exposure: Exposure) -> Stack:
    """Mean and temporal variance of frames (one or more) of one exposure."""
    first = next(frames)
    pixels = first.pixels.copy()  # a camera may use its buffer again
    reference = pixels.astype(np.float32)
    total, squares, count = np.zeros_like(reference), np.zeros_like(reference), 1
    for frame in frames:
        difference = frame.pixels - reference
        total += difference
        squares += difference * difference
        count += 1
    full_range = int(np.iinfo(first.pixels.dtype).max)
    mean = (reference + total / count) / full_range
    variance = np.maximum(squares - total * total / count, 0) / max(count - 1, 1) / full_range**2
    reported = first.record.measured or exposure
    means, variances = np.asarray(mean, np.float32), np.asarray(variance, np.float32)
    return Stack(reported, means, variances, count, first.record, full_range, pixels)
