"""The capture loop of one open camera: read a frame, label it with its exposure, request the next exposure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from livemef.capture.bracketing.auto_exposure import AutoBracketing
from livemef.capture.bracketing.controller import BracketingController, ControlStatus, Counters, Delays
from livemef.capture.bracketing.exposure_statistics import frame_statistics
from livemef.capture.bracketing.plan import (
    LIVE_EXPOSURES,
    PlanError,
    automatic_exposures,
    fit_plan,
    parse_plan,
    refuse_outside,
)
from livemef.capture.cameras.base import Camera, CameraInfo, KnownCamera
from livemef.capture.errors import CameraStalled, CaptureError
from livemef.capture.frame import Exposure, Frame, brightness

STALL_ADVICE = "is it plugged in and free? If it stops by itself, try other exposures or a lower frame rate"


def planned_exposures(text: str, gain: float = 1.0) -> tuple[Exposure, ...]:
    """The exposures of a plan such as "1ms,16ms@2", dark to bright; none for "auto" and "auto:N". Raises PlanError.

    gain: analogue gain of those that name none.
    """
    return parse_plan(text, gain) if automatic_exposures(text) is None else ()


def plan_text(exposures: Sequence[Exposure]) -> str:
    """A plan as `planned_exposures` reads it, without loss, whatever gain that is given."""
    return ",".join(f"{_shortest(one.exposure_us)}us@{_shortest(one.gain)}" for one in exposures)


def _shortest(value: float) -> str:
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


def open_session(
    camera: Camera, plan_text: str, gain: float, mains_hz: int, known: KnownCamera | None = None, first_epoch: int = 0
) -> CaptureSession:
    """A session for a plan as text, see `planned_exposures`; "auto", "auto:3": they follow the scene.

    first_epoch: number of its first plan. Raises CaptureError.
    """
    auto = _automatic(camera.info, plan_text, mains_hz, known)
    return CaptureSession(camera, planned_exposures(plan_text, gain), auto, known, first_epoch)


def _automatic(info: CameraInfo, plan_text: str, mains_hz: int, known: KnownCamera | None) -> AutoBracketing | None:
    """The automatic exposures that a plan as text asks for; None where it names its exposures."""
    most = automatic_exposures(plan_text)
    noise = None if known is None else known.noise
    return None if most is None else AutoBracketing.for_camera(info, mains_hz, most, noise)


class CaptureSession:
    """Labelled frames from a camera that alternates its exposures. The camera stays the caller's: start it, close it.

    exposures: the requested plan; empty = the plan that the camera suggests. auto: adapts the plan to the scene. known:
    the camera's calibrated properties. first_epoch: number of this first plan. Raises CaptureError if the plan cannot
    work on this camera, or if `known` is of another camera.
    """

    def __init__(
        self,
        camera: Camera,
        exposures: Sequence[Exposure] = (),
        auto: AutoBracketing | None = None,
        known: KnownCamera | None = None,
        first_epoch: int = 0,
    ) -> None:
        info = camera.info if known is None else known.applied_to(camera.info)
        if exposures and not info.can_request:
            raise CaptureError(f"{info.uri}: its exposures cannot be set: leave the exposures to it (auto)")
        refuse_outside(exposures, info.limits)
        self._camera = camera
        self._known = known
        self._auto = auto if info.can_request else None
        self._controller = BracketingController.for_camera(info, exposures)
        self._controller.epoch = first_epoch
        if len(self._controller.plan) < 2:
            raise CaptureError(f"{info.uri}: does not alternate between exposures: a bracket needs two or more")
        room = (LIVE_EXPOSURES, self._auto.most if self._auto else 0) if info.can_request else ()
        self._most_exposures = max(len(self.plan), *room, 0)
        self._unseen: Frame | None = None
        """The last frame, by which the plan has not been adapted yet."""

    @property
    def info(self) -> CameraInfo:
        """What the camera accepted."""
        return self._camera.info

    @property
    def plan(self) -> tuple[Exposure, ...]:
        """The exposures in use, dark to bright."""
        return self._controller.plan

    @property
    def epoch(self) -> int:
        """Number of the plan in use."""
        return self._controller.epoch

    @property
    def automatic(self) -> bool:
        """Whether the exposures follow the scene."""
        return self._auto is not None

    @property
    def most_exposures(self) -> int:
        """The largest number of exposures that a plan of this session may have: consumers need room for so many."""
        return self._most_exposures

    @property
    def counters(self) -> Counters:
        """Numbers of frames received, labelled, dropped and so on."""
        return self._controller.counters

    @property
    def status(self) -> ControlStatus:
        """Whether the camera follows exposure requests."""
        return self._controller.status

    @property
    def delays(self) -> Delays:
        """The camera's control delays, as stated or measured so far."""
        return self._controller.delays

    def next_frame(self, timeout_s: float) -> Frame | None:
        """Read one frame and request the exposure that is due; None if the frame belongs in no bracket.

        Automatic exposures are adapted by a frame at the next call, so that whoever waits for it need not wait for
        that. Raises CameraStalled, with advice, after `timeout_s`; EndOfStream at the end of a finite source.
        """
        self._adapt_plan()
        frame = self._read(timeout_s)
        decision = self._controller.on_frame(frame.record, self._brightness(frame))
        if decision.request is not None:
            self._camera.request(decision.request)
        labelled = replace(frame, record=decision.record)
        self._unseen = labelled
        return labelled if decision.keep else None

    def change(self, exposures: str, gain: float, mains_hz: int) -> None:
        """Use other exposures from now on: a plan as text, as for `open_session`, of at most `most_exposures`.

        "auto" goes on from the present exposures. A new plan is a new epoch, also of another number of exposures.
        Raises CaptureError, and leaves everything as it is, for exposures that this camera cannot do.
        """
        self._adapt_plan()
        plan = planned_exposures(exposures, gain)
        auto = _automatic(self.info, exposures, mains_hz, self._known)
        if max(len(plan), auto.most if auto else 0) > self._most_exposures:
            raise PlanError(f'exposures "{exposures}": there is room for {self._most_exposures}: open the camera anew')
        if plan and self.check(plan) != self.plan:
            self._controller.set_plan(plan)
        self._auto = auto

    def check(self, plan: Sequence[Exposure]) -> tuple[Exposure, ...]:
        """The plan as this camera can do it; one of no exposures is automatic. Raises CaptureError if it cannot."""
        info = self.info
        refuse_outside(plan, info.limits)
        period_us = 1e6 / info.fps if info.fps > 0 else math.inf
        return fit_plan(plan, info.limits, period_us, info.reports_exposure) if plan else ()

    def hold(self) -> None:
        """Keep the exposures as they are."""
        self._adapt_plan()
        self._auto = None

    def settle(self, timeout_s: float, frames: int) -> None:
        """Read up to `frames` frames until the exposures suit the scene, and then leave them as they are."""
        for _ in range(frames):
            self._adapt_plan()
            if self._auto is None or self._auto.settled:
                break
            self.next_frame(timeout_s)
        self.hold()

    def _adapt_plan(self) -> None:
        frame, self._unseen = self._unseen, None
        exposure = None if frame is None else frame.record.exposure
        if self._auto is None or frame is None or exposure is None:
            return
        measured = None if self._known is None else self._known.response
        better = self._auto.observe(frame_statistics(frame.pixels, exposure.light, frame.record, measured), self.plan)
        if better is not None:
            self._controller.set_plan(better)

    def _read(self, timeout_s: float) -> Frame:
        try:
            return self._camera.read(timeout_s)
        except CameraStalled as error:
            raise CameraStalled(f"{error}: {STALL_ADVICE}") from error

    def _brightness(self, frame: Frame) -> float | None:
        """Measured only where the camera reports neither exposure nor tag: it costs a pass over some pixels."""
        reported = frame.record.measured is not None or frame.record.native_index is not None
        return None if reported or not self.info.can_request else brightness(frame.pixels)
