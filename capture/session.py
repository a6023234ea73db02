"""The capture loop of one open camera: read a frame, find out its exposure, ask for the next one."""

from __future__ import annotations

from collections.abc import Sequence

from capture.bracketing import BracketingController, ControlStatus, Counters
from capture.cameras.base import Camera, CameraInfo
from capture.errors import CameraStalled, CaptureError
from capture.frame import Exposure, Frame, brightness
from capture.known_camera import KnownCamera
from capture.plan import parse_plan

AUTO = "auto"
STALL_ADVICE = "is it plugged in and free? If it stops by itself, try other exposures or a lower frame rate"


def planned_exposures(text: str) -> tuple[Exposure, ...]:
    """The exposures of a plan such as "1ms,16ms@2", dark to bright; none for "auto". Raises PlanError."""
    return () if text.strip().lower() == AUTO else parse_plan(text)


class CaptureSession:
    """Labelled frames from a camera that alternates its exposures. The camera stays the caller's: start it, close it.

    exposures: the plan wished for; empty = what the camera suggests. known: what a calibration found out of it. Raises
    CaptureError if it cannot work, or if something else is known than this camera.
    """

    def __init__(self, camera: Camera, exposures: Sequence[Exposure] = (), known: KnownCamera | None = None) -> None:
        info = camera.info if known is None else known.applied_to(camera.info)
        if exposures and not info.can_request:
            raise CaptureError(f"{info.uri}: its exposures cannot be set: leave the exposures to it (auto)")
        self._camera = camera
        self._controller = BracketingController.for_camera(info, exposures)
        if len(self._controller.plan) < 2:
            raise CaptureError(f"{info.uri}: does not alternate between exposures: a bracket needs two or more")

    @property
    def info(self) -> CameraInfo:
        """What the camera accepted."""
        return self._camera.info

    @property
    def plan(self) -> tuple[Exposure, ...]:
        """The exposures in use, dark to bright."""
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
        """Read one frame and ask for the exposure that is due; None if the frame belongs in no bracket.

        Raises CameraStalled, with advice, after `timeout_s`; EndOfStream at the end of a finite source.
        """
        frame = self._read(timeout_s)
        decision = self._controller.on_frame(frame.record, self._brightness(frame))
        if decision.request is not None:
            self._camera.request(decision.request)
        return Frame(decision.record, frame.pixels) if decision.keep else None

    def _read(self, timeout_s: float) -> Frame:
        try:
            return self._camera.read(timeout_s)
        except CameraStalled as error:
            raise CameraStalled(f"{error}: {STALL_ADVICE}") from error

    def _brightness(self, frame: Frame) -> float | None:
        """Measured only where nothing better tells the exposure: it costs a look at the pixels."""
        told = frame.record.measured is not None or frame.record.native_index is not None
        return None if told or not self.info.can_request else brightness(frame.pixels)
