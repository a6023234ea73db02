"""The capture loop: reads a camera, labels each frame, and asks for the next exposure. Used live and for recording."""

from __future__ import annotations

from collections.abc import Sequence

from capture.bracketing import BracketingController, ControlStatus, Counters
from capture.cameras.base import Camera, CameraInfo
from capture.errors import CaptureError
from capture.frame import Exposure, Frame, brightness
from capture.plan import parse_plan


class CaptureSession:
    """One camera under bracketing control.

    exposures: the plan wished for, in any order; empty = the camera's own suggestion. Raises PlanError (a CaptureError)
    for a plan that cannot work on this camera.
    """

    def __init__(self, camera: Camera, exposures: Sequence[Exposure] = ()) -> None:
        self._camera = camera
        self._controller = BracketingController.for_camera(camera.info, exposures)

    @property
    def info(self) -> CameraInfo:
        """What the camera accepted."""
        return self._camera.info

    @property
    def plan(self) -> tuple[Exposure, ...]:
        """The exposures alternated, dark to bright, as the camera can do them."""
        return self._controller.plan

    @property
    def counters(self) -> Counters:
        """What became of the frames so far."""
        return self._controller.counters

    @property
    def status(self) -> ControlStatus:
        """Whether the camera does what it is asked."""
        return self._controller.status

    def next_frame(self, timeout_s: float) -> Frame | None:
        """The next frame, labelled; None for one that is no part of a bracket (transitional, unknown, a duplicate).

        Raises CameraStalled after `timeout_s`, EndOfStream after the last frame of a finite source.
        """
        frame = self._camera.read(timeout_s)
        level = None
        if self.info.can_request and not self.info.reports_exposure:
            level = brightness(frame.pixels)
        decision = self._controller.on_frame(frame.record, level)
        if decision.request is not None:
            self._camera.request(decision.request)
        return Frame(decision.record, frame.pixels) if decision.keep else None


def planned_exposures(text: str, gain: float = 1.0) -> tuple[Exposure, ...]:
    """The exposures of a plan written as text; "auto" = none, leaving it to the camera. Raises CaptureError."""
    if text.strip().lower() == "auto":
        return ()
    if not text.strip():
        raise CaptureError("the exposure plan is empty: write for instance 1ms,8ms, or auto")
    return parse_plan(text, gain)
