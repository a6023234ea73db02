"""A take: the next frames of each exposure of one object, merged while they come in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from livemef.capture.bracketing.plan import describe
from livemef.capture.frame import Exposure, Frame, FrameRecord, LabelSource, Pixels
from livemef.capture.session import CaptureSession
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.merge import LinearMerge, Merged
from livemef.tools.exits import UserError

EXPOSURE_TOLERANCE = 0.02
SMALL_LINES = 90
CHANGED = 0.03
"""Difference of a small pixel between the first and the last frame, of the code range, that is no noise."""
MOVED_SHARE = 0.001
CLIPPED_SHARE = 1e-4
DARK_LEVEL = 0.05
"""Code, over the highest, below which the brightest exposure shows next to nothing."""


@dataclass(frozen=True)
class Take:
    """What a take gave. plan: as asked for, darkest first. sources: the kept frames, bracket by bracket, darkest first.

    moved: share of the picture, 0..1, that changed between the first and the last frame of the darkest exposure.
    frames: of each exposure that were merged. records: of all merged frames.
    """

    plan: tuple[Exposure, ...]
    sources: tuple[tuple[Frame, ...], ...]
    merged: Merged
    moved: float
    frames: int
    brightest: float
    records: tuple[FrameRecord, ...] = field(repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What would spoil the result, in words; empty if nothing would."""
        found = []
        if self.merged.clipped > CLIPPED_SHARE:
            found.append(f"{self.merged.clipped:.2%} of the picture clips in the darkest exposure: add a shorter one")
        if self.brightest < DARK_LEVEL:
            found.append("even the brightest exposure is nearly black: lengthen it, or is the lens covered?")
        if self.moved > MOVED_SHARE:
            found.append(f"{self.moved:.1%} of the picture changed during the take: did something move? retake")
        return tuple(found)


def take(
    session: CaptureSession, correction: CameraCorrection, frames: int, keep: int, limit_s: float, stall_s: float
) -> Take:
    """Collect `frames` frames of each exposure whose label and exposure are certain, and merge them.

    keep: brackets whose frames are kept as sources. Raises UserError after `limit_s`, naming what was missing, and
    CameraStalled after `stall_s` without a frame.
    """
    plan = session.plan
    merge = LinearMerge([exposure.light for exposure in plan], correction)
    kept: list[list[Frame]] = [[] for _ in plan]
    counts, records = [0] * len(plan), []
    first: Pixels | None = None
    last: Pixels | None = None
    deadline = time.monotonic() + limit_s
    while min(counts) < frames:
        if time.monotonic() > deadline:
            raise UserError(_what_is_missing(plan, counts, frames, limit_s))
        frame = session.next_frame(stall_s)
        index = None if frame is None else _certain_index(frame.record)
        if frame is None or index is None or counts[index] >= frames:
            continue
        merge.add(index, frame.pixels)
        counts[index] += 1
        records.append(frame.record)
        if len(kept[index]) < keep:
            kept[index].append(Frame(frame.record, frame.pixels.copy()))
        if index == 0:
            first = _small(frame.pixels) if first is None else first
            last = _small(frame.pixels)
    assert first is not None
    assert last is not None
    brightest = float(np.median(kept[-1][0].pixels) / np.iinfo(kept[-1][0].pixels.dtype).max)
    moved = float(np.mean(np.abs(first - last).max(axis=2) > CHANGED))
    brackets = tuple(zip(*kept, strict=True))
    return Take(plan, brackets, merge.result(), moved, frames, brightest, tuple(records))


def _certain_index(record: FrameRecord) -> int | None:
    """The frame's place in the bracket, if it was told by more than prediction and the exposure is what was asked."""
    if record.index is None or record.label_source in (LabelSource.NONE, LabelSource.PREDICTED):
        return None
    if record.measured is not None and record.requested is not None:
        off = abs(record.measured.light / record.requested.light - 1)
        return record.index if off <= EXPOSURE_TOLERANCE else None
    return record.index


def _what_is_missing(plan: Sequence[Exposure], counts: Sequence[int], frames: int, limit_s: float) -> str:
    least = int(np.argmin(counts))
    return (
        f"the take was not complete after {limit_s:g} s: {counts[least]} of {frames} certain frames of "
        f"{describe(plan[least])}; is the camera busy, or does its exposure not follow? livemef cameras shows it"
    )


def _small(pixels: Pixels) -> Pixels:
    """Area average with SMALL_LINES lines, codes 0..1."""
    height, width = pixels.shape[:2]
    lines = min(SMALL_LINES, height)
    size = max(1, round(width * lines / height)), lines
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32) / np.iinfo(pixels.dtype).max
