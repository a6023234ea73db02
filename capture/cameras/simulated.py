"""sim://: a simulated camera, from scene radiance to the developed picture, with delays and faults."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, replace

from livemef.capture.cameras.base import CameraInfo, Room, no_room
from livemef.capture.cameras.pacing import RenderLead, oldest_kept, wait_for
from livemef.capture.cameras.simulation.controls import DelayedControls
from livemef.capture.cameras.simulation.faults import FrameFaults, frame_faults, request_ignored
from livemef.capture.cameras.simulation.room import room_scene
from livemef.capture.cameras.simulation.scene import (
    Scene,
    bars_scene,
    bumped,
    defocused,
    filtered,
    flat_scene,
    map_scene,
)
from livemef.capture.cameras.simulation.sensor import Sensor, SensorModel
from livemef.capture.cameras.simulation.settings import SimulatedSettings, read_settings
from livemef.capture.cameras.simulation.target_sheet import target_scene
from livemef.capture.cameras.simulation.targets import Lens, board_scene, chart_scene
from livemef.capture.cameras.simulation.view import Lamps, Shutter, View
from livemef.capture.errors import CameraStalled, CaptureError
from livemef.capture.frame import Exposure, Frame, FrameRecord
from livemef.capture.uri import CameraUri

_TRUTHS = 1024


@dataclass(frozen=True)
class Truth:
    """The true exposure and faults of a frame, for tests. start_s: scene time at which its first row began."""

    sequence: int
    exposure: Exposure
    start_s: float
    faults: FrameFaults


class SimulatedCamera:
    """A camera with a rolling shutter, delayed controls and noise before a synthetic scene.

    Frame n is read out from (n + 1) periods after the start on, and delivered when its last row has been read. At
    realtime pace a late reader loses frames, as with a driver's queue; at the paces fast and stepped the next frame is
    there whenever it is read, on a clock named "simulated".

    `truth`: the true values of the last frames, for tests only.
    """

    def __init__(self, uri: str, settings: SimulatedSettings) -> None:
        width, height = settings.size
        model = SensorModel(
            full_well=settings.full_well,
            read_noise=settings.read_noise,
            row_noise=settings.row_noise,
            column_noise=settings.column_noise,
            prnu=settings.prnu,
            black=settings.black,
            adc=settings.adc,
            bits=settings.bits,
            vignetting=settings.vignetting,
            hot=settings.hot,
            response=settings.response,
            gamma=settings.gamma,
            contrast=settings.contrast,
        )
        self._settings = settings
        self._info = _describe(uri, settings)
        self._sensor: Sensor | None = Sensor(model, height, width, settings.seed)
        lamps = Lamps(settings.flicker, 2 * settings.mains, settings.drift)
        scene = _scene(settings)
        self._view: View | None = View(scene, height, width, settings.full_well, lamps)
        self._defocused: View | None = None
        if settings.defocus is not None:
            blurred = defocused(scene, settings.defocus_by)
            self._defocused = View(blurred, height, width, settings.full_well, lamps)
        self._period_ns = settings.period_us * 1e3
        self._with_mosaics = False
        self._room: Room = no_room
        self.truth: deque[Truth] = deque(maxlen=_TRUTHS)
        self._started_ns: int | None = None

    @property
    def info(self) -> CameraInfo:
        """The settings, defaults included."""
        return self._info

    def start(self) -> None:
        """Begin at frame 0, exposed between the plan's darkest and brightest: transitional, as on real sensors."""
        plan = self._info.plan
        first = Exposure(math.sqrt(plan[0].exposure_us * plan[-1].exposure_us), plan[0].gain)
        settings = self._settings
        self._controls = DelayedControls(first, settings.limits, settings.delay, settings.gain_delay, settings.clip)
        self._started_ns = time.monotonic_ns()
        self._next = 0
        self._delivered = -1
        self._requests = 0
        self._again: Frame | None = None
        self._rendered: tuple[Frame, Truth] | None = None
        self._lead = RenderLead()
        self._rendered_for = 0
        """Number of requests that had been made when it was rendered."""
        self._stall_left_s = 0.0
        self._may_stall = True
        self.truth.clear()

    def deliver_mosaics(self) -> bool:
        """Frames have the sensor's values beside the picture; always possible."""
        self._with_mosaics = True
        return True

    def write_into(self, room: Room) -> None:
        """See WritingCamera. A frame that is delivered twice has memory of its own."""
        self._room = room

    def request(self, exposure: Exposure) -> None:
        """Request an exposure, clipped to the limits. It is in force `delay + 1` frames later."""
        started_ns = self._running()
        self._requests += 1
        if not request_ignored(self._settings, self._requests):
            self._controls.request(exposure, self._last_complete(started_ns))

    def read(self, timeout_s: float) -> Frame:
        """The next frame. Raises CameraStalled after `timeout_s`; there is no end of the stream."""
        started_ns = self._running()
        if self._again is not None:
            again, self._again = self._again, None
            return replace(again, record=replace(again.record, received_ns=time.monotonic_ns()))
        called_ns = time.monotonic_ns()
        number, faults = self._next_frame(started_ns, timeout_s)
        if self._info.paced == "realtime":
            # a real sensor needs no time to render: before the frame is due, but not while the last one is fused
            self._wait_until(self._due_ns(started_ns, number) - self._lead.ns, timeout_s, called_ns)
        frame, truth = self._taken(number, faults, started_ns)
        if self._info.paced == "realtime":
            self._wait_until(self._due_ns(started_ns, number), timeout_s, called_ns)
        frame = replace(frame, record=replace(frame.record, received_ns=time.monotonic_ns()))
        self.truth.append(truth)
        self._rendered = None
        self._next = number + 1
        self._may_stall = True
        self._delivered = number
        if faults.duplicated:
            self._again = frame
        return frame

    def close(self) -> None:
        """Free scene and sensor."""
        self._sensor = self._view = self._defocused = self._started_ns = None

    def _wait_until(self, due_ns: int, timeout_s: float, called_ns: int) -> None:
        wait_for(due_ns, timeout_s, f"camera '{self._info.uri}'", called_ns)

    def _running(self) -> int:
        if self._started_ns is None:
            raise CaptureError(f"camera '{self._info.uri}': is not started")
        return self._started_ns

    def _next_frame(self, started_ns: int, timeout_s: float) -> tuple[int, FrameFaults]:
        """Number and faults of the next frame that is delivered, which may not be due yet."""
        self._wait_out_stall(timeout_s)
        while True:
            if self._info.paced == "realtime":
                self._next = oldest_kept(self._next, time.monotonic_ns(), lambda n: self._due_ns(started_ns, n))
            faults = frame_faults(self._settings, self._next)
            if faults.stalls and self._may_stall:
                self._stall(timeout_s)
            elif faults.dropped:
                self._next += 1
            else:
                break
        return self._next, faults

    def _stall(self, timeout_s: float) -> None:
        """Deliver nothing for stall_time: the frames of that time are lost."""
        self._may_stall = False
        self._next += math.ceil(self._settings.stall_time / self._settings.period_us)
        if self._info.paced != "realtime":
            self._stall_left_s = self._settings.stall_time / 1e6
            self._wait_out_stall(timeout_s)

    def _wait_out_stall(self, timeout_s: float) -> None:
        """Raise CameraStalled during a stall; without a clock, the readers' time limits count as time passed."""
        if self._stall_left_s > timeout_s:
            self._stall_left_s -= timeout_s
            raise CameraStalled(f"camera '{self._info.uri}': no frame within {timeout_s:g} s")
        self._stall_left_s = 0.0

    def _seen(self, shutter: Shutter) -> View:
        slip_us = self._settings.defocus
        view = self._view if slip_us is None or shutter.start_s * 1e6 < slip_us else self._defocused
        assert view is not None
        return view

    def _taken(self, number: int, faults: FrameFaults, started_ns: int) -> tuple[Frame, Truth]:
        """The frame; if a read gave up waiting until it was due, the one rendered then."""
        if self._rendered is None or self._rendered[1].sequence != number or self._rendered_for != self._requests:
            began_ns = time.monotonic_ns()
            self._rendered, self._rendered_for = self._take(number, faults, started_ns), self._requests
            self._lead.note(time.monotonic_ns() - began_ns)
        return self._rendered

    def _take(self, number: int, faults: FrameFaults, started_ns: int) -> tuple[Frame, Truth]:
        assert self._sensor is not None
        reported = self._controls.in_force(number)
        exposure = replace(reported, exposure_us=reported.exposure_us + self._settings.offset)
        start_us = (number + 1) * self._settings.period_us - exposure.exposure_us
        shutter = Shutter(start_us / 1e6, exposure.exposure_us / 1e6, self._settings.readout_us / 1e6)
        raw = self._sensor.expose(self._seen(shutter).bands(shutter), exposure.gain, number, shutter.exposure_s)
        record = FrameRecord(
            sequence=number,
            timestamp_ns=started_ns + round(start_us * 1e3) + faults.jitter_ns,
            clock="monotonic" if self._info.paced == "realtime" else "simulated",
            received_ns=time.monotonic_ns(),
            measured=reported if self._settings.metadata else None,
            black_level=float(self._sensor.model.black_code),
            white_level=float(self._sensor.model.white_code),
            response="unknown" if self._settings.response == "curve" else self._settings.response,
        )
        room = None if faults.duplicated else self._room()
        frame = Frame(record, self._sensor.develop(raw, room), self._sensor.mosaic(raw) if self._with_mosaics else None)
        return frame, Truth(number, exposure, shutter.start_s, faults)

    def _due_ns(self, started_ns: int, number: int) -> int:
        return round(started_ns + (number + 1) * self._period_ns + self._settings.readout_us * 1e3)

    def _last_complete(self, started_ns: int) -> int:
        """Number of the last frame whose last row has been read; its successor is being exposed."""
        if self._info.paced != "realtime":
            return self._delivered
        passed_ns = time.monotonic_ns() - started_ns - self._settings.readout_us * 1e3
        return max(self._delivered, math.floor(passed_ns / self._period_ns) - 1)


def open_simulated(uri: CameraUri) -> SimulatedCamera:
    """Open sim://. Raises CaptureError for unknown or impossible settings."""
    return SimulatedCamera(uri.text, read_settings(uri))


def _describe(uri: str, settings: SimulatedSettings) -> CameraInfo:
    what = settings.radiance_map or settings.scene
    return CameraInfo(
        uri=uri,
        name=f"simulated camera ({what})",
        width=settings.size[0],
        height=settings.size[1],
        dtype="uint8" if settings.bits == 8 else "uint16",
        fps=settings.fps,
        limits=settings.limits,
        exposure_delay=settings.delay,
        gain_delay=settings.gain_delay,
        reports_exposure=settings.metadata,
        paced=settings.pace,
        plan=settings.plan,
        model="simulated camera",
        serial=str(settings.seed),
    )


def _scene(settings: SimulatedSettings) -> Scene:
    width, height = settings.size
    lens = Lens(settings.focal, settings.k1, settings.k2, settings.roll)
    if settings.radiance_map is not None:
        scene = map_scene(settings.radiance_map, width, height, settings.motion)
    elif settings.scene in ("flat", "dark"):
        scene = flat_scene(width, height, 0.5 if settings.scene == "flat" else 0.0)
    elif settings.scene == "bars":
        scene = bars_scene(width, height, settings.motion)
    elif settings.scene == "chart":
        scene = chart_scene(width, height)
    elif settings.scene == "board":
        scene = board_scene(width, height, lens, settings.motion)
    elif settings.scene == "target":
        scene = target_scene(width, height, lens, settings.blur)
    else:
        scene = room_scene(width, height, settings.motion)
    if settings.bump is not None:
        scene = bumped(scene, settings.bump / 1e6, settings.bump_by)
    return filtered(scene, settings.crosstalk, settings.seed)
