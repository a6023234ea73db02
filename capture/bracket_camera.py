"""A camera as a source of brackets, within this process: `for bracket in camera.brackets()`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from livemef.capture.bracketing.controller import ControlStatus, Counters, Delays
from livemef.capture.bracketing.grouping import BracketGrouper
from livemef.capture.cameras.base import Camera, CameraInfo, KnownCamera
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CameraStalled, CaptureError, EndOfStream
from livemef.capture.frame import CapturedBracket, Exposure, Frame
from livemef.capture.session import CaptureSession, open_session

FRAME_LIMIT_S = 5.0
BRACKET_LIMIT_S = 60.0
"""Longest wait for a bracket: measuring an unknown control delay takes seconds, a slow camera's exposures too."""
SETTLING_FRAMES = 90
"""Frames after which automatic exposures are kept as they are, settled or not."""


class BracketCamera:
    """An open camera whose exposures alternate. Use it as a context manager; not thread-safe.

    Frames are copies and read-only: they may be kept. Made by `livemef.open_camera`.
    """

    def __init__(self, camera: Camera, session: CaptureSession, frame_limit_s: float = FRAME_LIMIT_S) -> None:
        self._camera, self._session, self._frame_limit_s = camera, session, frame_limit_s
        self._started = self._closed = False

    @property
    def info(self) -> CameraInfo:
        """What the camera accepted: size, dtype, frame rate, limits; `plan` is the one in use."""
        return replace(self._session.info, plan=self._session.plan)

    @property
    def plan(self) -> tuple[Exposure, ...]:
        """The exposures in use, dark to bright; with automatic exposures they follow the scene."""
        return self._session.plan

    @property
    def counters(self) -> Counters:
        """What became of the frames so far: labelled, transitional, dropped ..."""
        return self._session.counters

    @property
    def status(self) -> ControlStatus:
        """Whether the camera does what it is asked."""
        return self._session.status

    @property
    def delays(self) -> Delays:
        """The control delays in frames, as stated by the camera or its profile, or measured so far; None = unknown."""
        return self._session.delays

    def settle(self, frames: int = SETTLING_FRAMES) -> None:
        """Read up to `frames` frames until automatic exposures suit the scene, and leave the exposures so from then on.

        Raises CameraStalled; EndOfStream at the end of a finite source.
        """
        self._start()
        self._session.settle(self._frame_limit_s, frames)

    def frames(self) -> Iterator[Frame]:
        """The frames whose exposure is known, one after the other, until a finite source ends.

        `frame.record.index` is the place in the bracket, 0 = darkest. Raises CameraStalled if no frame comes within
        the frame limit.
        """
        return (frame for frame in self._read() if frame is not None)

    def brackets(self, mode: Literal["sliding", "disjoint"] = "sliding") -> Iterator[CapturedBracket]:
        """Brackets, until a finite source ends.

        mode: "sliding" = each new frame with the newest of each other exposure, so there are as many brackets as
        frames; "disjoint" = each frame in one bracket only. Raises CameraStalled if no frame comes within the frame
        limit, or no bracket is complete within 60 s.
        """
        grouper = BracketGrouper[Frame](mode)
        deadline = time.monotonic() + BRACKET_LIMIT_S
        for frame in self._read():
            grouped = None if frame is None else grouper.push(frame.record, frame)
            if grouped is not None and grouped.bracket is not None:
                yield CapturedBracket(grouped.bracket, grouped.payloads)
                deadline = time.monotonic() + BRACKET_LIMIT_S
            elif time.monotonic() > deadline:
                raise CameraStalled(f"{self.info.uri}: no bracket within {BRACKET_LIMIT_S:.0f} s: {self.status.value}")

    def close(self) -> None:
        """Free the device. May be called twice."""
        self._closed = True
        self._camera.close()

    def __enter__(self) -> BracketCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        if self._closed:
            raise CaptureError(f"{self.info.uri}: this camera has been closed: open it again")
        if not self._started:
            self._camera.start()
            self._started = True

    def _read(self) -> Iterator[Frame | None]:
        """A frame at a time until the source ends; None for one whose exposure is not known."""
        self._start()
        while True:
            try:
                frame = self._session.next_frame(self._frame_limit_s)
            except EndOfStream:
                return
            yield None if frame is None else _kept(frame)


def open_bracket_camera(
    camera: str | Camera,
    exposures: str = "auto",
    gain: float = 1.0,
    mains_hz: int = 50,
    known: KnownCamera | None = None,
    frame_limit_s: float = FRAME_LIMIT_S,
) -> BracketCamera:
    """Open a camera by its URI, or take one that is open. Raises CaptureError; then the camera is closed.

    exposures: "auto", or a plan such as "1ms,16ms@2". gain: analogue gain (linear) of the exposures that name none.
    mains_hz: 50, 60 or 0, for automatic exposures free of lamp flicker. known: what a calibration found out.
    frame_limit_s: longest wait for a frame.
    """
    opened = open_camera(camera) if isinstance(camera, str) else camera
    try:
        return BracketCamera(opened, open_session(opened, exposures, gain, mains_hz, known), frame_limit_s)
    except BaseException:
        opened.close()
        raise


def _kept(frame: Frame) -> Frame:
    """The frame with pixels of its own, for a camera may use its buffer again."""
    pixels = frame.pixels.copy()
    pixels.flags.writeable = False
    return Frame(frame.record, pixels)
