"""csi://N, also libcamera://N: cameras of libcamera, through picamera2; made for Raspberry Pis.

A Pi's frames carry their exposure. Frames are copied in picamera2's own thread as they arrive, and each buffer returns
to the camera at once, with the newest requested exposure: the sensor never waits for a buffer.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import libcamera
import numpy as np
from picamera2 import Picamera2

from livemef.capture.cameras.base import CameraInfo, CameraLimits, FoundCamera, Room, no_room
from livemef.capture.cameras.modes import Mode, WantedMode, choose_mode, suggested_plan
from livemef.capture.cameras.picamera_agc import refuse_skipping_agc
from livemef.capture.cameras.picamera_frames import PROCESSED, Delivered, Stream, exposure_in, native_plan, to_frame
from livemef.capture.cameras.raw_development import parse_raw_format, unpacked
from livemef.capture.cameras.timeouts import NoAnswer, call_within
from livemef.capture.errors import CameraStalled, CaptureError
from livemef.capture.frame import Exposure, Frame
from livemef.capture.uri import CameraUri, Reader, number, one_of, picture_size, read_query

BUFFERS = 4
"""Each buffer adds a frame to the delay from a request to its frame."""
WAITING = 4
"""Finished frames kept for a late reader; older ones are lost."""
CALL_LIMIT_S = 10.0
FRAME_LIMIT_S = 5.0
SETTLING_FRAMES = 4
BALANCING_FRAMES = 30
UVC_STEP_US = 100.0
"""Unit of the exposure time of USB cameras, which libcamera supports too."""
DEFAULT_SIZE = (1280, 720)

Result = TypeVar("Result")


def _gains(text: str) -> tuple[float, float]:
    red, comma, blue = text.partition(",")
    if not comma:
        raise ValueError("expected the gains of red and blue, for instance 1.8,1.6")
    return number(0.01, 32.0)(red), number(0.01, 32.0)(blue)


PARAMETERS: dict[str, Reader] = {
    "size": picture_size,
    "fps": number(0.1, 1000.0),
    "stream": one_of({"main": "main", "raw": "raw"}),
    "hdr": one_of({"off": False, "native": True}),
    "colour_gains": _gains,
}


@dataclass(frozen=True)
class PicameraSettings:
    """Settings of a csi:// URI. hdr: the driver alternates by itself. colour_gains: red, blue; None = measured."""

    size: tuple[int, int] | None = None
    fps: float | None = None
    stream: str = "main"
    hdr: bool = False
    colour_gains: tuple[float, float] | None = None


class PicameraCamera:
    """A libcamera camera with its automatic functions off. It runs from opening to closing."""

    def __init__(self, uri: str, index: int, settings: PicameraSettings) -> None:
        self._uri = uri
        self._settings = settings
        self._frames: deque[Delivered] = deque(maxlen=WAITING)
        self._wanted: dict[str, Any] | None = None
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._started = False
        self._room: Room = no_room
        self._camera: Any = self._limited(lambda: _acquire(uri, index))
        try:
            self._limited(self._configure)
            self._camera.pre_callback = self._take
            self._limited(self._camera.start)
            self._info = self._take_over()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> CameraInfo:
        """The settings that libcamera accepted."""
        return self._info

    def start(self) -> None:
        """Begin delivering frames with the next one that arrives."""
        self._opened()
        with self._changed:
            self._frames.clear()
            self._started = True

    def request(self, exposure: Exposure) -> None:
        """Request an exposure; it is sent with the buffer of the next frame that arrives.

        Of two requests before that frame, as from a late reader, the newer one counts: a queue would delay all later
        requests.
        """
        self._opened()
        controls: dict[str, Any] = {"ExposureTime": round(exposure.exposure_us)}
        if "AnalogueGain" in self._camera.camera_controls:
            controls["AnalogueGain"] = exposure.gain
        with self._changed:
            self._wanted = controls

    def write_into(self, room: Room) -> None:
        """See WritingCamera. What arrived was copied before: libcamera is to have its request back at once."""
        self._room = room

    def deliver_mosaics(self) -> bool:
        """Whether the stream is the raw one: its frames have the sensor's values in any case."""
        return self._settings.stream == "raw"

    def read(self, timeout_s: float) -> Frame:
        """The next frame; damaged ones are skipped, a gap in the numbers. Raises CameraStalled, CaptureError."""
        self._opened()
        if not self._started:
            raise CaptureError(f"camera '{self._uri}': is not started")
        deadline = time.monotonic() + timeout_s
        while True:
            frame = to_frame(self._next(deadline, timeout_s), self._stream, self._room())
            if frame is not None:
                return frame

    def close(self) -> None:
        """Stop the camera and free it."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        camera.pre_callback = None
        self._limited(camera.close)

    def _opened(self) -> None:
        if self._camera is None:
            raise CaptureError(f"camera '{self._uri}': is closed")

    def _limited(self, call: Callable[[], Result]) -> Result:
        """Result of a call to libcamera, within CALL_LIMIT_S. Raises CaptureError for its errors."""
        try:
            return call_within(CALL_LIMIT_S, call)
        except NoAnswer:
            raise CaptureError(
                f"camera '{self._uri}': libcamera does not answer; unplug the camera or restart"
            ) from None
        except Exception as error:
            raise _as_capture_error(self._uri, error) from error

    def _configure(self) -> None:
        camera, settings = self._camera, self._settings
        if "ExposureTime" not in camera.camera_controls:
            raise CaptureError(f"camera '{self._uri}': its exposure time cannot be set, so it cannot bracket")
        self._is_pi = "ColorFilterArrangement" in camera.camera_properties
        if settings.stream == "raw" and not self._is_pi:
            raise CaptureError(f"camera '{self._uri}': has no raw stream: leave stream=raw out")
        if settings.fps and "FrameDurationLimits" not in camera.camera_controls:
            raise CaptureError(f"camera '{self._uri}': its frame rate cannot be set: leave fps out")
        if self._is_pi:
            refuse_skipping_agc(self._uri, settings.fps or 30.0, os.environ)
        main = self._main_stream()
        raw = None
        if settings.stream == "raw":
            raw = {"format": unpacked(camera.sensor_format), "size": main["size"]}
        config = camera.create_video_configuration(
            main=main, raw=raw, buffer_count=BUFFERS, queue=False, controls=self._fixed_controls(), display=None
        )
        camera.configure(config)
        accepted = camera.camera_configuration()[settings.stream]
        if settings.size not in (None, tuple(accepted["size"])):
            width, height = accepted["size"]
            raise CaptureError(f"camera '{self._uri}': cannot deliver that size; the nearest is size={width}x{height}")
        raw_format = parse_raw_format(accepted["format"]) if settings.stream == "raw" else None
        if settings.stream == "raw" and raw_format is None:
            raise CaptureError(f"camera '{self._uri}': its raw format {accepted['format']} cannot be read")
        clock = "boottime" if self._is_pi else "monotonic"
        self._stream = Stream(accepted["format"], tuple(accepted["size"]), accepted["stride"], clock, raw_format)

    def _main_stream(self) -> dict[str, Any]:
        """The main stream's configuration. A Pi scales to any size and converts to BGR; others have fixed modes."""
        wanted = WantedMode(self._settings.size, self._settings.fps)
        if self._is_pi:
            return {"format": "RGB888", "size": wanted.size or DEFAULT_SIZE}
        offered = self._camera.camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0).formats
        modes = [
            Mode(str(pixel_format), size.width, size.height, 0.0)
            for pixel_format in offered.pixel_formats
            for size in offered.sizes(pixel_format)
        ]
        mode = choose_mode(modes, WantedMode(wanted.size), tuple(PROCESSED))
        if mode is None:
            sizes = ", ".join(sorted({f"{mode.width}x{mode.height}" for mode in modes}))
            raise CaptureError(f"camera '{self._uri}': has no such size in a format that livemef reads; it has {sizes}")
        return {"format": mode.pixel_format, "size": (mode.width, mode.height)}

    def _fixed_controls(self) -> dict[str, Any]:
        """Controls that are constant from the first frame on, as far as this camera has them."""
        period_us = round(1e6 / (self._settings.fps or 30.0))
        draft = libcamera.controls.draft
        wanted: dict[str, Any] = {"FrameDurationLimits": (period_us, period_us), "AeEnable": self._settings.hdr}
        if "NoiseReductionMode" in self._camera.camera_controls:
            # a Pi 5 blends neighbouring frames otherwise: brackets would be mixed before we see them
            wanted["NoiseReductionMode"] = draft.NoiseReductionModeEnum.Off
        if "HdrMode" in self._camera.camera_controls:
            modes = libcamera.controls.HdrModeEnum
            wanted["HdrMode"] = modes.MultiExposureUnmerged if self._settings.hdr else modes.Off
        elif self._settings.hdr:
            raise CaptureError(f"camera '{self._uri}': has no HdrMode (a Pi 5 has): leave hdr=native out")
        if self._settings.colour_gains:
            wanted |= {"AwbEnable": False, "ColourGains": self._settings.colour_gains}
        return {name: value for name, value in wanted.items() if name in self._camera.camera_controls}

    def _take_over(self) -> CameraInfo:
        """Watch the first frames, switch off what is still automatic, and describe the camera."""
        automatic: list[str] = []
        seen = self._settle()
        if not self._settings.hdr:
            # some cameras ignore it before the first frame; alone, since one refused control makes all be refused
            self._wanted = {"AeEnable": False}
            seen = self._settle()
        if "ColourGains" in seen[-1].metadata and not self._settings.colour_gains:
            balanced = self._settle(BALANCING_FRAMES)[-1].metadata["ColourGains"]
            self._wanted = {"AwbEnable": False, "ColourGains": balanced}
            seen = self._settle(2 * SETTLING_FRAMES)
            if seen[-1].metadata["ColourGains"] != seen[-2].metadata["ColourGains"]:
                automatic.append("automatic white balance")
        if not self._is_pi and "AwbEnable" not in self._camera.camera_controls:
            automatic.append("automatic white balance")
        return self._describe(seen, tuple(automatic))

    def _settle(self, count: int = SETTLING_FRAMES) -> list[Delivered]:
        """The next `count` frames."""
        return [self._next(time.monotonic() + FRAME_LIMIT_S, FRAME_LIMIT_S) for _ in range(count)]

    def _describe(self, seen: list[Delivered], automatic: tuple[str, ...]) -> CameraInfo:
        camera, stream = self._camera, self._stream
        periods = [
            (after.timestamp_ns - before.timestamp_ns) / max(1, after.sequence - before.sequence)
            for before, after in itertools.pairwise(seen)
        ]
        period_us = seen[-1].metadata.get("FrameDuration") or sorted(periods)[len(periods) // 2] / 1e3
        shortest_us, longest_us = map(float, camera.camera_controls["ExposureTime"][:2])
        longest_us = min(longest_us or period_us, period_us)
        gain_min, gain_max = map(float, camera.camera_controls.get("AnalogueGain", (1.0, 1.0))[:2])
        reports = exposure_in(seen[-1].metadata) is not None
        step_us = 0.0 if self._is_pi else UVC_STEP_US
        gain_min, gain_max = max(gain_min, 1.0), max(gain_max, 1.0)
        plan = suggested_plan(shortest_us, longest_us, step_us, gain_min)
        if self._settings.hdr:
            native = native_plan([delivered.metadata for delivered in seen])
            if len(native) < 2:
                raise CaptureError(f"camera '{self._uri}': hdr=native: its frames name no HdrChannel: leave it out")
            plan = tuple(native.values())
            self._stream = replace(stream, channels=tuple(native))
        return CameraInfo(
            uri=self._uri,
            name=camera.camera_properties.get("Model", "libcamera camera"),
            width=stream.size[0],
            height=stream.size[1],
            dtype=stream.dtype,
            fps=round(1e6 / period_us, 3),
            limits=CameraLimits(max(shortest_us, 1.0), longest_us, step_us, gain_min, gain_max),
            reports_exposure=reports,
            can_request=not self._settings.hdr,
            plan=plan,
            automatic=automatic,
        )

    def _next(self, deadline: float, timeout_s: float) -> Delivered:
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._frames or self._failure, max(0.0, deadline - time.monotonic())
            )
            if self._failure is not None:
                raise _as_capture_error(self._uri, self._failure)
            if not arrived:
                raise CameraStalled(f"camera '{self._uri}': no frame within {timeout_s:.3g} s")
            return self._frames.popleft()

    def _take(self, request: Any) -> None:
        """Called by picamera2's thread for each frame. Errors are kept for `read`: raised here they would go unseen."""
        try:
            received_ns = time.monotonic_ns()
            with self._changed:
                wanted, self._wanted = self._wanted, None
            if wanted is not None:
                self._camera.set_controls(wanted)
            name = self._settings.stream
            buffer = request.request.buffers[request.stream_map[name]]
            metadata: Mapping[str, Any] = request.get_metadata()
            data = np.asarray(request.make_buffer(name))
            delivered = Delivered(buffer.metadata.sequence, buffer.metadata.timestamp, received_ns, metadata, data)
            with self._changed:
                self._frames.append(delivered)
                self._changed.notify_all()
        except Exception as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()


def _acquire(uri: str, index: int) -> Any:
    known = Picamera2.global_camera_info()
    if index >= len(known):
        listed = ", ".join(f"csi://{number} ({camera.get('Model', '?')})" for number, camera in enumerate(known))
        raise CaptureError(
            f"camera '{uri}': there is no such camera; libcamera sees {listed or 'none'}. Check cable and permission "
            "(sudo usermod -aG video $USER, then log in again)"
        )
    model = known[index].get("Model", "")
    _make_libcamera_restart()
    return Picamera2(index, tuning=_tuning_without_adaptive_contrast(model))


def _make_libcamera_restart() -> None:
    """Make picamera2 start libcamera again, so that it reads our tuning.

    libcamera reads tunings when it starts, which listing its cameras has made it do. picamera2 has no function for
    this, and starts libcamera where it finds none. Not while another camera is open.
    """
    manager = getattr(Picamera2, "_cm", None)
    if manager is not None and not manager.cameras:
        manager._cms = None


def _tuning_without_adaptive_contrast(model: str) -> dict[str, Any] | None:
    """The Pi's tuning for this sensor without adaptive contrast, which depends on each picture's histogram.

    None where there is no such file, as for all cameras but a Pi's: then the default is used.
    """
    try:
        tuning: dict[str, Any] = Picamera2.load_tuning_file(f"{model}.json")
        Picamera2.find_tuning_algo(tuning, "rpi.contrast")["ce_enable"] = 0
    except (RuntimeError, StopIteration, KeyError, OSError):
        return None
    return tuning


def _as_capture_error(uri: str, error: BaseException) -> CaptureError:
    if isinstance(error, CaptureError):
        return error
    causes = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        causes.append(str(error))
    if any("busy" in cause.lower() for cause in causes):
        return CaptureError(f"camera '{uri}': is in use by another program; 'fuser -v /dev/media*' names it")
    return CaptureError(f"camera '{uri}': libcamera refuses: {causes[-1]}")


def find_picamera() -> list[FoundCamera]:
    """The cameras that libcamera sees."""
    known = Picamera2.global_camera_info()
    return [
        FoundCamera(f"csi://{number}", camera.get("Model", camera["Id"]), _sizes(camera["Num"]))
        for number, camera in enumerate(known)
    ]


def _sizes(index: int) -> tuple[str, ...]:
    properties = libcamera.CameraManager.singleton().cameras[index].properties
    sizes = [value for key, value in properties.items() if key.name == "PixelArraySize"]
    return tuple(f"up to {size.width}x{size.height}" for size in sizes)


def open_picamera(uri: CameraUri) -> PicameraCamera:
    """Open csi://N. Raises CaptureError: no such camera, in use, no such size or stream."""
    if not uri.path.isdecimal():
        raise CaptureError(f"camera '{uri.text}': names no camera by its number: write {uri.scheme}://0")
    return PicameraCamera(uri.text, int(uri.path), PicameraSettings(**read_query(uri, PARAMETERS)))
