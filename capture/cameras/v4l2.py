"""v4l2:///dev/videoN: USB and other cameras of the kernel's Video4Linux2, through linuxpy.

Their frames carry no exposure: the delay is measured at the start, and frames are labelled by brightness.
"""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from linuxpy.video.device import (
    BufferFlag,
    BufferType,
    Capability,
    ControlID,
    Device,
    FrameSizeType,
    MemorySource,
    PixelFormat,
    VideoCapture,
)

from livemef.capture.cameras.base import CameraInfo, CameraLimits, FoundCamera, Room, no_room
from livemef.capture.cameras.modes import Mode, WantedMode, choose_mode, suggested_plan
from livemef.capture.cameras.pixel_formats import FORMATS
from livemef.capture.errors import CameraStalled, CaptureError
from livemef.capture.frame import Exposure, Frame, FrameRecord
from livemef.capture.uri import CameraUri, Reader, number, one_of, picture_size, read_query, whole

EXPOSURE_UNIT_US = 100.0
"""Unit of V4L2_CID_EXPOSURE_ABSOLUTE."""
BUFFERS = 5
"""One is converted from while four wait to be filled."""

PARAMETERS: dict[str, Reader] = {
    "size": picture_size,
    "fps": number(0.1, 1000.0),
    "format": one_of({name.lower(): name for name in FORMATS}),
    "gain": whole(0, 2**31 - 1),
}

MANUAL_EXPOSURE = (1, 2)
"""V4L2_EXPOSURE_MANUAL, and shutter priority, which leaves only the iris to the camera. Tried in this order."""
OFF = (
    ("dynamic frame rate", ControlID.EXPOSURE_AUTO_PRIORITY),
    ("automatic white balance", ControlID.AUTO_WHITE_BALANCE),
    ("automatic gain", ControlID.AUTOGAIN),
    ("automatic hue", ControlID.HUE_AUTO),
    ("backlight compensation", ControlID.BACKLIGHT_COMPENSATION),
    ("wide dynamic range", ControlID.WIDE_DYNAMIC_RANGE),
)
"""Automatic functions, each with the control that is set to 0 (or its minimum) to switch it off."""

REASONS = {
    errno.ENOENT: "there is no such device; 'livemef cameras' lists those that are here",
    errno.ENXIO: "there is no such device; 'livemef cameras' lists those that are here",
    errno.ENODEV: "has been unplugged; plug it in again",
    errno.EIO: "does not answer; unplug it and plug it in again",
    errno.EPIPE: "does not answer; unplug it and plug it in again",
    errno.ESHUTDOWN: "has been unplugged; plug it in again",
    errno.EACCES: "no permission to open it; sudo usermod -aG video $USER, then log in again",
    errno.EPERM: "no permission to open it; sudo usermod -aG video $USER, then log in again",
    errno.EBUSY: "is in use by another program; 'fuser -v /dev/video*' names it",
    errno.ENOTTY: "is not a video camera; 'livemef cameras' lists those that are here",
    errno.EINVAL: "is not a video camera, or refuses what every camera can do",
    errno.ENOSPC: "there is not enough USB bandwidth; use another port, a smaller size or format=mjpeg",
    errno.ENOMEM: "the kernel has no memory for its buffers; use a smaller size",
    errno.ETIMEDOUT: "does not answer; unplug it and plug it in again",
}


@contextmanager
def _with_advice(uri: str) -> Iterator[None]:
    """Raise OSError of the kernel as CaptureError, with advice."""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0, f"{error.strerror or error}")
        raise CaptureError(f"camera '{uri}': {reason}") from error


class V4l2Camera:
    """One video device with its automatic functions off. Exposures are whole multiples of the control's step.

    A gain control has no unit: it stays as it was, or at the URI's `gain`, and counts as 1.
    """

    def __init__(self, uri: str, path: str, wanted: WantedMode, gain: int | None = None) -> None:
        self._uri = uri
        self._device: Any = Device(path)
        self._capture: Any = None
        self._started = False
        self._room: Room = no_room
        try:
            with _with_advice(uri):
                self._device.open()
                if Capability.VIDEO_CAPTURE not in self._device.info.device_capabilities:
                    raise CaptureError(f"camera '{uri}': delivers no pictures; 'livemef cameras' lists those that do")
                self._capture = VideoCapture(self._device, size=BUFFERS)
                self._mode = self._set_mode(wanted)
                # from here on the device is reserved: a camera in use by another program has refused
                self._capture.arm()
                self._controls: Mapping[int, Any] = dict(self._device.controls.items())
                self._exposure = self._take_over_exposure()
                automatic = self._switch_off()
                self._set_gain(gain)
                self._info = self._describe(automatic)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> CameraInfo:
        """The settings that the driver accepted."""
        return self._info

    def start(self) -> None:
        """Begin streaming."""
        with _with_advice(self._uri):
            self._opened().stream_on()
        self._started = True

    def write_into(self, room: Room) -> None:
        """See WritingCamera."""
        self._room = room

    def request(self, exposure: Exposure) -> None:
        """Write the exposure time; the driver sends it to the camera at once."""
        self._opened()
        with _with_advice(self._uri):
            self._exposure.value = round(exposure.exposure_us / EXPOSURE_UNIT_US)

    def read(self, timeout_s: float) -> Frame:
        """The next whole frame; damaged ones are skipped, a gap in the numbers. Raises CameraStalled, CaptureError."""
        capture = self._opened()
        if not self._started:
            raise CaptureError(f"camera '{self._uri}': is not started")
        deadline, damaged = time.monotonic() + timeout_s, 0
        while True:
            if damaged and time.monotonic() > deadline:
                raise CameraStalled(f"camera '{self._uri}': no whole frame within {timeout_s:.3g} s, {damaged} damaged")
            with _with_advice(self._uri):
                left_s = max(0.0, deadline - time.monotonic())
                if not select.select([self._device.fileno()], [], [], left_s)[0]:
                    raise CameraStalled(f"camera '{self._uri}': no frame within {timeout_s:.3g} s")
                frame = self._take(capture.buffer)
            if frame is not None:
                return frame
            damaged += 1

    def close(self) -> None:
        """Stop streaming, free buffers and device; also when the device has been unplugged."""
        capture, self._capture = self._capture, None
        if capture is not None and capture.buffer is not None:
            for give_back in (capture.stream_off, capture.disarm):
                with suppress(OSError, BufferError):  # BufferError: an error's traceback still holds a buffer
                    give_back()
        with suppress(OSError):
            self._device.close()

    def _take(self, source: Any) -> Frame | None:
        """The frame in the driver's next full buffer, converted from there; None if it is damaged."""
        if not isinstance(source, MemorySource):  # a driver that only knows read(2), which copies
            raw = source.raw_read()
            return self._frame(raw.buff, raw.data, raw.format.bytes_per_line)
        with source.queue as buffer:
            return self._frame(buffer, source.buffers[buffer.index], source.format.bytes_per_line)

    def _frame(self, buffer: Any, memory: Any, stride: int) -> Frame | None:
        received_ns = time.monotonic_ns()
        if BufferFlag.ERROR in BufferFlag(buffer.flags):
            return None
        mode = self._mode
        data = np.frombuffer(memory, np.uint8, min(buffer.bytesused, len(memory)))
        pixels = FORMATS[mode.pixel_format].decode(data, mode.width, mode.height, stride, self._room())
        return None if pixels is None else Frame(self._record(buffer, received_ns), pixels)

    def _opened(self) -> Any:
        if self._capture is None:
            raise CaptureError(f"camera '{self._uri}': is closed")
        return self._capture

    def _set_mode(self, wanted: WantedMode) -> Mode:
        """Set format, size and rate; returns the accepted mode."""
        known = modes(self._device)
        if not known:
            raise CaptureError(f"camera '{self._uri}': offers no pixel format that livemef reads: {', '.join(FORMATS)}")
        chosen = choose_mode(known, wanted, tuple(FORMATS))
        if chosen is None:
            offered = ", ".join(sorted({f"{mode.pixel_format.lower()} {mode.width}x{mode.height}" for mode in known}))
            raise CaptureError(f"camera '{self._uri}': has no such format and size; it offers {offered}")
        self._capture.set_format(chosen.width, chosen.height, PixelFormat[chosen.pixel_format])
        fps = wanted.fps or chosen.fps
        with suppress(OSError):  # drivers without a settable rate refuse; the actual rate is read back
            if fps:
                self._capture.set_fps(fps)
        with suppress(OSError, ZeroDivisionError):
            fps = float(self._capture.get_fps())
        accepted = self._capture.get_format()
        return Mode(accepted.pixel_format.name, accepted.width, accepted.height, fps)

    def _take_over_exposure(self) -> Any:
        """Switch automatic exposure off; returns the exposure time's control. Raises CaptureError if either fails."""
        exposure = self._controls.get(ControlID.EXPOSURE_ABSOLUTE)
        if exposure is None:
            raise CaptureError(f"camera '{self._uri}': its exposure time cannot be set, so it cannot bracket")
        automatic = self._controls.get(ControlID.EXPOSURE_AUTO)
        if automatic is not None and not any(_set(automatic, value) for value in MANUAL_EXPOSURE):
            raise CaptureError(f"camera '{self._uri}': its automatic exposure cannot be switched off")
        return exposure

    def _switch_off(self) -> tuple[str, ...]:
        """Switch off all other automatic functions; returns the names of those that stayed on."""
        present = [(name, self._controls[control]) for name, control in OFF if control in self._controls]
        return tuple(name for name, control in present if not _set(control, max(0, control.minimum)))

    def _set_gain(self, gain: int | None) -> None:
        if gain is None:
            return
        control = self._controls.get(ControlID.GAIN)
        if control is None:
            raise CaptureError(f"camera '{self._uri}': has no gain control: leave gain out")
        if not control.minimum <= gain <= control.maximum or not _set(control, gain):
            raise CaptureError(
                f"camera '{self._uri}': gain={gain}: the camera takes {control.minimum} to {control.maximum}"
            )

    def _describe(self, automatic: tuple[str, ...]) -> CameraInfo:
        mode, control = self._mode, self._exposure
        step_us = max(1, control.step) * EXPOSURE_UNIT_US
        shortest_us, longest_us = (max(1, value) * EXPOSURE_UNIT_US for value in (control.minimum, control.maximum))
        if mode.fps:
            longest_us = min(longest_us, max(shortest_us, 1e6 / mode.fps // step_us * step_us))
        return CameraInfo(
            uri=self._uri,
            name=self._device.info.card,
            width=mode.width,
            height=mode.height,
            dtype=FORMATS[mode.pixel_format].dtype,
            fps=mode.fps,
            limits=CameraLimits(shortest_us, longest_us, step_us),
            plan=suggested_plan(shortest_us, longest_us, step_us),
            automatic=automatic,
        )

    def _record(self, buffer: Any, received_ns: int) -> FrameRecord:
        flags = BufferFlag(buffer.flags)
        stamp = buffer.timestamp
        monotonic = flags & BufferFlag.TIMESTAMP_MASK == BufferFlag.TIMESTAMP_MONOTONIC
        starts = flags & BufferFlag.TSTAMP_SRC_MASK == BufferFlag.TSTAMP_SRC_SOE
        return FrameRecord(
            sequence=buffer.sequence,
            timestamp_ns=stamp.secs * 1_000_000_000 + stamp.usecs * 1000,
            clock="monotonic" if monotonic else "unknown",
            received_ns=received_ns,
            timestamp_reference="start" if starts else "end",
            white_level=FORMATS[self._mode.pixel_format].white,
        )


def _set(control: Any, value: int) -> bool:
    """Set a control; returns whether it reads back with this value."""
    with suppress(OSError, AttributeError):  # AttributeError: linuxpy's error for a read-only control
        if control.value != value:
            control.value = value
    with suppress(OSError):
        return int(control.value) == value
    return False


def modes(device: Any) -> list[Mode]:
    """The modes of an open device in formats that livemef reads; of a range of sizes the largest."""
    names = {PixelFormat[name]: name for name in FORMATS}
    offered = []
    for described in device.info.buffer_formats(BufferType.VIDEO_CAPTURE):
        name = names.get(described.pixel_format)
        if name is None:
            continue
        for size in device.info.format_frame_sizes(described.pixel_format):
            discrete = size.type == FrameSizeType.DISCRETE
            width, height = (
                (size.info.width, size.info.height) if discrete else (size.info.max_width, size.info.max_height)
            )
            rates = device.info.fps_intervals(described.pixel_format, width, height)
            offered += [Mode(name, width, height, float(rate.max_fps)) for rate in rates]
    return offered


def find_v4l2() -> list[FoundCamera]:
    """The video devices that deliver pictures, and those that this user may not open, which may do so too."""
    found = []
    for entry in sorted(Path("/sys/class/video4linux").glob("video*"), key=lambda path: int(path.name[5:])):
        name = (entry / "name").read_text(encoding="utf-8", errors="replace").strip()
        uri = f"v4l2:///dev/{entry.name}"
        try:
            with _with_advice(uri), Device(f"/dev/{entry.name}") as device:
                if Capability.VIDEO_CAPTURE in device.info.device_capabilities:
                    found.append(FoundCamera(uri, name, tuple(str(mode) for mode in modes(device))))
        except CaptureError as error:
            found.append(FoundCamera(uri, name, problem=str(error)))
    return found


def open_v4l2(uri: CameraUri) -> V4l2Camera:
    """Open v4l2:///dev/videoN. Raises CaptureError: no such device, in use, no permission, no camera."""
    if not uri.path.startswith("/"):
        raise CaptureError(f"camera '{uri.text}': names no device: write v4l2:///dev/video0")
    values = read_query(uri, PARAMETERS)
    wanted = WantedMode(values.get("size"), values.get("fps"), values.get("format"))
    return V4l2Camera(uri.text, uri.path, wanted, values.get("gain"))
