"""A take: the next frames of each exposure of one object, merged while they come in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from livemef.capture.bracketing.plan import describe
from livemef.capture.cameras.raw_development import develop
from livemef.capture.frame import Exposure, Frame, FrameRecord, LabelSource, Pixels, RawFrame
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.merge import LinearMerge, Merged
from livemef.fusion.mosaic_merge import MosaicMerge
from livemef.fusion.motion.stillness import StillCheck, Stillness
from livemef.tools.exits import UserError

EXPOSURE_TOLERANCE = 0.02
MOVED_SHARE = 0.001
SHIFTED_PX = 0.3
CLIPPED_SHARE = 1e-4
DARK_LEVEL = 0.05
"""Code, over the highest, below which the brightest exposure shows next to nothing."""
MOST_WAITING_BYTES = 256 << 20
"""Of frames that wait to be merged; further ones are left out, and the take lasts longer."""


@dataclass(frozen=True)
class Take:
    """What a take gave. plan: as asked for, darkest first. sources: the kept frames, bracket by bracket, darkest first.

    still: what changed between the first and the last frame of an exposure. frames: of each exposure that were merged.
    brightest: median code of the brightest exposure, over the highest. records: of all merged frames.
    """

    plan: tuple[Exposure, ...]
    sources: tuple[tuple[Frame, ...], ...]
    merged: Merged
    still: Stillness
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
        if self.still.shift_px > SHIFTED_PX:
            found.append(f"the picture moved by {self.still.shift_px:.1f} pixels during the take: retake")
        elif self.still.changed > MOVED_SHARE:
            found.append(f"{self.still.changed:.1%} of the picture changed during the take: did something move? retake")
        return tuple(found)


def take(
    next_frame: Callable[[float], Frame | RawFrame | None],
    plan: Sequence[Exposure],
    correction: CameraCorrection,
    frames: int,
    keep: int,
    limit_s: float,
    stall_s: float,
) -> Take:
    """Collect `frames` frames of each exposure whose label and exposure are certain, and merge them.

    next_frame: returns the camera's next frame, or its next raw frame, waiting so many seconds at most; all of one
    kind. plan: the exposures, darkest first; frames that were asked to have another are not taken. keep: brackets whose
    frames are kept as sources. Raises UserError after `limit_s`, naming what was missing, and CameraStalled after
    `stall_s` without a frame.
    """
    merging = _Merging(plan, correction)
    kept: list[list[Frame | RawFrame]] = [[] for _ in plan]
    counts, records = [0] * len(plan), []
    deadline = time.monotonic() + limit_s
    try:
        while min(counts) < frames:
            if time.monotonic() > deadline:
                raise UserError(_what_is_missing(plan, counts, frames, limit_s))
            frame = next_frame(stall_s)
            index = None if frame is None else _certain_index(frame.record, plan)
            if frame is None or index is None or counts[index] >= frames or counts[index] > min(counts) + 1:
                continue
            if not merging.put(index, frame):
                continue
            counts[index] += 1
            records.append(frame.record)
            if len(kept[index]) < keep:
                kept[index].append(frame)
        sources = tuple(zip(*(map(_developed, some) for some in kept), strict=True))
        merged, still = merging.result()
    finally:
        merging.close()
    return Take(tuple(plan), sources, merged, still, frames, typical_code(sources[0][-1].pixels), tuple(records))


def typical_code(pixels: Pixels) -> float:
    """Median code of a picture over the highest, 0..1, of every eighth row and column."""
    return float(np.median(pixels[::8, ::8]) / np.iinfo(pixels.dtype).max)


def _developed(frame: Frame | RawFrame) -> Frame:
    return frame if isinstance(frame, Frame) else Frame(frame.record, develop(frame.mosaic), frame.mosaic)


class _Merging:
    """Merges frames in a thread of its own, so that the next ones can be received meanwhile."""

    def __init__(self, plan: Sequence[Exposure], correction: CameraCorrection) -> None:
        lights = [exposure.light for exposure in plan]
        self._of_pictures, self._of_mosaics = LinearMerge(lights, correction), MosaicMerge(lights, correction)
        self._raw = False
        self._check = StillCheck()
        self._thread = ThreadPoolExecutor(1, "merging")
        self._waiting: list[Future[None]] = []

    def put(self, index: int, frame: Frame | RawFrame) -> bool:
        """Have a frame merged; False if too many wait. Raises what merging an earlier one failed with."""
        for future in [future for future in self._waiting if future.done()]:
            future.result()
            self._waiting.remove(future)
        size = frame.pixels.nbytes if isinstance(frame, Frame) else frame.mosaic.values.nbytes
        if self._waiting and len(self._waiting) * size > MOST_WAITING_BYTES:
            return False
        self._waiting.append(self._thread.submit(self._add, index, frame))
        return True

    def result(self) -> tuple[Merged, Stillness]:
        """The merge of all frames, and whether they were of a scene that stood still."""
        for future in self._waiting:
            future.result()
        return (self._of_mosaics if self._raw else self._of_pictures).result(), self._check.result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _add(self, index: int, frame: Frame | RawFrame) -> None:
        if isinstance(frame, Frame):
            self._of_pictures.add(index, frame.pixels)
            self._check.add(index, frame.pixels)
        else:
            self._raw = True
            self._of_mosaics.add(index, frame.mosaic)
            self._check.add_mosaic(index, frame.mosaic)


def _certain_index(record: FrameRecord, plan: Sequence[Exposure]) -> int | None:
    """The frame's place in the bracket, if it was told by more than prediction and the exposure is that of the plan."""
    if record.index is None or record.label_source in (LabelSource.NONE, LabelSource.PREDICTED):
        return None
    if record.index >= len(plan):
        return None
    return None if departs(record, plan[record.index]) else record.index


def departs(record: FrameRecord, wanted: Exposure) -> bool:
    """Whether the frame's exposure, as measured, else as asked for, is another than the wanted one."""
    exposure = record.exposure
    return exposure is not None and abs(exposure.light / wanted.light - 1) > EXPOSURE_TOLERANCE


def _what_is_missing(plan: Sequence[Exposure], counts: Sequence[int], frames: int, limit_s: float) -> str:
    least = int(np.argmin(counts))
    return (
        f"the take was not complete after {limit_s:g} s: {counts[least]} of {frames} certain frames of "
        f"{describe(plan[least])}; is the camera busy, or does its exposure not follow? livemef cameras shows it"
    )
