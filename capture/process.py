"""The capture process: camera -> bracketing -> ring. It waits for the camera only, never for the consumer of frames."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np

from livemef.capture.bracketing.plan import describe
from livemef.capture.cameras.base import CameraInfo, KnownCamera, ask_for_mosaics, give_room
from livemef.capture.cameras.registry import open_camera
from livemef.capture.child import Lifeline, run_child
from livemef.capture.errors import CameraStalled, CaptureError, EndOfStream
from livemef.capture.frame import Frame, Mosaic, Pixels
from livemef.capture.live_plan import control_state, described, obey
from livemef.capture.session import CaptureSession, open_session
from livemef.capture.transport.frame_json import mosaic_to_dict
from livemef.capture.transport.record_row import record_to_row
from livemef.capture.transport.ring import Ring, SlotPool
from livemef.capture.transport.slot_link import LinkServer

TURN_S = 0.01
BEAT_TURN_S = 0.5
STEP_LIMIT_S = 60.0
MOSAIC_BYTES = 2
"""Room for one value of a raw frame."""
ALIGNMENT = 64
RENDERING_NICENESS = 5
"""Of the simulated camera: its rendering, which a real camera does not need, gives way to the fusion of its frames."""


@dataclass(frozen=True)
class CaptureJob:
    """All that the process is given. `link`: capture's end of the meeting point with fusion; `known`: what a
    calibration found out of the camera; `first_epoch`: number of the first exposure plan; `mosaics`: hand over raw
    frames too, where the camera has them; the rest as in the settings of [capture].
    """

    link: socket.socket
    camera: str
    exposures: str = "auto"
    gain: float = 1.0
    mains_hz: int = 50
    ring_slots: int = 8
    stall_timeout_s: float = 5.0
    known: KnownCamera | None = None
    first_epoch: int = 0
    mosaics: bool = False


def least_slots(exposures: int) -> int:
    """Slots without which a consumer would starve.

    It may hold a frame of each exposure and as many under fusion, and must be given one more; two stay with the camera.
    """
    return 2 * exposures + 1 + 2


class _Outbox:
    """Hands labelled frames to whoever is connected, newest first to survive."""

    def __init__(self, job: CaptureJob, info: CameraInfo, exposures: int, mosaics: bool) -> None:
        self._shape, self._dtype = (info.height, info.width, 3), np.dtype(info.dtype)
        slots = max(job.ring_slots, least_slots(exposures))
        self._mosaic_at = -(-info.height * info.width * 3 * self._dtype.itemsize // ALIGNMENT) * ALIGNMENT
        self._mosaics, self._live = mosaics, info.paced == "realtime"
        room = info.height * info.width * MOSAIC_BYTES if mosaics else 0
        self._ring = Ring.create(slots, self._mosaic_at + room)
        self._pool = SlotPool[dict[str, Any]](slots)
        greeting = {
            "slots": slots,
            "slot_bytes": self._ring.slot_bytes,
            "shape": self._shape,
            "dtype": self._dtype.name,
            "paced": info.paced,
        }
        self._link = LinkServer(job.link, greeting, self._ring.fileno())
        self._not_sent = 0
        self._steps_done = 0
        self._lent: int | None = None
        """The slot that `room` returned, until a frame is put into it."""

    @property
    def not_taken(self) -> int:
        """Frames that nobody took: no consumer, or it was too slow."""
        return self._not_sent + self._pool.taken_back + self._pool.refused

    def attend(self) -> bool:
        """Take back released slots, take up a new consumer, hand over what waits. True while one is connected."""
        for message in self._link.receive():
            for slot in message.get("release", ()):
                self._pool.release(slot)
            self._steps_done += bool(message.get("done"))
        if self._link.accept() or not self._link.connected:
            self._pool.release_all()
            self._steps_done += 1  # whoever had the last frame is gone, and will not finish with it
        self._hand_over()
        return self._link.connected

    def _hand_over(self) -> None:
        if not self._link.connected:
            return
        for slot, note in self._pool.hand_over():
            if not self._link.send({**note, "slot": slot}):
                self._pool.release(slot)
                self._not_sent += 1

    def room(self) -> Pixels | None:
        """Memory for the next frame, so that `put` need not copy it; None without a consumer. See Room."""
        if self._lent is None and self.attend():
            self._lent = self._pool.acquire()
        return None if self._lent is None else self._view(self._lent)

    def put(self, frame: Frame, counters: Mapping[str, int]) -> None:
        """Hand the frame over as soon as somebody can have it; it is copied unless it lies in `room`. Never waits."""
        # `room` has attended before a live frame; one that is waited for must reach whoever is there now
        attended = self._live and self._lent is not None and self._link.connected
        if not attended and not self.attend():
            self._not_sent += 1
            return
        slot = self._pool.acquire() if self._lent is None else self._lent
        if slot is None:
            return
        self._lent = None
        view = self._view(slot)
        if view.ctypes.data != frame.pixels.ctypes.data:
            np.copyto(view, frame.pixels)
        note = {"record": record_to_row(frame.record), "counters": counters}
        if self._mosaics and frame.mosaic is not None:  # some cameras have them unasked
            self._put_mosaic(slot, frame.mosaic)
            note["mosaic"] = mosaic_to_dict(frame.mosaic) | {"at": self._mosaic_at}
        self._pool.fill(slot, note)
        self._steps_done = 0
        self._hand_over()
        self.attend()

    def _put_mosaic(self, slot: int, mosaic: Mosaic) -> None:
        values = mosaic.values
        if values.shape != self._shape[:2]:
            height, width = values.shape
            raise CaptureError(f"the camera's raw frames are {width}x{height}, its pictures are not")
        np.copyto(self._ring.view(slot, values.shape, values.dtype, self._mosaic_at), values)

    def _view(self, slot: int) -> Pixels:
        return self._ring.view(slot, self._shape, self._dtype)

    @property
    def step_done(self) -> bool:
        """Whether the consumer has finished with the last frame put, or is gone."""
        return self._steps_done > 0

    def end(self) -> None:
        """Say that no more will come."""
        self._link.send({"end": True})

    def close(self) -> None:
        """End the link and let go of the ring."""
        self._link.close()
        self._ring.close()


def _counters(session: CaptureSession, outbox: _Outbox) -> dict[str, int]:
    counters = session.counters
    return {
        "captured": counters.received,
        "labelled": counters.labelled,
        "transitional": counters.transitional,
        "unknown": counters.unknown,
        "duplicates": counters.duplicates,
        "dropped": counters.dropped,
        "not_taken": outbox.not_taken,
    }


def _run(job: CaptureJob, lifeline: Lifeline) -> Mapping[str, Any]:
    if job.camera.startswith("sim:"):
        _give_way()
    with lifeline.opening("opening the camera"):
        camera = open_camera(job.camera)
    try:
        with lifeline.opening("opening the camera"):
            session = open_session(camera, job.exposures, job.gain, job.mains_hz, job.known, job.first_epoch)
            mosaics = job.mosaics and ask_for_mosaics(camera)
        outbox = _Outbox(job, session.info, session.most_exposures, mosaics)
        give_room(camera, outbox.room)
        try:
            _wait_for_consumer(outbox, session, lifeline)
            if not lifeline.stopping:
                with lifeline.opening("starting the camera"):
                    camera.start()
                _capture(job, session, outbox, lifeline)
            return {"state": "ended", **_counters(session, outbox)}
        finally:
            outbox.close()
    finally:
        camera.close()


def _give_way() -> None:
    """Leave half of the cores, and the time on the others, to fusion."""
    os.nice(RENDERING_NICENESS)
    cv2.setNumThreads(max(1, len(os.sched_getaffinity(0)) // 2))  # its threads spin while they wait for each other


def _wait_for_consumer(outbox: _Outbox, session: CaptureSession, lifeline: Lifeline) -> None:
    """Wait until fusion is connected: a camera started earlier would only lose frames, a recording its beginning."""
    while not lifeline.stopping and not outbox.attend():
        obey(lifeline, session)
        lifeline.beat(state="waiting for fusion")
        time.sleep(TURN_S)


def _capture(job: CaptureJob, session: CaptureSession, outbox: _Outbox, lifeline: Lifeline) -> None:
    reported: dict[str, Any] = {}
    while not lifeline.stopping:
        obey(lifeline, session)
        try:
            frame = _next_frame(job, session, lifeline)
        except EndOfStream:
            outbox.end()
            _wait_until_stopped(outbox, session, lifeline)
            return
        if not reported:
            lifeline.ready(**described(session), plan=_plan_in_words(session))
        if reported != control_state(session):  # before any frame of it can be fused
            reported = control_state(session)
            lifeline.beat_now(control=reported)
        counters = _counters(session, outbox)
        if frame is not None:
            outbox.put(frame, counters)
            if session.info.paced == "stepped":
                _wait_for_step(outbox, lifeline)
                _wait_for_consumer(outbox, session, lifeline)
        lifeline.beat(state=session.status.name.lower(), **counters)


def _plan_in_words(session: CaptureSession) -> str:
    if session.info.nominal_plan:
        return f"{len(session.plan)} of unknown time"
    return ", ".join(describe(exposure) for exposure in session.plan)


def _next_frame(job: CaptureJob, session: CaptureSession, lifeline: Lifeline) -> Frame | None:
    """The session's next frame, with heartbeats while the camera takes its time.

    Raises CameraStalled after `stall_timeout_s` in which this process ran: while it is stopped itself (Ctrl-Z, docker
    pause), no camera can deliver.
    """
    waited_s = 0.0
    while True:
        turn_s = min(BEAT_TURN_S, max(TURN_S, job.stall_timeout_s - waited_s))
        began = time.monotonic()
        try:
            return session.next_frame(turn_s)
        except CameraStalled as error:
            waited_s += min(time.monotonic() - began, turn_s + TURN_S)
            if lifeline.stopping or waited_s >= job.stall_timeout_s:
                reason = str(error).replace(f"{turn_s:.3g} s", f"{job.stall_timeout_s:g} s", 1)
                raise CameraStalled(reason) from error
            lifeline.beat(state="waiting for the camera")


def _wait_for_step(outbox: _Outbox, lifeline: Lifeline) -> None:
    deadline = time.monotonic() + STEP_LIMIT_S
    while not lifeline.stopping and outbox.attend() and not outbox.step_done:
        if time.monotonic() > deadline:
            raise CameraStalled(f"stepped source: the fusion did not finish a frame within {STEP_LIMIT_S:.0f} s")
        lifeline.beat(state="stepped")
        time.sleep(0.0005)


def _wait_until_stopped(outbox: _Outbox, session: CaptureSession, lifeline: Lifeline) -> None:
    """After the source's end: slots must stay until the last bracket is fused."""
    while not lifeline.stopping:
        outbox.attend()
        obey(lifeline, session)
        lifeline.beat(state="ended", **_counters(session, outbox))
        time.sleep(TURN_S)


def main(pipe: Connection, parent_pid: int, job: CaptureJob) -> None:
    """Entry of the process."""
    with job.link:
        run_child(pipe, parent_pid, (CaptureError,), lambda lifeline: _run(job, lifeline))
