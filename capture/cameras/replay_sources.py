"""Sources of a replay: numbered frames with their times, from a recording or from brackets of pictures."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import cv2

from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.errors import CaptureError
from livemef.capture.files.bracket_folder import BracketFolder, estimated_ratio, find_brackets
from livemef.capture.files.recording import Recording
from livemef.capture.frame import Exposure, Frame, FrameRecord, Pixels


class Reel(Protocol):
    """Frames by number. Timestamps are relative to the start of playback."""

    @property
    def info(self) -> CameraInfo:
        """Description of the frames; `paced` is set by the player."""

    @property
    def length(self) -> int | None:
        """Number of frames; None = endless."""

    def due_ns(self, place: int) -> int:
        """When frame `place` is delivered, counted from the start; rising, also past the end."""

    def frame(self, place: int) -> Frame:
        """Frame `place`."""


class RecordingReel:
    """A recording at its own times, once or in a loop. Each lap is an epoch, so that no bracket spans two laps."""

    def __init__(self, uri: str, folder: Path, loop: bool) -> None:
        self._recording = Recording(folder)
        records = self._recording.records
        self._recording.frame(0)
        self._origin_ns = records[0].received_ns
        self._arrivals = [record.received_ns - self._origin_ns for record in records]
        fps = self._recording.info.fps
        period_ns = round(1e9 / fps) if fps else 0
        stamps = [record.timestamp_ns for record in records]
        self._lap_ns = max(max(self._arrivals), max(stamps) - min(stamps)) + period_ns
        self._lap_sequence = max(record.sequence for record in records) - records[0].sequence + 1
        self._lap_epochs = max(record.epoch for record in records) + 1
        self.length = None if loop else len(records)
        self.info = replace(
            self._recording.info,
            uri=uri,
            name=f"recording of {self._recording.info.name}",
            can_request=False,
            exposure_delay=None,
            gain_delay=None,
        )

    def due_ns(self, place: int) -> int:
        """Arrival time of the frame after that of the first, in ns."""
        lap, place = divmod(place, len(self._recording))
        return self._arrivals[place] + lap * self._lap_ns

    def frame(self, place: int) -> Frame:
        """The recorded frame with its label; sequence number, time and epoch continue from lap to lap."""
        lap, place = divmod(place, len(self._recording))
        frame = self._recording.frame(place)
        record = replace(
            frame.record,
            sequence=frame.record.sequence + lap * self._lap_sequence,
            timestamp_ns=frame.record.timestamp_ns - self._origin_ns + lap * self._lap_ns,
            epoch=frame.record.epoch + lap * self._lap_epochs,
        )
        return Frame(record, frame.pixels)


class BracketReel:
    """Pictures of brackets, alternating dark to bright at `fps`; each of several brackets is held for `hold_us`.

    A frame is tagged with its place in the bracket (`native_index`); each time that a bracket is shown is an epoch, so
    that no two scenes are mixed. `size` (width, height) scales and crops all pictures; without it they must be
    of one size. Exposures are reported where EXIF has them; where it has not, `info.plan` is
    estimated from the pictures: the ratios are estimates, the absolute times nominal.
    """

    def __init__(
        self, uri: str, folder: Path, loop: bool, fps: float, hold_us: float, size: tuple[int, int] | None
    ) -> None:
        self._brackets = find_brackets(folder)
        _refuse_unequal(uri, self._brackets, one_size=size is None)
        self._size = size
        self._period_ns = 1e9 / fps
        self._starts = self._lay_out(round(hold_us * 1e3 / self._period_ns))
        self._pixels = lru_cache(maxsize=2)(self._read)
        self.length = None if loop else self._starts[-1]
        self.info = self._describe(uri, fps)

    def due_ns(self, place: int) -> int:
        """End of the frame's period, in ns from the start."""
        return round((place + 1) * self._period_ns)

    def frame(self, place: int) -> Frame:
        """The picture with this number. The pixels are read-only, since the next round uses the same ones."""
        lap, inside = divmod(place, self._starts[-1])
        which = bisect.bisect_right(self._starts, inside) - 1
        bracket = self._brackets[which]
        index = (inside - self._starts[which]) % len(bracket.files)
        record = FrameRecord(
            sequence=place,
            timestamp_ns=round(place * self._period_ns),
            clock="monotonic",
            received_ns=0,
            measured=bracket.exposures[index] if bracket.exposures else None,
            native_index=index,
            epoch=lap * len(self._brackets) + which if len(self._brackets) > 1 else 0,
            white_level=255.0 if bracket.dtype == "uint8" else 65535.0,
        )
        return Frame(record, self._pixels(which)[index])

    def _lay_out(self, held_frames: int) -> list[int]:
        """Number of each bracket's first frame, then the number of frames of a lap; whole brackets, once or more."""
        starts = [0]
        for bracket in self._brackets:
            exposures = len(bracket.files)
            rounds = max(1, round(held_frames / exposures)) if len(self._brackets) > 1 else 1
            starts.append(starts[-1] + rounds * exposures)
        return starts

    def _read(self, which: int) -> tuple[Pixels, ...]:
        pictures = self._brackets[which].read()
        if self._size is not None:
            pictures = [_scale_and_crop(picture, self._size) for picture in pictures]
        for file, picture in zip(self._brackets[which].files, pictures, strict=True):
            if (picture.shape[1::-1], str(picture.dtype)) != ((self.info.width, self.info.height), self.info.dtype):
                raise CaptureError(f"picture {file}: has changed since the camera was opened")
            picture.flags.writeable = False
        return tuple(pictures)

    def _describe(self, uri: str, fps: float) -> CameraInfo:
        first = self._brackets[0]
        width, height = self._size or (first.shape[1], first.shape[0])
        plan = first.exposures or _estimated_plan(first, 1e6 / fps)
        limits = CameraLimits(
            min(e.exposure_us for e in plan),
            max(e.exposure_us for e in plan),
            gain_min=min(e.gain for e in plan),
            gain_max=max(e.gain for e in plan),
        )
        return CameraInfo(
            uri=uri,
            name=_name(self._brackets),
            width=width,
            height=height,
            dtype=first.dtype,
            fps=fps,
            limits=limits,
            reports_exposure=all(bracket.exposures for bracket in self._brackets),
            can_request=False,
            plan=plan,
        )


def _name(brackets: tuple[BracketFolder, ...]) -> str:
    if len(brackets) == 1:
        return f"{len(brackets[0].files)} pictures of {brackets[0].folder.resolve().name}"
    return f"{len(brackets)} brackets of {brackets[0].folder.resolve().parent.name}"


def _estimated_plan(bracket: BracketFolder, period_us: float) -> tuple[Exposure, ...]:
    """Exposures with ratios estimated from the pictures; the brightest is half a frame period."""
    pictures = bracket.read()
    times = [1.0]
    for darker, brighter in itertools.pairwise(pictures):
        times.append(times[-1] * estimated_ratio(darker, brighter))
    return tuple(Exposure(0.5 * period_us * time / times[-1]) for time in times)


def _refuse_unequal(uri: str, brackets: tuple[BracketFolder, ...], one_size: bool) -> None:
    first, alone = brackets[0], "play one folder alone"
    for other in brackets[1:]:
        pair = f"camera '{uri}': {first.folder.name} and {other.folder.name}"
        if len(other.files) != len(first.files):
            raise CaptureError(f"{pair} hold {len(first.files)} and {len(other.files)} pictures: {alone}")
        if other.dtype != first.dtype:
            raise CaptureError(f"{pair} are {first.dtype} and {other.dtype}: {alone}")
        if one_size and other.shape != first.shape:
            sizes = " and ".join(f"{bracket.shape[1]}x{bracket.shape[0]}" for bracket in (first, other))
            raise CaptureError(f"{pair} are {sizes}: add size=WIDTHxHEIGHT to scale and crop all, or {alone}")


def _scale_and_crop(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The centre of the picture, scaled to cover width x height."""
    width, height = size
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    covering = (max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale)))
    scaled = cv2.resize(pixels, covering, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (covering[0] - width) // 2, (covering[1] - height) // 2
    return scaled[top : top + height, left : left + width].copy()
