"""Watches the rig between takes, twice a second: exposures, clipping, and the target while it is in view.

In a thread of low priority that subscribes for one bracket at a time. What it finds is an indication for the person at
the camera; the numbers of record are those of the target's own take.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.calibration.errors import CalibrationError
from livemef.calibration.quality.chart import find_chart, measure_chart
from livemef.calibration.quality.step_sharpness import MARGIN, chart_mtf50
from livemef.capture.bracketing.plan import describe
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, Frame
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.errors import FusionError
from livemef.fusion.merge import CLIP_END, merge
from livemef.fusion.motion import registration
from livemef.tools.field.background import lower_priority
from livemef.tools.field.exposures import ExposureFrames
from livemef.tools.field.take import departs
from livemef.tools.field.target import TargetShot

PERIOD_S = 0.5
BRACKET_LIMIT_S = 10.0
SEARCH_EVERY_S = 5.0
MOVED_PX = 1.0
WHITE_DL = 1.0
BLURRED = 0.1
"""Share of the MTF50 at the target's take; a fall beyond it is worth a warning."""
FITS_DE = 4.0
"""Mean change of the patches since the target's take beyond which something else lies there."""
CLIPPED_SHARE = 1e-4
MOVE_CELLS = 240
OVERLAY_SIDE = 480

Light = NDArray[np.float32]


@dataclass(frozen=True)
class RigState:
    """The target as it is seen now. in_view: whether it is; the rest is None where it is not.

    de00_mean, de00_max: against its reference. white_dl: change of the white patch's L* since the target's take;
    moved_px: how far it has moved since. mtf50_share: its MTF50 over that at the target's take, both estimated from the
    borders of the patches.
    """

    in_view: bool = False
    de00_mean: float | None = None
    de00_max: float | None = None
    white_dl: float | None = None
    moved_px: float | None = None
    mtf50_share: float | None = None

    @property
    def warning(self) -> str:
        """Why the target should be taken again; "" if nothing speaks for it."""
        found = []
        if self.moved_px is not None and self.moved_px > MOVED_PX:
            found.append(f"the rig has moved: the target by {self.moved_px:.1f} pixels; take it again")
        if self.white_dl is not None and abs(self.white_dl) > WHITE_DL:
            found.append(f"the light has changed: white by {self.white_dl:+.1f} L*; take the target again")
        if self.mtf50_share is not None and self.mtf50_share < 1 - BLURRED:
            fallen = f"{1 - self.mtf50_share:.0%}"
            found.append(f"the picture is less sharp: MTF50 has fallen by {fallen}; focus, then take the target again")
        return "; ".join(found)


@dataclass(frozen=True)
class Seen:
    """What the last bracket showed. problem: why there was none. exposure: how exposures depart from the plan.

    clipped: share of the darkest exposure that clips. picture_bytes: of all exposures' pixels together.
    """

    problem: str = "no frame yet"
    exposure: str = ""
    clipped: float | None = None
    picture_bytes: int = 0
    pixels: int = 0
    rig: RigState | None = None

    @property
    def clipping(self) -> str:
        """A warning where the darkest exposure clips."""
        if self.clipped is None or self.clipped <= CLIPPED_SHARE:
            return ""
        return f"{self.clipped:.2%} of the picture clips even in the darkest exposure: add a shorter one"

    def object_bytes(self, keep: int) -> int:
        """An estimate of an object's size: the kept exposures, a master of 16 bits, the fused pictures."""
        return keep * self.picture_bytes + 10 * self.pixels


@dataclass(frozen=True)
class _Target:
    """The target as it was taken. box: left, top, right, bottom. mtf50: None = not known. luma: of `box`, small,
    encoded. cell: side of one of luma's pixels in pixels of the picture.
    """

    shot: TargetShot
    box: tuple[int, int, int, int]
    mtf50: float | None
    luma: NDArray[np.float32]
    cell: float


class RigWatch:
    """Runs until `close`; `seen` is the newest finding."""

    def __init__(self, endpoint: str, plan: Sequence[Exposure], correction: CameraCorrection, searches: bool) -> None:
        """searches: whether the chart may be looked for where it is no longer seen."""
        self._endpoint, self._plan, self._correction, self._searches = endpoint, tuple(plan), correction, searches
        self._seen, self._overlay = Seen(), b""
        self._target: _Target | None = None
        self._search_s = 0.0
        self._ending, self._begun = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="rig watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def wait_for_bracket(self, limit_s: float) -> None:
        """Return when a bracket has been seen, or after so long."""
        self._begun.wait(limit_s)

    def seen(self) -> Seen:
        """The newest finding."""
        return self._seen

    @property
    def overlay(self) -> bytes:
        """A small PNG with transparency, red where the darkest exposure clips; empty until a frame was seen."""
        return self._overlay

    def new_target(self, light: Light, shot: TargetShot) -> None:
        """A target was taken: from now on it is compared with that. light: the merged picture."""
        box = _box(shot.corners, light.shape)
        luma, cell = _luma(_cut(light, box), shot.scale)
        self._target = _Target(shot, box, _mtf50(light, shot.corners), luma, cell)

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(BRACKET_LIMIT_S + PERIOD_S)

    def _run(self) -> None:
        lower_priority()
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                bracket = self._bracket()
            except (CaptureError, FusionError) as error:
                self._seen = replace(self._seen, problem=str(error), rig=None)
            else:
                if isinstance(bracket, str):
                    self._seen = replace(self._seen, problem="", exposure=bracket, rig=None)
                else:
                    self._seen = self._found(bracket)
                self._begun.set()
            self._ending.wait(max(0.05, began + PERIOD_S - time.monotonic()))

    def _bracket(self) -> list[Frame] | str:
        """The next frame of each exposure; how one departs from the plan, if it does. Raises CameraStalled."""
        found: dict[int, Frame] = {}
        deadline = time.monotonic() + BRACKET_LIMIT_S
        with ExposureFrames(self._endpoint) as frames:
            while len(found) < len(self._plan):
                frame = frames.next_frame(max(0.01, deadline - time.monotonic()))
                index = frame.record.index
                if index is None or index >= len(self._plan):
                    continue
                if departure := _departure(frame, self._plan[index]):
                    return departure
                found[index] = frame
        return [found[index] for index in sorted(found)]

    def _found(self, bracket: list[Frame]) -> Seen:
        darkest = bracket[0].pixels
        clips = darkest.max(axis=2) >= CLIP_END * np.iinfo(darkest.dtype).max
        self._overlay = _overlay(clips)
        rig = None
        if self._target is not None:
            rig = self._compared(self._target, bracket)
        return Seen(
            problem="",
            clipped=float(np.count_nonzero(clips)) / clips.size,
            picture_bytes=sum(frame.pixels.nbytes for frame in bracket),
            pixels=clips.size,
            rig=rig,
        )

    def _compared(self, target: _Target, bracket: list[Frame]) -> RigState:
        light = self._light(bracket, target.box)
        left, top = target.box[:2]
        corners = [(x - left, y - top) for x, y in target.shot.corners]
        try:
            chart = measure_chart(np.asarray(light, np.float64) * target.shot.scale, corners)
        except CalibrationError:
            return self._searched(target, bracket)
        change = float(np.mean(np.abs(np.array(chart.de00) - target.shot.de00)))
        if change > FITS_DE:
            return self._searched(target, bracket)
        luma, _ = _luma(light, target.shot.scale)
        move = registration.find_move(target.luma, luma)
        return RigState(
            in_view=True,
            de00_mean=round(float(np.mean(chart.de00)), 2),
            de00_max=round(max(chart.de00), 2),
            white_dl=round(chart.tone_dl[0] - target.shot.tone_dl[0], 2),
            moved_px=round(float(np.hypot(move.dx, move.dy)) * target.cell, 2),
            mtf50_share=_share(_mtf50(light, corners), target.mtf50),
        )

    def _searched(self, target: _Target, bracket: list[Frame]) -> RigState:
        """The target is not where it was: look for it, now and then."""
        now = time.monotonic()
        before = self._seen.rig
        if not self._searches or now < self._search_s:
            return before if before is not None and not before.in_view else RigState()
        self._search_s = now + SEARCH_EVERY_S
        whole = (0, 0, bracket[0].pixels.shape[1], bracket[0].pixels.shape[0])
        try:
            found = find_chart(np.asarray(self._light(bracket, whole), np.float64))
        except CalibrationError:
            return RigState()
        distance = float(np.hypot(*(found - np.array(target.shot.corners)).T).max())
        return RigState(moved_px=round(distance, 2))

    def _light(self, bracket: list[Frame], box: tuple[int, int, int, int]) -> Light:
        """Merged light of a part of the picture."""
        exposures = [exposure.light for exposure in self._plan]
        cropped = self._correction.cropped(box)
        if cropped is None:
            pictures = [frame.pixels for frame in bracket]
            return _cut(merge(exposures, pictures, self._correction).light, box)
        pictures = [np.ascontiguousarray(_cut(frame.pixels, box)) for frame in bracket]
        return merge(exposures, pictures, cropped).light


def _departure(frame: Frame, wanted: Exposure) -> str:
    """How a frame's exposure departs from the wanted one; "" = it does not."""
    exposure = frame.record.exposure
    if exposure is None or not departs(frame.record, wanted):
        return ""
    return f"an exposure is {describe(exposure)} where the session has {describe(wanted)}: who changed it?"


def _mtf50(light: Light, corners: Sequence[tuple[float, float]]) -> float | None:
    try:
        return chart_mtf50(np.asarray(light, np.float64), corners)
    except CalibrationError:
        return None


def _share(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else round(now / before, 3)


def _box(corners: Sequence[tuple[float, float]], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    places = np.array(corners)
    margin = MARGIN * (places.max(axis=0) - places.min(axis=0)).max()
    left, top = np.maximum(places.min(axis=0) - margin, 0).astype(int)
    right, bottom = np.minimum(places.max(axis=0) + margin + 1, shape[1::-1]).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _cut(picture: NDArray[Any], box: tuple[int, int, int, int]) -> NDArray[Any]:
    left, top, right, bottom = box
    return picture[top:bottom, left:right]


def _luma(light: Light, scale: float) -> tuple[NDArray[np.float32], float]:
    """Small, encoded about as the eye sees it, 0..1; and the side of its cells in pixels."""
    height, width = light.shape[:2]
    cell = max(1.0, max(height, width) / MOVE_CELLS)
    size = max(1, round(width / cell)), max(1, round(height / cell))
    small = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)
    return np.clip(np.sqrt(np.maximum(grey * np.float32(scale), 0)), 0, registration.CEILING), width / size[0]


def _overlay(clips: NDArray[np.bool_]) -> bytes:
    height, width = clips.shape
    factor = min(1.0, OVERLAY_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    share = cv2.resize(clips.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    shown = np.zeros((size[1], size[0], 4), np.uint8)
    shown[share > 0] = (40, 40, 255, 220)
    return cv2.imencode(".png", shown)[1].tobytes()
